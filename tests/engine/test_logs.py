"""A log line is one JSON object of names and numbers, on stderr; a text is not cut short but left out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from engine.logs import names_only

LIBRARY = """
import logging
from engine.logs import Libraries
logging.getLogger().addHandler(Libraries(logging.WARNING))
try:
    raise ValueError("canary")
except ValueError:
    logging.getLogger("uvicorn.error").exception("canary %s", "canary")
"""
SCRIPT = "from engine.logs import log; log.info('model_loaded', model='a/b', text='x' * 10_000, note='a b', n=3)"


def test_a_line_is_one_object_without_texts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, check=True, text=True, cwd=Path(__file__).parents[2]
    )
    (line,) = done.stderr.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["model"], event["n"]) == ("model_loaded", "info", "a/b", 3)
    assert (event["text"], event["note"]) == ("[not logged]", "[not logged]")
    assert done.stdout == ""


def test_what_a_library_logs_is_told_without_its_text() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY], capture_output=True, check=True, text=True, cwd=Path(__file__).parents[2]
    )
    (line,) = done.stderr.splitlines()
    assert "canary" not in line
    assert (json.loads(line)["library"], json.loads(line)["error"]) == ("uvicorn.error", "ValueError")


@given(st.recursive(st.text(min_size=1), lambda inner: st.lists(inner, min_size=2, max_size=3), max_leaves=4))
def test_nothing_of_a_text_is_left(value: object) -> None:
    said = names_only(None, "info", {"field": [value, "canary"], "words": f"canary {value}"})
    assert "canary" not in str(said)
