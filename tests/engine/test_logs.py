"""A log line is one JSON object with short fields, on stderr."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = "from engine.logs import log; log.info('model_loaded', model='a\\nb', text='x' * 10_000, n=3)"


def test_a_line_is_one_object_and_no_field_is_long() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, check=True, text=True, cwd=Path(__file__).parents[2]
    )
    (line,) = done.stderr.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["model"], event["n"]) == ("model_loaded", "info", "a\nb", 3)
    assert len(event["text"]) == 200
    assert done.stdout == ""
