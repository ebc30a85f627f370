"""`gatehouse witness`: a second machine's word that a log was only ever added to.

Runs where the gateway's root has no say. Needs the log's public key, keeps what it saw, and has its own key, whose
public half goes to the gateway's configuration and to the auditor.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.audit.errors import TrustError
from gateway.audit.note import VerifierKey, parse_vkey
from gateway.witness.errors import WitnessError

CANNOT_WORK = 2
_MOST_OPEN = 256
"""Connections; each log needs one."""


def add_witness_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the command line."""
    witness = commands.add_parser(
        "witness",
        help="run a witness for audit logs on another machine",
        description="Serve C2SP tlog-witness: cosign each head of the named logs that continues the one cosigned "
        "before, and refuse any other. The first start makes the key, and its public half beside it as .vkey.",
        epilog="exit status: 0 stopped, 2 a key, the state or the address cannot be used\n\nexample: gatehouse witness "
        "--listen 10.0.8.2:8443 --state /var/lib/witness --key /etc/witness/witness.pem --name bank/witness-2 "
        "--log site-one-audit.vkey --tls-cert cert.pem --tls-key key.pem",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    witness.add_argument("--listen", required=True, metavar="HOST:PORT", help="where to answer")
    witness.add_argument("--state", type=Path, required=True, metavar="DIR", help="what was seen; never set it back")
    witness.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key of the witness")
    witness.add_argument("--name", required=True, help="name of the witness, as its key carries it")
    witness.add_argument(
        "--log", type=Path, required=True, nargs="+", metavar="FILE.vkey", help="public keys of the logs"
    )
    witness.add_argument("--tls-cert", type=Path, metavar="FILE", help="serve TLS with this certificate")
    witness.add_argument("--tls-key", type=Path, metavar="FILE", help="private key of the certificate")
    witness.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    import uvicorn

    from gateway import logs
    from gateway.http_protocol import BoundedHttpProtocol
    from gateway.witness.app import make_witness_app
    from gateway.witness.cosigner import open_cosigner
    from gateway.witness.seen import SeenFiles
    from gateway.witness.service import Witness

    logs.set_up("witness")
    try:
        host, port = _address(arguments.listen)
        known = _logs(arguments.log)
        cosigner = open_cosigner(arguments.key, _name(arguments.name))
        seen = SeenFiles(arguments.state)
    except (WitnessError, TrustError) as exc:
        print(f"gatehouse witness: {exc}", file=sys.stderr)
        return CANNOT_WORK
    print(f"witness  {cosigner.vkey}", flush=True)
    server = uvicorn.Server(
        uvicorn.Config(
            make_witness_app(Witness(known, cosigner, seen)),
            host=host,
            port=port,
            http=BoundedHttpProtocol,
            limit_concurrency=_MOST_OPEN,
            timeout_keep_alive=75,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            ssl_certfile=arguments.tls_cert,
            ssl_keyfile=arguments.tls_key,
        )
    )
    try:
        server.run()
    except SystemExit:
        # That is how uvicorn says that it could not listen; why is in its own log line.
        return CANNOT_WORK
    return 0


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise WitnessError(f"`{text}` is not an address, expected `host:port`")
    return host.strip("[]"), int(port)


def _name(text: str) -> str:
    if not text.isprintable() or not text or any(letter.isspace() or letter == "+" for letter in text):
        raise WitnessError("a name has no spaces and no `+`")
    return text


def _logs(paths: list[Path]) -> dict[str, VerifierKey]:
    found = {}
    for path in paths:
        try:
            key = parse_vkey(path.read_text())
        except (OSError, UnicodeDecodeError) as exc:
            raise WitnessError(f"`{path}` cannot be read") from exc
        if key.name in found:
            raise WitnessError(f"`{path}`: there is another key for the log `{key.name}`")
        found[key.name] = key
    return found
