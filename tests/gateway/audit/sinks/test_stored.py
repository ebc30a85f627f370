"""How far a place has come is read from the names of what it holds."""

from __future__ import annotations

from gateway.audit.sinks.stored import PART, RECORDS, Stored, covered, last_byte, part_name, records_name


def test_names_say_what_they_hold() -> None:
    found, part = RECORDS.fullmatch(records_name(7, 9, 3)), PART.fullmatch(part_name("anchors.log", 5, 10))
    assert found is not None
    assert part is not None
    assert [int(number) for number in found.groups()] == [7, 9, 11]
    assert part.groups() == ("anchors.log", f"{5:016d}", f"{15:016d}")


def stored(*names: str) -> list[Stored]:
    return [Stored(name, 0, None, "", None, False) for name in names]


def test_what_is_covered_is_read_from_names_alone() -> None:
    names = [f"seg/{0:016d}/{first:016d}-{last:016d}.jsonl" for first, last in ((0, 4), (0, 9), (10, 10), (12, 20))]
    assert covered(stored(*names), 0) == 11
    assert covered(stored(*names), 11) == 11
    assert covered(stored(*names, f"seg/{0:016d}/{11:016d}-{11:016d}.jsonl"), 0) == 21
    assert covered(stored("seg/other", "LOG"), 5) == 5
    assert last_byte(stored(f"checkpoints.log/{0:016d}-{77:016d}", "checkpoints.log/x")) == 77
    assert last_byte([]) == 0
