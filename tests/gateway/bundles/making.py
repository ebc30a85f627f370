"""Keys and small bundles for these tests."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.note import Signer
from gateway.bundles.bundle import Bundle, described, make_bundle
from gateway.bundles.manifest import Manifest

POLICY = b"""\
gatehouse: policy/v1
name: house
version: 2026.11.1
detectors:
  words: {use: regex, pattern: 'forbidden'}
rules:
  - {id: no-words, on: [user], when: {words: {count: {gte: 1}}}, do: {block: {code: words}}}
  - {id: pass, on: [system, user, tool_result, tool_call, output, reasoning], do: allow}
tests:
  - {name: said, send: {messages: [{user: forbidden}]}, expect: {action: block, rule: no-words}}
"""
NOW = 1_800_000_000


def signer(name: str) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")))


ALICE, BOB, EVE = signer("alice"), signer("bob"), signer("eve")
APPROVERS = (ALICE.verifier, BOB.verifier)


def bundle(
    policy: bytes = POLICY, counter: int = 1, expires_s: int | None = None, digest: str = "sha256:0", **files: bytes
) -> Bundle:
    """Signed by alice; `digest` is that of the compiled policy, which these tests need not compute."""
    contents = {"policy.yaml": policy} | {name.replace("__", "."): data for name, data in files.items()}
    manifest = Manifest("house", "2026.11.1", counter, NOW, expires_s, digest, described(contents))
    return make_bundle(manifest, contents, ALICE)
