"""A certificate authority of the test's own, and a syslog collector that speaks TLS."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Issues certificates into a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._key = directory, ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._issue("authority", self._key.public_key(), True)
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def certificate(self, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """Certificate and key for `address`."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = self._issue(name, key.public_key(), False, address)
        paths = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        paths[0].write_bytes(issued.public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        paths[1].write_bytes(key.private_bytes(*form))
        return paths

    def _issue(
        self, name: str, key: ec.EllipticCurvePublicKey, is_authority: bool, address: str = ""
    ) -> x509.Certificate:
        now, issuer = datetime.now(UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if address:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


@dataclass
class Collector:
    """What arrived, split by its frames."""

    port: int = 0
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    peers: list[str] = field(default_factory=list)
    hang_up_after: int | None = None
    """Close the connection when so many messages of it have arrived."""
    _open: list[socket.socket] = field(default_factory=list)

    def seqs(self) -> list[int]:
        found = (re.search(rb' seq="(\d+)"', message) for message in self.messages)
        return [int(seq[1]) for seq in found if seq]

    def hang_up(self) -> None:
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def collector(authority: Authority, *, demand_client: bool = False, port: int = 0) -> Iterator[Collector]:
    """Listens until the end of the block."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certificate("collector"))
    if demand_client:
        context.load_verify_locations(authority.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    found = Collector()
    with socket.create_server(("127.0.0.1", port)) as listener:
        found.port = listener.getsockname()[1]
        thread = threading.Thread(target=_accept, args=(listener, context, found), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            found.hang_up()
            thread.join(5)


def _accept(listener: socket.socket, context: ssl.SSLContext, found: Collector) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(plain, context, found), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext, found: Collector) -> None:
    with plain:
        try:
            connection = context.wrap_socket(plain, server_side=True)
        except OSError:
            return
        with connection, suppress(OSError):
            found.connections += 1
            found._open.append(connection)
            certificate = connection.getpeercert()
            if certificate:
                found.peers.append(dict(pair for item in certificate["subject"] for pair in item)["commonName"])
            _read(connection, found)


def _read(connection: ssl.SSLSocket, found: Collector) -> None:
    data, here = b"", 0
    while True:
        while (space := data.find(b" ")) > 0 and len(data) >= space + 1 + int(data[:space]):
            end = space + 1 + int(data[:space])
            found.messages.append(data[space + 1 : end])
            data, here = data[end:], here + 1
            if here == found.hang_up_after:
                return
        more = connection.recv(65_536)
        if not more:
            return
        data += more


def wait_for(found: Collector, seq: int, seconds: float = 10) -> None:
    """Until a message with this number has arrived."""
    end = time.monotonic() + seconds
    while seq not in found.seqs():
        assert time.monotonic() < end, f"record {seq} did not arrive, only {found.seqs()[-5:]}"
        time.sleep(0.01)
