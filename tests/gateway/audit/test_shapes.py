"""Lines that hold by their shapes: the verdict is never another than that of reading them in full."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.audit.chunk import PAIRED, Chunk, check_chunk
from gateway.audit.errors import RecordError
from gateway.audit.merkle import leaf_hash
from gateway.audit.record import MAX_INT, Json, canonical, parse_line
from gateway.audit.shapes import Shapes, shape_of, shapes_of
from gateway.audit.writer import b64

ORIGIN, DIGEST = "test/one/audit", "sha256:" + "0123456789abcdef" * 4
NEVER = 1 << 60


def record(number: int, kind: str = "request.admit", **fields: Json) -> dict[str, Json]:
    guard: dict[str, Json] = {"name": "harm", "score_ppm": number * 7, "rows": [["S1", number], ["S2", -3]]}
    return {
        "v": 1,
        "origin": ORIGIN,
        "seq": number,
        "boot": "b1",
        "ts": str(1_800_000_000 + number),
        "mono": str(99 + number),
        "inst": {"id": "one", "on": True, "off": None},
        "type": kind,
        "req": f"r-{number}",
        "coverage": {
            "bytes": 40 + number,
            "bytes_scanned": 40 + number,
            "parts": 1,
            "parts_scanned": 1,
            "uncovered": [],
        },
        "policy": {"name": "p", "compiled_digest": DIGEST},
        "guards": [guard] * (1 + number % 3),
        "notes": ["plain", number],
        **fields,
    }


def chained(records: list[dict[str, Json]]) -> list[bytes]:
    lines: list[bytes] = []
    leaf = bytes(32)
    for one in records:
        lines.append(canonical({**one, "prev": b64(leaf)}))
        leaf = leaf_hash(lines[-1])
    return lines


EXEMPT: Json = {
    "bytes": 9,
    "bytes_scanned": 4,
    "bytes_exempt": 5,
    "parts": 3,
    "parts_scanned": 2,
    "parts_exempt": 1,
    "uncovered": [],
}
LINES = chained(
    [
        record(0),
        record(1),
        record(2, coverage=EXEMPT),
        record(3, "moderation.complete"),
        record(4, coverage=EXEMPT),
        record(5, "response.complete", req="r-1", content=[{"ref": "00", "bytes": 5}]),
        record(6),
        record(7, "response.complete", req="r-2", content=[{"ref": "01", "bytes": 6}]),
        record(8, "moderation.complete"),
        record(9, "gateway.start"),
        record(10),
        record(11),
    ]
)


def checked(folder: Path, lines: list[bytes], learn_after: int, torn: bytes = b"") -> Chunk:
    path = folder / "lines"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + torn)
    chunk = check_chunk(path, 0, path.stat().st_size, ORIGIN, Shapes(learn_after))
    # Of the last record only what orders it is kept.
    chunk.last = chunk.last._replace(prev="", kind="") if chunk.last is not None else None
    return chunk


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


def require_same(folder: Path, lines: list[bytes]) -> Chunk:
    quick, slow = checked(folder, lines, 1), checked(folder, lines, NEVER)
    assert quick == slow
    return quick


def test_lines_of_a_known_shape_are_not_read(folder: Path) -> None:
    shapes = Shapes(1)
    path = folder / "plain"
    path.write_bytes(b"".join(line + b"\n" for line in chained([record(number) for number in range(50)])))
    chunk = check_chunk(path, 0, path.stat().st_size, ORIGIN, shapes)
    assert (len(chunk.leaves), chunk.problem, shapes.learnt) == (50, None, 1)
    assert [event.request for event in chunk.events] == [f"r-{number}" for number in range(50)]
    assert [event.policy for event in chunk.events] == [DIGEST] + [""] * 49


def test_verdicts_over_ordinary_lines_are_the_same(folder: Path) -> None:
    chunk = require_same(folder, LINES)
    assert (chunk.problem, len(chunk.leaves), len(chunk.events)) == (None, 12, 10)
    assert chunk.events[4].content == [{"ref": "00", "bytes": 5}]


@given(st.integers(0, len(LINES) - 1), st.floats(0, 1, exclude_max=True), st.binary(max_size=3), st.integers(0, 3))
@example(6, 0.5, b"\\u0041", 1)
@example(6, 0.5, b"\x00", 1)
@example(11, 0.5, b"\n", 0)
@example(11, 0.99, b"\xff", 1)
def test_verdicts_over_damaged_lines_are_the_same(
    folder: Path, number: int, place: float, damage: bytes, cut: int
) -> None:
    line = LINES[number]
    at = int(place * len(line))
    broken = line[:at] + damage + line[at + cut :]
    require_same(folder, [*LINES[:number], *broken.split(b"\n"), *LINES[number + 1 :]])


TWISTS: list[tuple[bytes, bytes]] = [
    (b'"score_ppm":42', b'"score_ppm":042'),
    (b'"score_ppm":42', b'"score_ppm":-42'),
    (b'"score_ppm":42', b'"score_ppm":-0'),
    (b'"score_ppm":42', b'"score_ppm":42.0'),
    (b'"score_ppm":42', b'"score_ppm":4e1'),
    (b'"score_ppm":42', b'"score_ppm":' + str(MAX_INT).encode()),
    (b'"score_ppm":42', b'"score_ppm":' + str(MAX_INT + 1).encode()),
    (b'"score_ppm":42', b'"score_ppm":"42"'),
    (b'"score_ppm":42', b'"score_ppm":true'),
    (b'"score_ppm":42', b'"score_ppm": 42'),
    (b'"name":"harm"', b'"name":"h\\u0061rm"'),
    (b'"name":"harm"', b'"name":"h\\"rm"'),
    (b'"name":"harm"', b'"name":"h\\/rm"'),
    (b'"name":"harm"', b'"name":"h\\ud800rm"'),
    (b'"name":"harm"', b'"name":"h\x7frm"'),
    (b'"name":"harm"', b'"name":"h\trm"'),
    (b'"name":"harm"', '"name":"härm"'.encode()),
    (b'"name":"harm"', b'"name":"harm","name":"harm"'),
    (b'"name":"harm"', b'"name":"","nome":"harm"'),
    (b'"name":"harm"', b'"nome":"harm"'),
    (b'"notes":["plain",6]', b'"notes":[6,"plain"]'),
    (b'"notes":["plain",6]', b'"notes":[]'),
    (b'"notes":["plain",6]', b'"notes":[[]]'),
    (b'"notes":["plain",6]', b'"notes":["plain",6,]'),
    (b'"notes":["plain",6]', b'"notes":["plain",6],"notes":["plain",6]'),
    (b'"bytes":46', b'"bytes":47'),
    (b'"bytes":46,"bytes_scanned":46', b'"bytes":046,"bytes_scanned":046'),
    (b'"parts":1,"parts_scanned":1', b'"parts":0,"parts_scanned":0'),
    (b'"uncovered":[]', b'"uncovered":["x"]'),
    (b'"uncovered":[]', b'"uncovered":null'),
    (b'"on":true', b'"on":false'),
    (b'"off":null', b'"off":0'),
    (b'"v":1}', b'"v":2}'),
    (b'"v":1}', b'"v":1} '),
    (b'"origin":"test/one/audit"', b'"origin":"test/two/audit"'),
    (b'"type":"request.admit"', b'"type":"policy.load"'),
    (b'"ts":"1800000006"', b'"ts":"1800000004"'),
    (b'"ts":"1800000006"', b'"ts":"01800000006"'),
    (b'"ts":"1800000006"', b'"ts":"1800000006 "'),
    (b'"ts":"1800000006"', b'"ts":"18000000060000000000"'),
    (b'"ts":"1800000006"', b'"ts":"180000000600000000000"'),
    (b'"mono":"105"', b'"mono":"5"'),
    (b'"boot":"b1","', b'"boot":"b2","'),
    (b'"seq":6', b'"seq":7'),
    (b'"prev":"', b'"prev":"A'),
    (b'"req":"r-6"', b'"req":6'),
    (b'"coverage":', b'"continues":{"first":0,"offset":1},"coverage":'),
    (b'"compiled_digest":"sha256:0', b'"compiled_digest":"sha256:1'),
    (b'"compiled_digest":"sha256:0', b'"compiled_digest":7,"d":"sha256:0'),
]


@pytest.mark.parametrize("twist", TWISTS, ids=range(len(TWISTS)))
def test_verdicts_over_lines_that_are_almost_as_before_are_the_same(folder: Path, twist: tuple[bytes, bytes]) -> None:
    assert twist[0] in LINES[6]
    lines = [*LINES[:6], LINES[6].replace(twist[0], twist[1], 1)]
    require_same(folder, lines)
    # And where everything after it follows from what was put there.
    try:
        records = [*(parse_line(line) for line in lines), *(record(number) for number in (7, 8))]
    except RecordError:  # nothing follows from it
        return
    require_same(folder, chained(records))


def stored(**fields: Json) -> tuple[bytes, dict[str, Json]]:
    line = canonical({**record(1), **fields, "prev": ""})
    return line, parse_line(line)


def test_line_with_something_else_than_plain_text_makes_no_shape() -> None:
    for value in ('a "quote"', "ä", "tab\t", "back\\slash"):
        assert shape_of(*stored(note=value), PAIRED) is None
    assert shape_of(*stored(), PAIRED) is not None


def test_long_lines_and_many_kinds_make_no_shapes() -> None:
    shapes = Shapes(1)
    for number in range(150):
        shapes.learn(*stored(type=f"kind-{number}"), PAIRED)
    assert 50 < shapes.learnt < 150
    few = Shapes(1)
    few.learn(*stored(note="x" * 9000), PAIRED)
    assert few.learnt == 0


def test_fields_behind_the_type_do_not_hide_it(folder: Path) -> None:
    shapes, path = Shapes(1), folder / "usage"
    usage = [record(number, "moderation.complete", usage={"tokens": number}) for number in range(30)]
    path.write_bytes(b"".join(line + b"\n" for line in chained(usage)))
    assert len(check_chunk(path, 0, path.stat().st_size, ORIGIN, shapes).leaves) == 30
    assert (shapes.learnt, len(shapes.kinds)) == (1, 1)


def test_shapes_are_kept_for_a_process() -> None:
    assert shapes_of("a") is shapes_of("a")
    assert shapes_of("a") is not shapes_of("b")
