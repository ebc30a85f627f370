"""The running gateway's admin listener as a command meets it: one writer per log, so commands ask it to write.

A command that reads or changes what is recorded goes through the gateway, which alone may append to the log. The key
comes from `--key-file` or `GATEHOUSE_OPERATOR_KEY`, never from the command line, where every process could read it. If
no gateway runs, the command says so and does nothing. Proxies of the environment are not used.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from gateway.file_problem import file_problem
from policies.errors import FileErrors

if TYPE_CHECKING:
    from gateway.config import Address

KEY_VARIABLE: Final = "GATEHOUSE_OPERATOR_KEY"
FAILED: Final = 2
"""Exit status: it was not done."""
_PATIENCE_S: Final = 60.0


class AdminError(Exception):
    """It was not done. The message is for the operator; `code` is the gateway's."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


class AdminClient:
    """Asks one gateway's admin listener in one operator's name."""

    def __init__(self, url: str, key: str, *, patience_s: float = _PATIENCE_S) -> None:
        self._url, self._key, self._patience_s = url.rstrip("/"), key, patience_s

    def get(self, path: str) -> dict[str, Any]:
        """The answer's JSON. Raises AdminError."""
        return _object(self.send("GET", path))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's JSON. Raises AdminError."""
        return _object(self.send("POST", path, body))

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """The answer, whose status is 2xx. Raises AdminError."""
        headers = {"authorization": f"Bearer {self._key}"}
        try:
            with httpx.Client(trust_env=False, timeout=self._patience_s) as client:
                response = client.request(method, self._url + path, headers=headers, json=body)
        except httpx.ConnectError:
            problem = f"no gateway answers at {self._url}: this needs one that runs, as only it may write to the log"
            raise AdminError("not_running", problem) from None
        except httpx.HTTPError as exc:
            raise AdminError("no_answer", f"the gateway at {self._url} gave no answer: {type(exc).__name__}") from exc
        if response.is_success:
            return response
        raise _error(response)


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise AdminError("no_answer", "what answers is no admin listener of ours: its answer is no JSON object")
    return value


def _error(response: httpx.Response) -> AdminError:
    try:
        error = response.json()["error"]
        return AdminError(str(error["code"]), str(error["message"]))
    except (ValueError, KeyError, TypeError):
        return AdminError("no_answer", f"what answers is no admin listener of ours: status {response.status_code}")


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """`--config` and `--key-file`, for commands that go through the running gateway."""
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("gatehouse.yaml"),
        metavar="FILE",
        help="configuration of the running gateway, for its admin address (default: gatehouse.yaml)",
    )
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help=f"the operator's key (default: from {KEY_VARIABLE})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def client_of(arguments: argparse.Namespace) -> AdminClient:
    """The client that the options of `add_client_options` describe. Raises AdminError."""
    from gateway.config import load_config

    return AdminClient(_url(load_config(arguments.config).admin), _key(arguments.key_file))


def guarded(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """A command's `run`, whose failures become one line and exit status 2."""

    def run_guarded(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except AdminError as exc:
            print(f"gatehouse: {exc.code}: {exc}", file=sys.stderr)
        except FileErrors as exc:
            print(exc, file=sys.stderr)
        except BrokenPipeError:
            raise
        except OSError as exc:
            print(f"gatehouse: {file_problem(exc)}", file=sys.stderr)
        return FAILED

    return run_guarded


def _url(address: Address) -> str:
    # Who listens everywhere is reached here; nothing is bound.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
    return f"http://[{host}]:{address.port}" if ":" in host else f"http://{host}:{address.port}"


def _key(file: Path | None) -> str:
    key = file.read_text().strip() if file is not None else os.environ.get(KEY_VARIABLE, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise AdminError(
            "missing_operator_key", f"no operator key: name a file with `--key-file`, or set {KEY_VARIABLE}"
        )
    return key
