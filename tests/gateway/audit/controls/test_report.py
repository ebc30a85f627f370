"""What the log has for a control is counted from its records; what it has not is a gap, with what to do."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from gateway.audit.controls.framework import FRAMEWORKS, Control, Evidence, Framework, load
from gateway.audit.controls.report import CAVEAT, Answered, answer, as_json, as_text
from gateway.audit.index import open_index
from gateway.audit.record import canonical
from gateway.audit.segments import segment_path

DAY = 86_400 * 10**9
DAY_0 = 20_000 * DAY


def written(path: Path, *records: tuple[str, int]) -> Path:
    """A log of these (type, time) that only the index looks at."""
    (path / "log" / "seg").mkdir(parents=True)
    lines = [canonical({"type": kind, "seq": seq, "ts": str(ts)}) for seq, (kind, ts) in enumerate(records)]
    segment_path(path / "log", 0).write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def asked(path: Path, *evidence: Evidence, since: int | None = None, until: int | None = None) -> Answered:
    framework = Framework("x", "X", "its source", (Control("1", "something", evidence),))
    with closing(open_index(path / "index.sqlite", path / "log")) as index:
        [answered] = answer(index, framework, since, until)
    return answered


def test_records_are_counted_with_the_first_and_the_last(tmp_path: Path) -> None:
    path = written(tmp_path, ("a.x", DAY_0 + 5), ("a.y", DAY_0 + 7), ("a.x", DAY_0 + DAY + 9), ("b.z", DAY_0 + 3 * DAY))
    item = Evidence(("a.x", "a.y", "c.w"), "who", "none")
    [found] = asked(path, item).found
    assert found.counts == (("a.x", 2), ("a.y", 1))
    assert (found.records, found.first_ns, found.last_ns, found.gap) == (3, DAY_0 + 5, DAY_0 + DAY + 9, "")
    [later] = asked(path, item, since=DAY_0 + DAY, until=DAY_0 + 2 * DAY).found
    assert (later.records, later.first_ns, later.last_ns) == (1, DAY_0 + DAY + 9, DAY_0 + DAY + 9)


def test_what_must_be_there_and_is_not_is_a_gap(tmp_path: Path) -> None:
    path = written(tmp_path, ("a.x", DAY_0))
    answered = asked(path, Evidence(("a.x",), "who", "none"), Evidence(("c.w",), "anchors", "configure `anchors`"))
    assert answered.gaps == ("configure `anchors`",)


def test_what_is_written_only_if_it_happens_is_no_gap_but_silence(tmp_path: Path) -> None:
    path = written(tmp_path, ("a.x", DAY_0))
    quiet = Evidence(("c.w",), "failures", "nothing failed", happens=True)
    answered = asked(path, Evidence(("a.x",), "who", "none"), quiet)
    assert (answered.gaps, answered.is_silent) == ((), False)
    assert answered.found[1].note == "nothing failed"
    alone = asked(path, quiet)
    assert (alone.gaps, alone.is_silent) == ((), True)
    assert asked(path).gaps == ("no record can speak to it",)


def test_what_should_be_there_each_day_says_on_how_many_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, *(("a.x", DAY_0 + n * DAY) for n in range(3)), ("log.review", DAY_0 + 2 * DAY))
    daily = Evidence(("log.review",), "reviews", "none", each_day=True)
    assert asked(path, daily).gaps == ("on 1 of 3 days with records only",)
    assert asked(path, daily, since=DAY_0 + 2 * DAY).gaps == ()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_counts_of_a_whole_framework_are_those_of_the_log(tmp_path: Path, name: str) -> None:
    framework = load(name)
    kinds = sorted({kind for control in framework.controls for item in control.evidence for kind in item.records})
    records = [(kind, DAY_0 + number) for number, kind in enumerate(kinds * 2)]
    path = written(tmp_path, *records)
    counted = Counter(kind for kind, _ in records)
    with closing(open_index(path / "index.sqlite", path / "log")) as index:
        answered = answer(index, framework, None, None)
    for one in answered:
        for found in one.found:
            assert dict(found.counts) == {kind: counted[kind] for kind in found.evidence.records}
    gaps = {one.control.id for one in answered if one.gaps}
    assert gaps <= {"Article 50"}, "nothing is missing from a log that has everything, but what no log can have"
    assert not any(one.is_silent for one in answered)


def test_an_empty_log_speaks_to_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    for name in FRAMEWORKS:
        with closing(open_index(path / "index.sqlite", path / "log")) as index:
            answered = answer(index, load(name), None, None)
        assert all(one.gaps or one.is_silent for one in answered)


def test_the_report_says_what_it_does_not_say(tmp_path: Path) -> None:
    framework = load("hipaa")
    with closing(open_index(tmp_path / "index.sqlite", written(tmp_path) / "log")) as index:
        answered = answer(index, framework, None, None)
    text = "\n".join(as_text(framework, answered))
    said = json.dumps(as_json(framework, answered))
    assert CAVEAT in text
    assert json.loads(said)["caveat"] == CAVEAT
    counts = json.loads(said)
    assert counts["gaps"] + counts["silent"] == len(framework.controls)
    assert f"{counts['gaps']} of {len(framework.controls)} controls have gaps: 164.312(b); " in text
    assert f"{counts['silent']} of {len(framework.controls)} controls are silent: 164.316(b)(2)(i)" in text
    for report in (text, said):
        assert "compliant" not in report
