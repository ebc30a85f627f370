"""`gatehouse policy schema`: the form of a policy file as JSON Schema, for editors.

With `--config` the guards of that configuration are known, too. Nothing is read beyond that, and nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TextIO

from gateway.policy_files import OK, UNREADABLE, add_config, known_guards
from policies.schema import schema


def add_schema(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "schema",
        help="print the JSON Schema of policy files",
        description="Print the JSON Schema (draft 2020-12) of policy files, for editors. It knows keys, names and "
        "forms of values;\n`gatehouse policy check` knows the rest: that what a rule asks for is there.",
        epilog="example: gatehouse policy schema > gatehouse-policy.schema.json\n"
        "exit status: 0 printed, 2 the configuration cannot be used",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    parser.set_defaults(run=run_schema)


def run_schema(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. Prints on `out`, standard output by default."""
    known = known_guards(args.config, sys.stderr)
    if known is None:
        return UNREADABLE
    try:
        print(json.dumps(schema(known), indent=2), file=out or sys.stdout, flush=True)
    except BrokenPipeError:
        # The reader of our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK
