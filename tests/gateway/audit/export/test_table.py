"""Rows that spreadsheets read as they are meant: no cell is a formula, no record two rows."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.export.table import HEADER, row
from gateway.audit.export.view import View
from tests.gateway.audit.export.golden_files import GOLDEN, LINES, exported

texts = st.text(max_size=12) | st.sampled_from(
    ("=1+1", "+x", "-x", "@x", "\t=1", "\r\nx", 'a","b', "=cmd|'/C calc'!A0")
)


def test_golden() -> None:
    assert exported("csv") == (GOLDEN / "export.csv").read_bytes()


def test_every_record_is_one_row_with_every_column() -> None:
    rows = list(csv.reader(io.StringIO(exported("csv").decode(), newline="")))
    assert len(rows) == len(LINES) + 1
    assert {len(cells) for cells in rows} == {len(rows[0])}


@given(st.lists(texts, min_size=5, max_size=5))
def test_no_cell_is_a_formula_and_no_record_two_rows(values: list[str]) -> None:
    model, tenant, app, rule, code = values
    record = {"target": {"model_req": model}, "tenant": tenant, "app": app, "decision": {"rules": [rule], "code": code}}
    [cells] = csv.reader(io.StringIO(row(View(record, b"")).decode(), newline=""))
    assert len(cells) == len(HEADER.split(b","))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in cells)
