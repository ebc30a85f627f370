"""`gatehouse audit keys request | sign | install | list`: epoch keys of a log whose own key is kept off the machine.

`request` and `install` run where the gateway runs, also while it does; `sign` runs where the log key is, needs nothing
but that key and the request, and prints what it certifies. No private key is ever printed, carried or copied by these.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.audit.epoch_keys import DAY_NS, KeyPlaces
from gateway.audit.epochs import Epoch, load_chain
from gateway.audit.errors import AuditError, NoteError
from gateway.audit.files import OsFiles, write_new_file
from gateway.audit.key_exchange import MOST_EPOCHS, install, make_request, read_request, sign_request
from gateway.audit.keys import create_private, load_private, load_trust_file
from gateway.audit.note import Signer
from gateway.audit.report import iso
from gateway.audit_location import CONFIG_HELP
from gateway.file_problem import file_problem
from policies.errors import FileErrors

if TYPE_CHECKING:
    from gateway.config import Config

_STATUS = "exit status: 0 done, 2 it was not: the files do not fit this log, or cannot be read or written"
_Commands = argparse._SubParsersAction  # its own name for what add_subparsers returns


def add_key_commands(commands: _Commands[argparse.ArgumentParser]) -> None:
    """Add `keys` to `gatehouse audit`."""
    keys = commands.add_parser("keys", help="epoch keys of a log whose own key is kept elsewhere")
    actions = keys.add_subparsers(metavar="ACTION", required=True)
    request = _command(actions, "request", _request, "Make private keys for coming epochs, and ask for certificates.")
    request.add_argument("--epochs", type=_count, default=90, metavar="N", help="how many (default: 90)")
    request.add_argument("--out", type=Path, default=Path("epochs.request"), metavar="FILE", help="a new file")
    sign = _command(
        actions,
        "sign",
        _sign,
        "Certify what a request names. Runs where the log key is; needs no gateway.",
        local=False,
    )
    sign.add_argument("request", type=Path, metavar="REQUEST", help="file of `keys request`")
    sign.add_argument("--log-key", type=Path, required=True, metavar="FILE", help="the log's private key, PEM")
    sign.add_argument("--create", action="store_true", help="make that key first, for a log that is not begun yet")
    sign.add_argument("--out", type=Path, default=Path("epochs.signed"), metavar="FILE", help="a new file")
    add = _command(actions, "install", _install, "Put certificates into the log. The gateway may be running.")
    add.add_argument("signed", type=Path, metavar="FILE", help="file of `keys sign`")
    _command(actions, "list", _list, "List the epochs of the log, and which private keys are here.")


def _command(
    actions: _Commands[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    told: str,
    *,
    local: bool = True,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=told.split(".")[0].lower(), description=told, epilog=_STATUS)
    if local:
        parser.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
        parser.add_argument("--state", type=Path, help="where the gateway writes; overrides `state` of the file")
    parser.set_defaults(run=told_errors(run))
    return parser


def told_errors(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """The command with its errors as one line and exit status 2."""

    def told(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except AuditError as exc:
            problem = f"{exc.code}: {exc}"
        except FileErrors as exc:
            problem = str(exc)
        except (OSError, UnicodeDecodeError) as exc:
            problem = file_problem(exc) if isinstance(exc, OSError) else "a file is not text"
        print(f"gatehouse audit: {problem}", file=sys.stderr)
        return 2

    return told


def _configured(arguments: argparse.Namespace) -> Config:
    from gateway.config import load_config

    return load_config(arguments.config, arguments.state)


def _places(config: Config) -> tuple[KeyPlaces, Path]:
    return KeyPlaces(config.audit_dir, config.key_dir, config.origin), config.key_dir / "audit.pem"


def _request(arguments: argparse.Namespace) -> int:
    config = _configured(arguments)
    places, key_path = _places(config)
    length_ns = round(config.epoch_s * 10**9)
    asked = make_request(
        places, key_path, OsFiles(), count=arguments.epochs, length_ns=length_ns, now_ns=time.time_ns()
    )
    _put(arguments.out, asked.text())
    _print_epochs(asked.epochs)
    print(
        f"written: {arguments.out}\nnext, where the log key is: gatehouse audit keys sign {arguments.out.name}", end=""
    )
    print(" --log-key FILE")
    return 0


def _sign(arguments: argparse.Namespace) -> int:
    asked, path = read_request(arguments.request.read_text()), arguments.log_key
    private = create_private(path, OsFiles()) if arguments.create and not path.exists() else load_private(path)
    signer = Signer(asked.origin, private)
    _put(arguments.out, sign_request(asked, signer))
    _print_epochs(asked.epochs)
    print(f"certified by {signer.verifier.vkey}\nwritten: {arguments.out}", end="; next, on the gateway's machine: ")
    print(f"gatehouse audit keys install {arguments.out.name}")
    return 0


def _install(arguments: argparse.Namespace) -> int:
    config = _configured(arguments)
    added = install(arguments.signed.read_text(), *_places(config), OsFiles())
    _print_epochs(added)
    print(f"installed: {len(added)}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    places, key_path = _places(_configured(arguments))
    key = load_trust_file(key_path, places.origin)
    if key is None:
        raise AuditError("audit_key_missing", f"there is no public key beside `{key_path}`")
    try:
        chain = load_chain(places.directory, key)
    except NoteError as exc:
        raise AuditError("audit_corrupt", str(exc)) from exc
    if chain.version == 1:
        print("the log is of version 1: the log key signs its heads itself")
        return 0
    here = {number for number, _ in places.privates()}
    _print_epochs(chain.epochs, here)
    print(f"log key: {'on this machine' if key_path.exists() else 'kept elsewhere'}")
    return 0


def _print_epochs(epochs: tuple[Epoch, ...] | list[Epoch], here: set[int] | None = None) -> None:
    for epoch in epochs:
        private = "" if here is None else ("  private key here" if epoch.number in here else "  private key gone")
        print(f"epoch {epoch.number:>4}  {iso(epoch.from_ns)} to {iso(epoch.until_ns)}", end="")
        print(f"  key {epoch.key.key_id.hex()}{private}")
    if epochs and here is None:
        days = (epochs[-1].until_ns - epochs[0].from_ns) / DAY_NS
        print(f"{len(epochs)} epochs, {days:.1f} days")


def _put(path: Path, text: str) -> None:
    if path.exists():
        raise AuditError("audit_settings", f"`{path}` exists")
    write_new_file(OsFiles(), path, text.encode())


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_EPOCHS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_EPOCHS}")
    return number
