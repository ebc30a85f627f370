"""Records as a Parquet file with typed columns, for DuckDB, Spark and the like. Needs the extra `gatehouse[parquet]`.

Rows are written in groups, so memory stays at one group however long the log is. Scores stay integers in parts per
million, as they are recorded; times are UTC nanoseconds; what each detector said is a list of structs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO, Final

from gateway.audit.export.errors import ExportError
from gateway.audit.export.view import Score, View

GROUP: Final = 10_000
"""Rows held in memory."""
_TEXTS: Final = ("type", "stage", "req", "tenant", "app", "origin", "prev")


def write(views: Iterable[View], out: BinaryIO) -> int:
    """Write all; the number of rows. Raises ExportError when the library is not there."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exc:
        raise ExportError("Parquet needs pyarrow, which is not installed: pip install 'gatehouse[parquet]'") from exc
    schema = _schema(pyarrow)
    written, rows = 0, list[dict[str, Any]]()
    with pyarrow.parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for view in views:
            rows.append(_row(view))
            if len(rows) == GROUP:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                written, rows = written + len(rows), []
        writer.write_table(pyarrow.Table.from_pylist(rows, schema))
    return written + len(rows)


def _schema(pa: Any) -> Any:  # noqa: ANN401 - pyarrow is not a dependency, so neither are its types
    score = pa.struct(
        [
            ("detector", pa.string()), ("use", pa.string()), ("part", pa.string()), ("scope", pa.string()),
            ("score_ppm", pa.int32()), ("threshold_ppm", pa.int32()), ("error", pa.string()),
            ("categories", pa.list_(pa.struct([("code", pa.string()), ("score_ppm", pa.int32())]))),
        ]
    )  # fmt: skip
    words = {name: pa.dictionary(pa.int32(), pa.string()) for name in ("type", "stage", "tenant", "app", "origin")}
    return pa.schema(
        [
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("ts", pa.timestamp("ns", tz="UTC"), nullable=False),
            *((name, words.get(name, pa.string())) for name in _TEXTS),
            ("leaf", pa.string()), ("actor", pa.string()), ("upstream", pa.string()), ("model_req", pa.string()),
            ("model_served", pa.string()), ("policy", pa.string()), ("policy_digest", pa.string()),
            ("outcome", pa.string()), ("action", pa.string()), ("code", pa.string()), ("rules", pa.list_(pa.string())),
            ("flags", pa.list_(pa.string())), ("guards", pa.list_(score)), ("status", pa.int32()),
            ("tokens_in", pa.int64()), ("tokens_out", pa.int64()),
        ]
    )  # fmt: skip


def _row(view: View) -> dict[str, Any]:
    return {
        "seq": view.seq,
        "ts": view.ts_ns,
        **{name: view.text(name) or None for name in _TEXTS},
        "leaf": view.leaf,
        "actor": view.who or None,
        "upstream": view.text("target", "upstream") or None,
        "model_req": view.text("target", "model_req") or None,
        "model_served": view.text("target", "model_served") or None,
        "policy": view.text("policy", "name") or None,
        "policy_digest": view.policy_digest or None,
        "outcome": view.outcome or None,
        "action": view.action or None,
        "code": view.code or None,
        "rules": list(view.rules),
        "flags": list(view.flags),
        "guards": [_score(score) for score in view.scores],
        "status": _small(view.number("http", "status")),
        "tokens_in": view.tokens_in,
        "tokens_out": view.tokens_out,
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "detector": score.detector,
        "use": score.use or None,
        "part": score.part,
        "scope": score.scope,
        "score_ppm": _small(score.score_ppm),
        "threshold_ppm": _small(score.threshold_ppm),
        "error": score.error or None,
        "categories": [{"code": code, "score_ppm": _small(ppm)} for code, ppm in score.categories],
    }


def _small(value: int | None) -> int | None:
    """A number of 32 bits; a corrupt record's number beyond that has no value."""
    return value if value is not None and -(2**31) <= value < 2**31 else None
