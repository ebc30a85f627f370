"""A change goes one way, and back the other."""

from __future__ import annotations

from policies.changes import Change, Effect, moved, renamed


def test_a_number_that_moves_has_the_effect_of_its_direction() -> None:
    def of(before: int, after: int) -> list[Change]:
        return moved("limit", "n", "limit", (before, after), (str(before), str(after)), Effect.WEAKER, ("up", "down"))

    assert of(3, 3) == []
    assert [(one.effect, one.reason) for one in (*of(3, 4), *of(4, 3))] == [
        (Effect.WEAKER, "up"),
        (Effect.STRONGER, "down"),
    ]


def test_what_decides_nothing_goes_no_way() -> None:
    assert renamed("policy", "name", "name", "a", "a", "informative") == []
    assert renamed("policy", "name", "name", "a", "b", "informative")[0].effect is Effect.OTHER
    assert [effect.turned.turned for effect in Effect] == list(Effect)
