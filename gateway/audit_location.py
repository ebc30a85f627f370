"""Where the log and its public key are, for every audit command, and how a command ends when it cannot work.

The trust root is the caller's, or the configuration's: it is never taken from the log.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.errors import ProofError, TrustError
from gateway.audit.report import Exit
from gateway.audit.sinks.settings import SinksSettings
from gateway.file_problem import file_problem

CONFIG_HELP = "configuration that says where the log is (default: gatehouse.yaml)"


@dataclass(frozen=True, slots=True)
class AuditLocation:
    """Where a configuration puts the log, and the public key to check it with."""

    directory: Path
    trust: Path
    origin: str = ""
    sinks: SinksSettings = field(default_factory=SinksSettings)
    """Second places of the log, for what is made again from them."""


Locate = Callable[[Path], AuditLocation]


class UsageError(Exception):
    """The command cannot do what was asked. The message is for the operator."""


def guarded(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    def run_guarded(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except (UsageError, TrustError) as exc:
            return _complain(str(exc))
        except ProofError as exc:
            print(f"gatehouse audit: {exc.code}: {exc}", file=sys.stderr)
            return Exit.ALTERED
        except BrokenPipeError:
            # The reader of our output has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except OSError as exc:
            return _complain(file_problem(exc))

    return run_guarded


def _complain(problem: str) -> int:
    print(f"gatehouse audit: {problem}", file=sys.stderr)
    return Exit.USAGE


def location_of(arguments: argparse.Namespace) -> AuditLocation:
    directory, trust = arguments.dir, getattr(arguments, "trust", None)
    if directory is None or (trust is None and "trust" in arguments):
        if directory is not None:
            raise UsageError("`--dir` needs `--trust` beside it: trust is never taken from the log itself")
        found: AuditLocation = arguments.locate(arguments.config)
        directory, trust = found.directory, trust or found.trust
    if not (directory / "seg").is_dir():
        raise UsageError(f"`{directory}` is not an audit log: it has no directory `seg`")
    return AuditLocation(directory, trust or Path())
