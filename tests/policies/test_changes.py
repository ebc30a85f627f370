"""A change goes one way, and back the other."""

from __future__ import annotations

from policies.changes import About, Change, Effect, yes_or_no


def test_a_number_that_moves_has_the_effect_of_its_direction() -> None:
    def of(before: int, after: int) -> list[Change]:
        return About("limit", "n").moved("limit", before, after, more_is=Effect.WEAKER, up="up", down="down")

    assert of(3, 3) == []
    assert [(one.effect, one.reason) for one in (*of(3, 4), *of(4, 3))] == [
        (Effect.WEAKER, "up"),
        (Effect.STRONGER, "down"),
    ]
    assert of(3, 4)[0] == Change("limit", "n", "limit", "3", "4", Effect.WEAKER, "up")


def test_a_switch_is_told_in_words() -> None:
    switched = About("rule", "r").moved(
        "hold", True, False, more_is=Effect.STRONGER, up="up", down="down", shown=yes_or_no
    )
    assert switched == [Change("rule", "r", "hold", "yes", "no", Effect.WEAKER, "down")]


def test_what_decides_nothing_goes_no_way() -> None:
    name = About("policy", "name")
    assert name.renamed("name", "a", "a", "informative") == []
    assert name.renamed("name", "a", "b", "informative")[0].effect is Effect.OTHER
    assert [effect.turned.turned for effect in Effect] == list(Effect)
