"""What the operating system said about a file, for whoever runs a command, with what to do where that is known.

Commands that read a log or ask a gateway take `gatehouse.yaml` of the current directory where no other is named. Who
does not have one there is told about the option, not only that a file he never named is missing.
"""

from __future__ import annotations

import errno
from pathlib import Path

DEFAULT_CONFIG = Path("gatehouse.yaml")


def file_problem(exc: OSError) -> str:
    """One line without the command's name."""
    why = exc.strerror or type(exc).__name__
    if exc.filename is None:
        return why
    told = f"`{exc.filename}`: {why}"
    if str(exc.filename) == str(DEFAULT_CONFIG) and exc.errno == errno.ENOENT:
        told += "; name the configuration with `--config FILE`"
    return told
