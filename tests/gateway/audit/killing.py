"""kill -9 of a process that writes and tells what it promised. Not a test itself."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path


def run_and_kill(
    writes: Callable[[Path, int, Connection], None], path: Path, number: int, after_s: float
) -> dict[int, bytes]:
    """Leaf hashes by number, as a writer promised them before it was killed, some time after it was begun."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([writes.__module__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=writes, args=(path, number, theirs))
    process.start()
    theirs.close()
    timer = threading.Timer(after_s, os.kill, (process.pid, signal.SIGKILL))
    timer.start()
    with os.fdopen(os.dup(ours.fileno())) as told:
        lines = [line.split() for line in told if line.endswith("\n")]
    timer.join()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    ours.close()
    process.close()
    return {int(seq): bytes.fromhex(leaf) for seq, leaf in lines}
