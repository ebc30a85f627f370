"""A stretch of lines by itself: the same lines are checked once, wherever the cuts fall."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.audit.chunk import Chunk, check_chunk, check_order
from gateway.audit.merkle import leaf_hash
from gateway.audit.recover import NO_LEAF
from tests.gateway.audit.harness import ORIGIN, segments_in, small_log


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log")
    small_log(path, exchanges=5, starts=1)
    return segments_in(path)[0]


def test_every_line_belongs_to_exactly_one_stretch(segment: Path) -> None:
    size, rng = segment.stat().st_size, random.Random(3)
    expected = [leaf_hash(line) for line in segment.read_bytes().splitlines()]
    for _ in range(60):
        cuts = sorted({0, size, *(rng.randrange(size) for _ in range(rng.randrange(1, 40)))})
        chunks = [check_chunk(segment, start, stop, ORIGIN) for start, stop in pairwise(cuts)]
        assert [leaf for chunk in chunks for leaf in chunk.leaves] == expected
        assert max(chunk.end for chunk in chunks) == size
        assert _joins(chunks)


def _joins(chunks: list[Chunk]) -> bool:
    last, leaf = None, NO_LEAF
    for chunk in chunks:
        if chunk.first is not None:
            if check_order(last, leaf, chunk.first) is not None:
                return False
            last, leaf = chunk.last, chunk.leaves[-1]
    return True


def test_check_stops_at_the_first_line_that_does_not_hold(segment: Path, tmp_path: Path) -> None:
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"stage":', b'"stage": ')
    copy = tmp_path / "copy"
    copy.write_bytes(b"".join(lines))
    chunk = check_chunk(copy, 0, copy.stat().st_size, ORIGIN)
    assert len(chunk.leaves) == 4
    assert chunk.problem is not None
    assert chunk.problem.code == "form"


def test_problem_never_quotes_the_line(segment: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for damage in (b'{"secret":"text"}\n', b"secret text\n", b'{"secret":1.5}\n', b'["secret"]\n', b"secret" * 9000):
        copy.write_bytes(damage)
        chunk = check_chunk(copy, 0, len(damage), ORIGIN)
        assert "secret" not in str(chunk.problem)
        assert chunk.problem is not None


def test_empty_and_unfinished_stretches_are_no_problem(tmp_path: Path) -> None:
    for data in (b"", b'{"unfinished'):
        (tmp_path / "s").write_bytes(data)
        chunk = check_chunk(tmp_path / "s", 0, len(data), ORIGIN)
        assert (chunk.leaves, chunk.end, chunk.problem) == ([], 0, None)
