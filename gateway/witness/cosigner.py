"""The witness's own key: signs the text of a head together with the time (C2SP tlog-cosignature, cosignature/v1).

The key is of another kind than a log's and has another id even for the same bytes. It signs nothing else.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.cosignature import WitnessKey
from gateway.audit.errors import AuditError
from gateway.audit.files import Files, OsFiles, write_new_file
from gateway.audit.keys import create_private, load_private
from gateway.witness.errors import WitnessError

_KIND = b"\x04"


class Cosigner:
    """Signs under one name. Holds the private key; prints nothing of it."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.key = WitnessKey(name, private.public_key().public_bytes_raw())

    @property
    def vkey(self) -> str:
        """The text form `name+id+key`, which logs and auditors are given."""
        return f"{self.key.name}+{self.key.key_id.hex()}+{b64encode(_KIND + self.key.key).decode()}"

    def line(self, text: str, seconds: int) -> str:
        """The signature line, with its newline."""
        signature = self._private.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
        blob = self.key.key_id + seconds.to_bytes(8, "big") + signature
        return f"— {self.key.name} {b64encode(blob).decode()}\n"


def open_cosigner(path: Path, name: str, files: Files | None = None) -> Cosigner:
    """The key in this file, made if it is not there; the public half lies beside it as `.vkey`. WitnessError."""
    files = files or OsFiles()
    try:
        private = load_private(path) if path.exists() else create_private(path, files)
        cosigner = Cosigner(name, private)
        public = path.with_suffix(".vkey")
        if not public.exists():
            write_new_file(files, public, (cosigner.vkey + "\n").encode())
    except (AuditError, OSError) as exc:
        raise WitnessError(f"key `{path}`: {exc}") from exc
    if public.read_text() != cosigner.vkey + "\n":
        raise WitnessError(f"`{public}` is not the public half of `{path}` under the name `{name}`")
    return cosigner
