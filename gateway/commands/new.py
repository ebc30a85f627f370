"""`gatehouse policy new`: a commented policy to begin with, under a name of one's own.

Asks on a terminal for what the command line leaves open, and nothing when all is given. An existing file is never
touched, and nothing is written that would not load: files that the policy pins are written beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from policies.model import Policy
from policies.start import StartRefused, beside, started, templates

OK, NOT_WRITTEN = 0, 2


def add_new(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "new",
        help="write a policy to begin with",
        description="Write a commented policy with its tests, made from one of the library, under a new name. Asks "
        "for what is not\ngiven, if it runs on a terminal. Never overwrites a file.",
        epilog=f"templates: {', '.join(templates())}\n"
        "example: gatehouse policy new --name clinic --owner privacy@clinic.example --template default clinic.yaml\n"
        "exit status: 0 written, 2 nothing was written",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to write")
    parser.add_argument("--name", metavar="NAME", help="name of the policy; audit records cite it")
    parser.add_argument("--owner", metavar="WHO", help="whom to ask about it")
    parser.add_argument("--template", choices=templates(), help="what it is made from")
    parser.set_defaults(run=run_new)


Ask = Callable[[str], str]


def run_new(args: argparse.Namespace, out: TextIO | None = None, ask: Ask | None = None) -> int:
    """The command. `ask` puts a question to a person; on a terminal, `input` by default."""
    stream = out or sys.stdout
    asking = ask or (input if sys.stdin.isatty() else None)
    try:
        if args.file.exists():
            raise StartRefused(f"`{args.file}` is there already, and is left as it is")
        template, name, owner = _answers(args, asking)
        text, policy = started(template, name, owner)
        lists = _lists(template, args.file.parent)
        with args.file.open("x", encoding="utf-8") as file:
            file.write(text)
        for path, data in lists.items():
            path.write_bytes(data)
    except StartRefused as exc:
        return _complain(str(exc))
    except OSError as exc:
        return _complain(f"`{args.file}`: {(exc.strerror or 'cannot be written').lower()}")
    except (EOFError, KeyboardInterrupt):
        return _complain("no answer")
    for path in lists:
        print(f"{path}: written; the policy pins it", file=stream)
    print(_told(args.file, policy), file=stream)
    return OK


def _lists(template: str, folder: Path) -> dict[Path, bytes]:
    """What has to lie beside the policy and does not yet. Raises StartRefused for another file of that name."""
    found = {folder / file.name: file.read_bytes() for file in beside(template)}
    for path, data in found.items():
        if path.exists() and path.read_bytes() != data:
            raise StartRefused(f"`{path}` is there already, with another content than the template's file")
    return {path: data for path, data in found.items() if not path.exists()}


def _answers(args: argparse.Namespace, ask: Ask | None) -> tuple[str, str, str]:
    """(template, name, owner). Where nobody can be asked, the usual template will do, but not a name or an owner."""
    name = args.name or _answer(ask, "--name", f"name of the policy [{args.file.stem}]: ", args.file.stem)
    owner = args.owner or _answer(ask, "--owner", "owner, whom to ask about it: ", "")
    usual = templates()[0]
    if args.template or ask is None:
        return args.template or usual, name, owner
    return _answer(ask, "--template", f"made from ({', '.join(templates())}) [{usual}]: ", usual), name, owner


def _answer(ask: Ask | None, option: str, question: str, usual: str) -> str:
    if ask is None:
        raise StartRefused(f"`{option}` is missing, and there is no terminal to ask on")
    answer = ask(question).strip() or usual
    if not answer:
        raise StartRefused(f"`{option}` has no answer")
    return answer


def _told(file: Path, policy: Policy) -> str:
    parts = f"{len(policy.detectors)} detectors, {len(policy.rules)} rules, {len(policy.cases)} tests"
    return (
        f"{file}: written; {policy.name} {policy.version}, {parts}\nnext: gatehouse policy test --require-tests {file}"
    )


def _complain(problem: str) -> int:
    print(f"gatehouse policy new: {problem}", file=sys.stderr)
    return NOT_WRITTEN
