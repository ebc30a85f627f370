"""Exporting is a stream: nothing is kept, nothing that is no record is passed off as one."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator

import pytest

from gateway.audit.export.formats import FORMATS, export
from tests.gateway.audit.export.golden_files import LINES, exported, line_of

TEXTS = [name for name in FORMATS if name != "parquet"]


class Discarding(io.RawIOBase):
    """Takes bytes and forgets them."""

    taken = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.taken += len(data)  # type: ignore[arg-type]
        return len(data)  # type: ignore[arg-type]


def test_json_lines_are_the_stored_bytes() -> None:
    broken = [*LINES, b"not json", b'{"b":1,"a":2}']
    assert exported("jsonl", broken) == b"".join(line + b"\n" for line in broken)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "jsonl"])
def test_lines_that_are_no_records_are_counted_and_left_out(name: str) -> None:
    out = io.BytesIO()
    done = export([b"not json", LINES[0], b'{"b":1,"a":2}', b"[1]", b"\xff"], name, out)
    assert (done.records, done.unreadable) == (1, 4)
    assert name == "parquet" or out.getvalue() == exported(name, [LINES[0]])


@pytest.mark.parametrize("name", TEXTS)
def test_memory_does_not_grow_with_the_log(name: str) -> None:
    def lines() -> Iterator[bytes]:
        for seq in range(3000):
            yield line_of(seq=seq, req=f"r{seq}", tenant="t" * 1000)

    out = Discarding()
    tracemalloc.start()
    try:
        export(lines(), name, out)  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert out.taken > 3_000_000
    assert peak < 500_000
