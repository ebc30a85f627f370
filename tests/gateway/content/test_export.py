"""The records of a person are those made on their behalf, and no others that happen to hold the token."""

from __future__ import annotations

from pathlib import Path

from gateway.audit.record import canonical
from gateway.content.export import records_naming


def test_only_records_on_behalf_of_the_person_are_found(tmp_path: Path) -> None:
    (tmp_path / "seg").mkdir()
    mine = {"on_behalf": {"sub": "sub_a", "relation": "claimed"}, "seq": 0}
    records = [mine, {"on_behalf": {"sub": "sub_b"}, "seq": 1}, {"subject": "sub_a", "seq": 2}, {**mine, "seq": 3}]
    lines = [canonical(record) + b"\n" for record in records]
    (tmp_path / "seg" / f"{0:016}.jsonl").write_bytes(b"".join(lines[:2]))
    (tmp_path / "seg" / f"{2:016}.jsonl").write_bytes(b"".join(lines[2:]) + b'{"on_behalf":{"sub":"sub_a"}')
    assert [record["seq"] for record in records_naming(tmp_path, "sub_a")] == [0, 3]
