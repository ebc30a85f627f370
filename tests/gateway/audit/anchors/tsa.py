"""OpenSSL as a time stamp authority with a certificate of its own making. Not a test itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

CONFIG = """
[tsa]
default_tsa = one
[one]
serial = {path}/serial
signer_cert = {path}/tsa.pem
signer_key = {path}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""
PURPOSE = "extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\nbasicConstraints=CA:FALSE\n"


def openssl(path: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=path, check=True, capture_output=True)


def authority(path: Path) -> None:
    """A root, and a certificate for time stamps under it."""
    (path / "purpose").write_text(PURPOSE)
    (path / "serial").write_text("01")
    (path / "tsa.cnf").write_text(CONFIG.format(path=path))
    key = ["-newkey", "rsa:2048", "-nodes"]
    root = ["-addext", "keyUsage=critical,keyCertSign", "-keyout", "root.key", "-out", "root.pem"]
    openssl(path, "req", "-x509", *key, "-days", "2", "-subj", "/CN=root", *root)
    openssl(path, "req", *key, "-subj", "/CN=tsa", "-keyout", "tsa.key", "-out", "tsa.csr")
    signed_by = ["-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-extfile", "purpose"]
    openssl(path, "x509", "-req", "-in", "tsa.csr", *signed_by, "-days", "2", "-out", "tsa.pem")


def stamp(path: Path, message: bytes) -> bytes:
    """The authority's answer over these bytes."""
    (path / "message").write_bytes(message)
    openssl(path, "ts", "-query", "-data", "message", "-sha256", "-cert", "-out", "query")
    openssl(path, "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
    return (path / "reply").read_bytes()
