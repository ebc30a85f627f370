"""Processes of a benchmark: started on a core, waited for, measured from /proc, and stopped. Linux only.

Only processes of the tree below one that was started here are ever signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


class NotStarted(Exception):
    """A process ended, or did not answer, before it could be measured."""


def stat_fields(line: str) -> list[str]:
    """The fields of a /proc/PID/stat line that follow the command's name, which may itself hold spaces and brackets."""
    return line.rsplit(")", 1)[1].split()


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parent = int(stat_fields(Path(f"/proc/{entry}/stat").read_text())[1])
                children[parent].append(int(entry))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue += children[found[-1]]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the process tree, of its ended children too."""
    ticks = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, stat_fields(Path(f"/proc/{member}/stat").read_text())[11:15]))
    return ticks / _TICK


def rss_mib(pid: int) -> float:
    """Resident memory of the process tree; pages that its members share are counted for each."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{member}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return total / 1024


def busy_seconds() -> float:
    """Seconds that all cores together have worked, for whomever."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields[index] for index in (0, 1, 2, 5, 6)) / _TICK


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raise_priority(pid: int, nice: int) -> None:
    """Of the process tree, and of the sessions it has opened where the kernel schedules sessions as groups."""
    for member in tree(pid):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, member, nice)
            Path(f"/proc/{member}/autogroup").write_text(str(nice))


@contextlib.contextmanager
def started(
    argv: Sequence[str], directory: Path, ready: str, *, env: Mapping[str, str] | None = None, core: int | None = None
) -> Iterator[int]:
    """A process that answers at the URL `ready`; its pid. Its output goes to `output.log` in its directory."""
    with (directory / "output.log").open("ab") as log:
        process = subprocess.Popen(
            argv, cwd=directory, env=os.environ | dict(env or {}), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        if core is not None and core < (os.cpu_count() or 1):
            os.sched_setaffinity(process.pid, {core})
        _wait_ready(process, ready, directory / "output.log")
        yield process.pid
    finally:
        stop(process)


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise NotStarted(
                f"ended with status {process.returncode}: {log.read_text(errors='replace')[-500:].strip()}"
            )
        with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=2) as answer:
            answer.read()
            return
        time.sleep(0.1)
    raise NotStarted(f"not ready after {seconds:.0f} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL for what of its tree is left ten seconds later."""
    if process.poll() is not None:
        return
    members = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    for member in members:
        with contextlib.suppress(OSError):
            os.kill(member, signal.SIGKILL)
    process.wait()
