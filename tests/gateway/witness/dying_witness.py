"""A witness that kills itself, as hard as can be, at a chosen moment of keeping what it saw.

python dying_witness.py STATE LOG.vkey MOMENT
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from gateway.audit.files import OsFiles
from gateway.audit.note import parse_vkey
from gateway.witness.app import make_witness_app
from gateway.witness.seen import SeenFiles
from gateway.witness.service import Witness
from tests.gateway.witness.live_witness import COSIGNER, Served


class DyingFiles(OsFiles):
    """The real disk, up to the moment."""

    def __init__(self, moment: str) -> None:
        self._moment, self.armed = moment, False

    def _die(self, moment: str) -> None:
        if self.armed and moment == self._moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def rename(self, old: Path, new: Path) -> None:
        self._die("before the rename")
        super().rename(old, new)

    def sync_directory(self, path: Path) -> None:
        self._die("before the sync")
        super().sync_directory(path)
        self._die("before the answer")


def main() -> None:
    state, trust, moment = sys.argv[1:]
    key, files = parse_vkey(Path(trust).read_text()), DyingFiles(moment)
    seen = SeenFiles(Path(state), files)
    files.armed = True
    with Served(make_witness_app(Witness({key.name: key}, COSIGNER, seen))) as server:
        print(server.url, flush=True)
        threading.Event().wait(60)


if __name__ == "__main__":
    main()
