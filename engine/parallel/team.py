"""The processes of one model, as the first of them sees it: told what a step is, then computing it together.

Orders go through each one's standard input, which nobody else can write to, and whose end tells it to go. An adapter is
theirs when each has said so, and until nobody here holds it any more. Sums and the
rows of a step go through gloo on the loopback interface, which has no keys: on a machine where other users could
connect there, one process is what to run. If one is lost the sum fails, and so does every later step, until the model
host gives up and is started again; a wait never lasts longer than PATIENCE. A step that this process did not bring to
its end means the same: the others still wait for its sums.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, finalize

import torch.distributed as dist
from torch import Tensor

from engine.errors import EngineError, ModelRefused
from engine.model.attention import Layer
from engine.parallel.order import add_order, copy_order, forget_order, packed, step_order

if TYPE_CHECKING:
    from engine.adapters import Adapter

PATIENCE = timedelta(seconds=60)
"""For a sum: a process that takes longer is not coming back."""
FAREWELL_S = 5
SUMS = 2
"""Of each layer: of its attention, and of its feed-forward."""


@dataclass(frozen=True, slots=True)
class Task:
    """What every process of a team is told at its start."""

    directory: Path
    world: int
    precision: str
    kv_bytes: int
    """Memory for keys and values of each process."""
    kv_precision: str = "auto"
    threads: int = 1
    offload: str = ""
    resident_bytes: int = 0
    """Of the experts that stay in their file, in each process."""


class Group:
    """Sums over all processes. Made by all of them at once."""

    def __init__(self, meeting: Path, rank: int, world: int) -> None:
        """`meeting`: a file that they all name, in a directory of their own."""
        gloo: Any = dist.ProcessGroupGloo
        options = gloo._Options()
        options._devices = [gloo.create_device(interface="lo")]
        options._timeout, options._threads = PATIENCE, 1
        store: Any = dist.FileStore(str(meeting), world)  # type: ignore[attr-defined]
        self._group: Any = gloo(store, rank, world, options)

    def total(self, part: Tensor) -> Tensor:
        """The sum of everybody's part, in fp32 on the way."""
        wide = part.float().contiguous()
        self._group.allreduce([wide]).wait()
        return wide.to(part.dtype)

    def share(self, rows: Tensor) -> None:
        """Fill `rows` with those of the first process."""
        self._group.broadcast(rows, 0).wait()


class Team:
    """All processes but this one, and this one's part in their sums."""

    def __init__(self, task: Task) -> None:
        """Start them; ModelRefused when one of them cannot do it."""
        self._place = tempfile.TemporaryDirectory(prefix="gatehouse-team-")
        meeting = Path(self._place.name) / "meeting"
        self._members = [_started(task, rank, meeting) for rank in range(1, task.world)]
        self.world = task.world
        self._is_whole = True
        self._owed = 0
        """Sums that the others still wait for."""
        self._telling = threading.Lock()
        self._adapters: WeakKeyDictionary[Adapter, int] = WeakKeyDictionary()
        self._numbers, self._unheld = count(1), deque[int]()
        try:
            for member in self._members:
                _await_ready(member)
            self._group = Group(meeting, 0, task.world)
        # Whoever gets no team cannot close it: no process stays behind, whatever the reason, which goes on.
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """Of the further processes."""
        return [member.pid for member in self._members]

    def add(self, adapter: Adapter, directory: Path) -> None:
        """Have them read it, too, one at a time, also beside a step. Who cannot is lost, and with it the team."""
        number = next(self._numbers)
        self._send(add_order(number, adapter.digest, directory))
        with self._together():
            for member in self._members:
                _await_ready(member)
        self._adapters[adapter] = number
        # The last that holds it may be any thread in the middle of anything: what follows is said with the next step.
        finalize(adapter, self._unheld.append, number).atexit = False

    def begin(
        self, x_tD: Tensor, positions_t: Tensor, planned: Sequence[Layer], adapters: Sequence[tuple[slice, Adapter]]
    ) -> None:
        """Have them compute the layers of this step, too; each then calls `total` as often as this process."""
        while self._unheld:
            self._tell(forget_order(self._unheld.popleft()))
        self._tell(step_order(positions_t, planned, [(rows, self._adapters[one]) for rows, one in adapters]))
        with self._together():
            self._group.share(x_tD.contiguous())
        self._owed = SUMS * len(planned)

    def total(self, part_tD: Tensor) -> Tensor:
        with self._together():
            found = self._group.total(part_tD)
        self._owed -= 1
        return found

    def copied(self, source: int, target: int, count: int) -> None:
        """The same in their memories."""
        self._tell(copy_order(source, target, count))

    def close(self) -> None:
        """Those that are still there end, by the end of their input or else by force, at once where a sum is lost."""
        patience_s = FAREWELL_S if self._is_whole and not self._owed else 0
        for member in self._members:
            if member.stdin is not None:
                with suppress(BrokenPipeError):  # it has gone already, with something unread
                    member.stdin.close()
        for member in self._members:
            try:
                member.wait(patience_s)
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()
            if member.stdout is not None:
                member.stdout.close()
        self._place.cleanup()

    def _tell(self, numbers: Sequence[int]) -> None:
        """Between two steps."""
        self._is_whole = self._is_whole and not self._owed
        self._send(numbers)

    def _send(self, numbers: Sequence[int]) -> None:
        message = packed(numbers)
        with self._telling, self._together():
            for member in self._members:
                assert member.stdin is not None
                member.stdin.write(message)
                member.stdin.flush()

    @contextmanager
    def _together(self) -> Iterator[None]:
        """After one failure nobody knows what the others wait for: nothing is computed any more."""
        if not self._is_whole:
            raise EngineError("a process of this model is lost")
        try:
            yield
        # Whatever it was, it goes on; this only keeps in mind that it happened.
        except BaseException:
            self._is_whole = False
            raise


def _started(task: Task, rank: int, meeting: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "engine.parallel.member", "--directory", str(task.directory), "--rank", str(rank)]
    argv += ["--world", str(task.world), "--meeting", str(meeting), "--precision", task.precision]
    argv += ["--kv-bytes", str(task.kv_bytes), "--kv-precision", task.kv_precision, "--threads", str(task.threads)]
    argv += ["--offload", task.offload, "--resident-bytes", str(task.resident_bytes)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - no shell, our program


def _await_ready(member: subprocess.Popen[bytes]) -> None:
    assert member.stdout is not None
    if member.stdout.readline().strip() != b"ready":
        raise ModelRefused("parallel_failed", "a process of this model ended before it was ready; its output says why")
