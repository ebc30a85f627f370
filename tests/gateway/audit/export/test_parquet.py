"""A Parquet file gives back what was recorded, typed; without the library the command says what to install."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.export import parquet
from gateway.audit.export.formats import export
from tests.gateway.audit.export.golden_files import GOLDEN, LINES, VIEWS, exported, line_of

pyarrow = pytest.importorskip("pyarrow", reason="the extra `gatehouse[parquet]` is not installed")
pq = pytest.importorskip("pyarrow.parquet")


def read(data: bytes) -> Any:
    return pq.read_table(io.BytesIO(data))


def test_golden() -> None:
    """The file itself names the library's version, so its rows are compared."""
    table = read(exported("parquet"))
    table = table.set_column(1, "ts", table["ts"].cast(pyarrow.int64()))
    assert table.to_pylist() == [
        json.loads(line) for line in (GOLDEN / "export.parquet.jsonl").read_text().splitlines()
    ]


def test_columns_are_typed() -> None:
    schema = read(exported("parquet")).schema
    assert schema.field("ts").type == pyarrow.timestamp("ns", tz="UTC")
    assert (schema.field("seq").type, schema.field("tokens_in").type) == (pyarrow.int64(), pyarrow.int64())
    score = schema.field("guards").type.value_type
    assert score.field("score_ppm").type == pyarrow.int32()
    assert score.field("categories").type.value_type.field("code").type == pyarrow.string()


def test_rows_come_back_as_they_were_recorded() -> None:
    rows = read(exported("parquet"))
    guards, rules = rows["guards"].to_pylist(), rows["rules"].to_pylist()
    for view, row_guards, row_rules in zip(VIEWS, guards, rules, strict=True):
        assert tuple(row_rules) == view.rules
        assert [(g["detector"], g["score_ppm"], g["error"]) for g in row_guards] == [
            (score.detector, score.score_ppm, score.error or None) for score in view.scores
        ]


def test_more_rows_than_a_group_are_written_in_several() -> None:
    number = parquet.GROUP + 3
    out = io.BytesIO()
    done = export((line_of(seq=seq) for seq in range(number)), "parquet", out)
    file = pq.ParquetFile(out)
    assert (done.records, file.metadata.num_rows, file.num_row_groups) == (number, number, 2)
    assert [seq for batch in file.iter_batches() for seq in batch["seq"].to_pylist()] == list(range(number))


def test_an_empty_log_is_a_table_without_rows() -> None:
    assert read(exported("parquet", [])).num_rows == 0


def test_numbers_that_do_not_fit_have_no_value() -> None:
    [row] = read(exported("parquet", [line_of(http={"status": 2**40})])).to_pydict()["status"]
    assert row is None


def test_without_the_library_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "seg").mkdir()
    (tmp_path / "seg" / "0000000000000000.jsonl").write_bytes(LINES[0] + b"\n")
    words = ["audit", "export", "--format", "parquet", "--dir", str(tmp_path), "--out", str(tmp_path / "x")]
    program = f"import sys; sys.modules['pyarrow'] = None; from gateway.cli import main; sys.exit(main({words}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 5
    assert "pip install 'gatehouse[parquet]'" in done.stderr
    assert not (tmp_path / "x").exists()
