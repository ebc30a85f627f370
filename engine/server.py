"""The model host's process: a unix socket, models behind it, and an end that is always tidy.

The socket is bound before torch is imported, so a supervisor can connect at once and reads 503 until all is loaded.
The process ends with its parent: stdin at its end means that whoever started it is gone. Status 2 and one JSON line
on stderr mean that starting it again cannot help; any other failure is worth a restart.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from engine.app import build_app
from engine.errors import ModelRefused
from engine.host import Host
from engine.logs import Libraries, log
from engine.spec import parse_specs

EXIT_REFUSED = 2
EXIT_FAILED = 1
DRAIN_S, TELLING_S = 2, 0.5
MAX_SOCKET_PATH = 107
"""Longest path the kernel takes for a unix socket."""


def bind(path: Path) -> socket.socket:
    """A socket only this user may connect to. A socket left by a dead process is replaced, a live one is not."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise ModelRefused("socket_path", f"`{path}` is longer than {MAX_SOCKET_PATH} bytes, the limit for a socket")
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise ModelRefused("socket_path", f"`{path}` cannot be bound: {exc.strerror}") from exc
    return listener


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ModelRefused("socket_path", f"`{path}` exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ModelRefused("socket_in_use", f"`{path}` belongs to a process that is running")


class _Server(uvicorn.Server):
    """Drops nobody without a word: who still waits a moment before the drain is over is told that it is."""

    def __init__(self, config: uvicorn.Config, host: Host) -> None:
        super().__init__(config)
        self._host = host

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        last_call = threading.Timer(DRAIN_S - TELLING_S, self._host.stop, (DRAIN_S,))
        last_call.daemon = True
        last_call.start()
        try:
            await super().shutdown(sockets)
        finally:
            last_call.cancel()


def serve(host: Host, path: Path, watches_stdin: bool) -> int:
    """Run until told to stop; the exit status."""
    listener = bind(path)
    config = uvicorn.Config(
        build_app(host),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=DRAIN_S,
        server_header=False,
    )
    server = _Server(config, host)

    def end() -> None:
        server.should_exit = True

    # uvicorn raises the signal that ended it once more, when it is done; then this handler finds nothing to do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end())
    if watches_stdin:
        threading.Thread(target=_end_with_stdin, args=(end,), name="parent", daemon=True).start()
    host.load_in_thread(end)
    server.run(sockets=[listener])
    host.stop(DRAIN_S)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    if host.failure is not None:
        return refuse(host.failure)
    return EXIT_FAILED if host.gave_up else 0


def _end_with_stdin(end: Callable[[], None]) -> None:
    while os.read(0, 4096):
        pass
    end()
    log.info("parent_gone")


def refuse(error: ModelRefused) -> int:
    """The one line a supervisor reads before it gives up."""
    with contextlib.suppress(OSError):
        print(json.dumps({"code": error.code, "message": error.problem}), file=sys.stderr, flush=True)
    return EXIT_REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.server",
        description="Serve models over HTTP on a unix socket: /classify, /v1/completions, /v1/chat/completions.",
        epilog="exit status: 0 told to stop, 1 failed and worth a restart, 2 can never work (one JSON line on stderr)",
    )
    parser.add_argument("--socket", required=True, type=Path, metavar="PATH")
    parser.add_argument("--models", required=True, metavar="JSON", help='[{"name": …, "path": …, "task": …}, …]')
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads for one step; 0: all cores")
    parser.add_argument("--ignore-stdin", action="store_true", help="do not end when stdin does")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.getLogger().addHandler(Libraries(logging.WARNING))
    try:
        specs = parse_specs(options.models)
        return serve(Host(specs, options.threads), options.socket, not options.ignore_stdin)
    except ModelRefused as exc:
        return refuse(exc)


if __name__ == "__main__":
    status = main()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    # A loader or a step may still be inside native code. Nothing is left to save, so leave without waiting for it.
    os._exit(status)
