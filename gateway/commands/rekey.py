"""`gatehouse content rekey`: another master key for the key store of sealed content, while the gateway is stopped.

The order is that of an erasure: a record that it begins, the change, what is left of the old wraps overwritten, a
record that it is done. Given again after a crash the command goes on where it was. The log's own lock and the key
store's tell a gateway that runs; the old key file is not touched, as backups of the key store still need it.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from gateway.audit.errors import AuditError, AuditUnavailable
from gateway.audit.log import AuditLog
from gateway.audit.record import Json
from gateway.audit_location import CONFIG_HELP
from gateway.config import Config, load_config
from gateway.content.errors import ContentError, ContentMissing
from gateway.content.keys import MasterKey, load_master_key
from gateway.content.keystore import Keystore
from gateway.content.rekey import rekey
from gateway.content.settings import inside_state
from gateway.front import audit_settings
from policies.errors import FileErrors

_HELP = """exit status: 0 done, 2 it was not, and the old key still counts

example:
  gatehouse content rekey --new-key /etc/gatehouse/content-2.key      # made if it is not there; then in the
  # configuration: content: {master_key: /etc/gatehouse/content-2.key}, and start the gateway"""


def add_rekey_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to `gatehouse content`."""
    parser = commands.add_parser(
        "rekey",
        help="put another master key over the keys of sealed content",
        description="Wrap every key of the key store under another master key, while the gateway is stopped. The old "
        "one opens nothing of it any more. Two records say so.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--new-key", type=Path, required=True, metavar="FILE", help="made, mode 0600, if it is not there"
    )
    parser.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
    parser.add_argument("--state", type=Path, help="where the gateway writes; overrides `state` of the file")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    try:
        count = _rekey(load_config(arguments.config, arguments.state), arguments.new_key.absolute())
    except (AuditError, ContentError, ContentMissing) as exc:
        problem = f"{exc.code}: {exc}"
        if problem.startswith("audit_locked"):
            problem += "; stop the gateway first"
    except AuditUnavailable as exc:
        problem = f"the log cannot record it: {exc}; give the command again"
    except FileErrors as exc:
        problem = str(exc)
    except OSError as exc:
        problem = f"`{exc.filename}`: {exc.strerror}"
    else:
        print(f"{count} keys are wrapped under {arguments.new_key}")
        print(
            f"before you start the gateway, set in its configuration:\n  content: {{master_key: {arguments.new_key}}}"
        )
        return 0
    print(f"gatehouse content: {problem}", file=sys.stderr)
    return 2


def _rekey(config: Config, new_path: Path) -> int:
    settings, path = config.content, config.state / "keystore" / "keys.sqlite"
    if settings is None or not path.exists():
        raise ContentError("content_keystore", "there is no key store here: nothing was ever kept, or no `content` set")
    if inside := inside_state(new_path, config.state):
        raise ContentError(
            "content_key_unsafe", f"the new key is inside `{inside}`, and would be copied with its wraps"
        )
    log = AuditLog.open(audit_settings(config))
    try:
        old = load_master_key(settings.master_key, may_create=False)
        new = load_master_key(new_path, may_create=True)
        return asyncio.run(_carry_out(log, path, (old, new), config.origin))
    finally:
        asyncio.run(log.close())


async def _carry_out(log: AuditLog, path: Path, keys: tuple[MasterKey, MasterKey], origin: str) -> int:
    """From the first record to the last."""
    old, new = keys
    resumed = _is_under(path, new, origin) and new.check != old.check
    store = Keystore(path, new if resumed else old, origin, alone=True)
    try:
        said = _record(old, new) | ({"resumed": True} if resumed else {})
        if not resumed:
            await log.append({**said, "stage": "admit"})
        count = _count(store) if resumed else rekey(store, new)
        store.forget_free_pages()
        await log.append({**said, "stage": "complete", "wrapped": count})
    finally:
        store.close()
    return count


def _is_under(path: Path, key: MasterKey, origin: str) -> bool:
    try:
        Keystore(path, key, origin, alone=True).close()
    except ContentError as exc:
        if exc.code == "content_key_wrong":
            return False
        raise
    return True


def _count(store: Keystore) -> int:
    found = store.database.execute("SELECT count(*) FROM kek").fetchone()
    return int(found[0])


def _record(old: MasterKey, new: MasterKey) -> dict[str, Json]:
    key: Mapping[str, Json] = {"of": "content", "from": _name(old), "to": _name(new)}
    return {"type": "key.rotate", "key": dict(key), "actor": {"type": "local", "sub": getpass.getuser()}}


def _name(key: MasterKey) -> str:
    """Tells one master key from another, and helps nobody to find it."""
    return sha256(key.check).hexdigest()[:8]
