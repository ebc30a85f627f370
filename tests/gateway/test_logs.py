"""A careless log call cannot put a prompt, an answer or a key into the operational log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.logs import refuse_text

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-of-a-user"
LONG = CANARY + "x" * 300


def logged(**fields: Any) -> dict[str, Any]:
    return dict(refuse_text(None, "info", {"event": "happened"} | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": CANARY}, {"text": CANARY}, {"messages": [CANARY]}, {"body": CANARY.encode()}, {"key": CANARY},
        {"Content": CANARY}, {"note": LONG}, {"note": CANARY.encode()}, {"note": [LONG]}, {"note": {"prompt": CANARY}},
        {"note": [{"deep": ({"text": CANARY},)}]}, {"error": ValueError(CANARY)}, {"problems": [LONG]},
        {"note": {"a": LONG}}, {"note": f"say {CANARY}"}, {"note": [f"{CANARY}\nnow"]},
        {"a": {"b": f"{CANARY}\u00a0x"}}, {"event": f"refused {CANARY}"}, {"event": CANARY}, {"token": CANARY},
        {"note": type("Part", (), {"__repr__": lambda _: CANARY})()},
    ],
)  # fmt: skip
def test_text_does_not_reach_the_line(fields: dict[str, Any]) -> None:
    assert CANARY not in json.dumps(logged(**fields), default=repr)


def test_what_an_operator_needs_stays() -> None:
    fields = {"exchange": "id", "ms": 11, "ratio": 0.5, "ok": True, "code": None, "rules": ["a", "b"], "at": "f.py:3"}
    assert logged(**fields) == {"event": "happened"} | fields
    assert logged(error=KeyError("secret"))["error"] == "KeyError"
    problems = "policy.yaml:1:2: " + "x" * 500
    assert logged(problems=problems)["problems"] == problems, "an operator's own file may be quoted at length"


@given(st.recursive(st.text() | st.binary() | st.none() | st.floats(), lambda i: st.lists(i) | st.dictionaries(
    st.text(max_size=5), i), max_leaves=10))  # fmt: skip
def test_no_value_breaks_the_processor_and_no_long_text_passes(value: Any) -> None:
    line = json.dumps(logged(note=[value, LONG]))
    assert CANARY not in line


@given(name=st.text(min_size=1, max_size=12), words=st.lists(st.text(min_size=1, max_size=9), min_size=2, max_size=4))
def test_no_field_holds_two_words_but_those_for_our_own_sentences(name: str, words: list[str]) -> None:
    """A prompt is rarely one word, whatever the field is called that it was put into."""
    said = logged(**{name: " ".join(words)})[name]
    assert said == "[not logged]" or name in {"problem", "problems", "act", "state"}


def test_our_own_sentences_stay() -> None:
    assert logged(problem="No space left on device", act="run `gatehouse audit verify`")["problem"].startswith(
        "No space"
    )
    assert logged(problem="x" * 301)["problem"] == "[not logged]"


def run(program: str) -> list[dict[str, Any]]:
    """Lines that a process of ours writes to stderr."""
    program = f"import logging, structlog, sys; from gateway import logs; logs.set_up('front'); {program}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_lines_are_json_with_level_time_and_process() -> None:
    [line] = run("structlog.get_logger().info('started', port=80, prompt='canary')")
    assert line.pop("timestamp")
    assert line == {"event": "started", "level": "info", "process": "front", "port": 80, "prompt": "[not logged]"}


def test_libraries_say_who_and_which_exception_but_not_what() -> None:
    """uvicorn logs tracebacks and asyncio logs reprs of tasks; both can quote what a user sent."""
    lines = run(
        "log = logging.getLogger('uvicorn.error'); log.info('canary'); log.warning('canary %s', 'canary')\n"
        "try:\n    {}['canary']\nexcept KeyError:\n    log.exception('canary')\n"
    )
    assert "canary" not in json.dumps(lines)
    assert [(line["event"], line["library"], line["error"]) for line in lines] == [
        ("library_warned", "uvicorn.error", ""),
        ("library_warned", "uvicorn.error", "KeyError"),
    ]


def test_a_library_that_says_the_same_again_and_again_is_counted_and_another_is_heard() -> None:
    """A stranger who sends what is no HTTP writes a line of ours with each."""
    lines = run(
        "log = logging.getLogger('uvicorn.error')\n"
        "for _ in range(900):\n    log.warning('canary')\n"
        "logging.getLogger('asyncio').error('canary')\n"
    )
    assert 20 <= len([line for line in lines if line["library"] == "uvicorn.error"]) <= 30
    assert lines[-1]["library"] == "asyncio"


def test_the_next_line_says_how_many_were_left_out() -> None:
    lines = run(
        "import time; log = logging.getLogger('x'); log.propagate = False\n"
        "log.addHandler(logs.Libraries(burst=1, per_s=20))\n"
        "for wait in (0, 0, 0, 0.1):\n    time.sleep(wait)\n    log.warning('canary')\n"
    )
    assert [line.get("left_out") for line in lines] == [None, 2]
