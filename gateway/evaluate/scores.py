"""The scores file: a Run as JSON lines, to be reported on again without models and without texts.

The first line says what was judged by what; every other line is one row: its number in the set, its label and groups,
and what each detector said. It holds no text. Its ids tell equal texts apart from different ones inside the file and
cannot be computed by anybody who only guesses a text. A file that is cut short or edited into nonsense is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.evaluate.errors import EvaluationError, LinesRefused
from gateway.evaluate.fields import Fields
from gateway.evaluate.rows import ROLES, numbered_lines, parse_line
from gateway.evaluate.run import Judged, Run, ScoredRow, Subject
from gateway.jsonstrict import Json, dumps

FORMAT: Final = "scores/v1"


def write_scores(run: Run, path: Path) -> None:
    """Raises OSError. Only the owner may read it: scores of private texts are private, too."""
    path.touch(mode=0o600)
    with path.open("wb") as file:
        file.write(dumps(_header(run)) + b"\n")
        file.writelines(dumps(_row(row)) + b"\n" for row in run.rows)


def _header(run: Run) -> Json:
    return {
        "gatehouse": FORMAT,
        "date": run.date,
        "version": run.version,
        "hardware": run.hardware,
        "set": run.set_name,
        "set_digest": run.set_digest,
        "rows": len(run.rows),
        "policy": run.policy,
        "ignored": dict(run.ignored),
        "detectors": [_subject(subject) for subject in run.subjects],
    }


def _subject(subject: Subject) -> Json:
    return {
        "name": subject.name,
        "use": subject.use,
        "version": subject.version,
        "weights": subject.weights,
        "threshold_ppm": subject.threshold_ppm,
        "threshold_from": subject.threshold_from,
        "is_model": subject.is_model,
        "category_ppm": dict(subject.category_ppm),
        "rows": subject.rows,
        "wall_us": subject.wall_us,
        "concurrency": subject.concurrency,
        "timeout_ms": subject.timeout_ms,
        "options": list(subject.options),
    }


def _row(row: ScoredRow) -> Json:
    return {
        "row": row.line,
        "id": row.id,
        "label": int(row.label),
        "categories": list(row.categories),
        "language": row.language,
        "source": row.source,
        "role": row.role,
        "scores": {name: _judged(judged) for name, judged in row.judged.items()},
    }


def _judged(judged: Judged) -> Json:
    said: dict[str, Json] = {"us": judged.us, "alone": judged.alone}
    if judged.score_ppm is None:
        return {"error": judged.error, **said}
    score: dict[str, Json] = {"ppm": judged.score_ppm, "windows": judged.windows, "view": judged.view}
    return {**score, "categories": dict(judged.categories), **said} if judged.categories else {**score, **said}


def read_scores(path: Path) -> Run:
    """Raises EvaluationError for a file that cannot be read, LinesRefused for one that is no scores file."""
    lines = numbered_lines(path)
    problems: list[tuple[int, str]] = []
    header, rows = None, []
    for number, raw in lines:
        try:
            fields = Fields(parse_line(raw))
            if header is None:
                header = _read_header(fields)
                continue
            rows.append(_read_row(fields, tuple(subject.name for subject in header[0].subjects)))
        except ValueError as exc:
            problems.append((number, str(exc)))
            if header is None:
                break
    if header is None and not problems:
        problems.append((1, "the file is empty"))
    if header is not None and not problems and len(rows) != header[1]:
        problems.append((1, f"the file has {len(rows)} rows, its first line says {header[1]}"))
    if problems or header is None:
        raise LinesRefused(str(path), problems)
    return replace(header[0], rows=tuple(rows))


def narrowed(run: Run, names: Sequence[str], threshold_ppm: int | None) -> Run:
    """Only these detectors (none named: all), at another threshold if one is given. Raises EvaluationError."""
    known = [subject.name for subject in run.subjects]
    for name in names:
        if name not in known:
            raise EvaluationError(f"the scores are of {', '.join(known)}, not of `{name[:40]}`")
    subjects = [run.subject(name) for name in names or known]
    if threshold_ppm is not None:
        subjects = [replace(one, threshold_ppm=threshold_ppm, threshold_from="command line") for one in subjects]
    kept = [subject.name for subject in subjects]
    rows = [replace(row, judged=MappingProxyType({name: row.judged[name] for name in kept})) for row in run.rows]
    return replace(run, subjects=tuple(subjects), rows=tuple(rows))


def _read_header(fields: Fields) -> tuple[Run, int]:
    """The run without its rows, and how many there have to be."""
    if not fields.has("gatehouse") or fields.text("gatehouse") != FORMAT:
        raise ValueError(f"the first line is not that of a scores file, expected `gatehouse` to be `{FORMAT}`")
    subjects = tuple(map(_read_subject, fields.objects("detectors")))
    if not subjects or len({subject.name for subject in subjects}) != len(subjects):
        raise ValueError("`detectors` is empty or names one twice")
    run = Run(
        date=fields.text("date"),
        version=fields.text("version"),
        hardware=fields.text("hardware"),
        set_name=fields.text("set"),
        set_digest=fields.text("set_digest"),
        policy=fields.text("policy"),
        subjects=subjects,
        rows=(),
        ignored=tuple(fields.object("ignored").each(Fields.count).items()),
    )
    return run, fields.count("rows")


def _read_subject(fields: Fields) -> Subject:
    return Subject(
        name=fields.text("name"),
        use=fields.text("use"),
        version=fields.text("version"),
        weights=fields.text("weights"),
        threshold_ppm=fields.ppm("threshold_ppm"),
        threshold_from=fields.text("threshold_from"),
        is_model=fields.flag("is_model"),
        category_ppm=fields.object("category_ppm").each(Fields.ppm),
        rows=fields.count("rows"),
        wall_us=fields.count("wall_us"),
        concurrency=fields.count("concurrency"),
        timeout_ms=fields.count("timeout_ms"),
        options=fields.texts("options"),
    )


def _read_row(fields: Fields, names: tuple[str, ...]) -> ScoredRow:
    role = fields.text("role")
    if role not in ROLES:
        raise ValueError(f"`role` is not one of {', '.join(ROLES)}")
    scores = fields.object("scores").each(Fields.object)
    if sorted(scores) != sorted(names):
        raise ValueError("`scores` has not one entry for each detector of the first line")
    return ScoredRow(
        line=fields.count("row"),
        id=fields.text("id"),
        label=fields.flag("label"),
        judged=MappingProxyType({name: _read_judged(scores[name]) for name in names}),
        categories=fields.texts("categories"),
        language=fields.text("language"),
        source=fields.text("source"),
        role=role,
    )


def _read_judged(fields: Fields) -> Judged:
    us, alone = fields.count("us"), fields.flag("alone")
    if fields.has("error"):
        return Judged(None, fields.text("error"), us=us, alone=alone)
    categories = fields.object("categories").each(Fields.ppm) if fields.has("categories") else MappingProxyType({})
    return Judged(
        fields.ppm("ppm"), "", categories, fields.count("windows"), fields.text("view"), us, alone
    )  # fmt: skip
