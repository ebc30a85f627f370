"""`gatehouse content list | read | find`: sealed text for an auditor or privacy officer, through the running gateway.

What is shown is text of users: it goes to standard output and nowhere else. The gateway records who read it, why, and
for which case, before it hands it out.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from gateway.admin.client import add_client_options, client_of, guarded
from gateway.commands.rekey import add_rekey_command

NOT_ALL = 1


def add_content_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `content` to the command line."""
    content = subparsers.add_parser("content", help="read the sealed text of exchanges")
    commands = content.add_subparsers(metavar="COMMAND", required=True)
    list_ = commands.add_parser(
        "list",
        help="list what is kept of a request, without its text",
        description="List what is kept of a request: references, classes, when they expire. That is a record.",
        epilog="exit status: 0 listed, 1 nothing is kept, 2 the gateway does not run or refuses",
    )
    read = commands.add_parser(
        "read",
        help="read what is kept of a request",
        description="Print the sealed text of a request, or of one reference. That is a record with your name.",
        epilog="exit status: 0 printed, 1 some of it cannot be opened, 2 nothing is kept, or the gateway does not run\n"
        "or refuses\n\nexample: gatehouse content read 01932f… --reason 'complaint of 3 May' --case C-2026-117",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    read.add_argument("--reason", required=True, metavar="TEXT", help="why, in one line; it stands in the log for ever")
    read.add_argument("--case", required=True, metavar="ID", help="the case it is for")
    find = commands.add_parser(
        "find",
        help="find the exchanges in which exactly this text was released",
        description="Print the ids of requests whose answer was exactly the text in a file, by its digest under the\n"
        "tenant's key. The gateway keeps neither text nor file; that you asked is a record.",
        epilog="exit status: 0 found, 1 nothing found, 2 the gateway does not run or refuses",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    find.add_argument("--tenant", required=True, help="whose exchanges")
    find.add_argument("--text-file", type=Path, required=True, metavar="FILE", help="file with the text, to the byte")
    add_client_options(find)
    find.set_defaults(run=guarded(_find))
    add_rekey_command(commands)
    for parser, run in ((list_, _list), (read, _read)):
        parser.add_argument("what", metavar="REF|REQUEST-ID", help="a reference, or the id of a request")
        add_client_options(parser)
        parser.set_defaults(run=guarded(run))


def _list(arguments: argparse.Namespace) -> int:
    said = client_of(arguments).post("/admin/content/list", {"what": arguments.what})
    if arguments.json:
        print(json.dumps(said, indent=2))
    else:
        for blob in said["blobs"]:
            until = time.strftime("%Y-%m-%d", time.gmtime(int(blob["expires"]) // 10**9))
            print(f"{blob['ref']}  {blob['level']:<8}  {blob['class']}, until {until}")
    return 0 if said["blobs"] else NOT_ALL


def _find(arguments: argparse.Namespace) -> int:
    asked = {"tenant": arguments.tenant, "text": arguments.text_file.read_text()}
    said = client_of(arguments).post("/admin/content/find", asked)
    print(json.dumps(said) if arguments.json else "\n".join(said["requests"]) or "nothing was found")
    return 0 if said["requests"] else NOT_ALL


def _read(arguments: argparse.Namespace) -> int:
    asked = {"what": arguments.what, "reason": arguments.reason, "case": arguments.case}
    said = client_of(arguments).post("/admin/content/read", asked)
    if arguments.json:
        print(json.dumps(said, indent=2))
    else:
        for blob in said["blobs"]:
            _print(blob)
    return NOT_ALL if any("err" in blob for blob in said["blobs"]) else 0


def _print(blob: dict[str, Any]) -> None:
    print(f"--- {blob['ref']}  {blob['level']}")
    if "err" in blob:
        print(f"    cannot be read: {blob['err']}")
        return
    value = blob["value"]
    for part in value.get("parts", ()):
        shown = (
            "a picture; `--json` has it as a `data:` URL, which a browser shows" if "picture" in part else part["text"]
        )
        print(f"[{part['scope']} {part['path']}] {_shown(shown)}")
    for row in value.get("released", ()):
        said = row["text"] if "text" in row else json.dumps(row["tool_calls"])
        print(f"[released {row['choice']}] {_shown(said)}")
    for stopped in value.get("withheld", ()):
        for part in stopped["parts"]:
            print(f"[withheld {stopped['choice']}] {_shown(part['text'])}")


def _shown(text: str) -> str:
    """Text of users on a terminal: what would steer it is shown as a mark. `--json` has it as it was."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)
