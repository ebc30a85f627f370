"""A missing default configuration names the option; everything else is what the system says."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway.file_problem import DEFAULT_CONFIG, file_problem


@pytest.mark.parametrize(
    ("code", "name", "told"),
    [
        (errno.ENOENT, DEFAULT_CONFIG, "`gatehouse.yaml`: No such file or directory; name the configuration with"),
        (errno.ENOENT, Path("x/gatehouse.yaml"), "`x/gatehouse.yaml`: No such file or directory"),
        (errno.EACCES, DEFAULT_CONFIG, "`gatehouse.yaml`: Permission denied"),
        (errno.ENOSPC, None, "No space left on device"),
    ],
)
def test_what_is_said(code: int, name: Path | None, told: str) -> None:
    said = file_problem(OSError(code, os.strerror(code), name))
    assert said.startswith(told)
    assert ("--config" in said) == (name == DEFAULT_CONFIG and code == errno.ENOENT)
