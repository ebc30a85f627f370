"""gatehouse.yaml to a Config, or every problem in it with its place.

Paths in the file are relative to the file, except `state`, which is where this process writes and is relative to the
directory it was started in. The demo key of the quickstart is refused unless every address is loopback.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.admission import Concurrency
from gateway.anchor_settings import read_anchors
from gateway.approval import Approvers, read_approvers
from gateway.audit.anchors.settings import AnchorSettings
from gateway.audit.note import is_origin
from gateway.audit.sinks.settings import SinksSettings
from gateway.auth import KeyEntry
from gateway.claims import read_claims
from gateway.content.settings import ContentSettings, read_content
from gateway.engine_settings import Engines, read_engines
from gateway.exchange import Caller
from gateway.guard_settings import Guards, read_guards
from gateway.local_model import LocalModel
from gateway.operators import OperatorEntry, read_operators
from gateway.policy_bindings import Binding, read_bindings
from gateway.policy_settings import PolicySettings, read_policy
from gateway.policy_source import PolicySource
from gateway.sink_settings import KEYS as SINK_KEYS
from gateway.sink_settings import read_sinks
from policies import fields
from policies.errors import Place, Problems
from policies.fields import Section
from policies.yaml_strict import Broken, Listing, Node, Scalar, parse

DEMO_KEY: Final = "gatehouse-demo-key"
MOST_WORKERS: Final = 64
_CLAIMS: Final = ("claims", "may_claim")
_ADDRESS: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[A-Za-z0-9.\-]+):(?P<port>\d{1,5})")
_PERCENT: Final = re.compile(r"([1-9][0-9]?)%")
_DAY_MS: Final = 24 * 3_600_000
_AGE: Final = fields.duration_ms(0, 3660 * _DAY_MS)
_EPOCH: Final = fields.duration_ms(60_000, 366 * _DAY_MS)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything `gatehouse serve` needs to know."""

    file: Path
    text: bytes = field(repr=False)
    """What the file held."""
    api: Address
    admin: Address
    keys: tuple[KeyEntry, ...]
    operators: tuple[OperatorEntry, ...]
    """Who may use the routes under `/admin`; none: nobody."""
    approvers: Approvers
    """Who may approve what takes two people, by name."""
    policy: PolicySettings
    bindings: tuple[Binding, ...]
    """Other policies, for some tenants and apps."""
    engines: Engines
    """Where judged requests go. The first is meant where none is named; there is at least one."""
    guards: Guards
    """What a policy may write after `use:`, besides rules; whether it runs depends on the policy."""
    state: Path
    content: ContentSettings | None
    """Where the text of exchanges is kept, if a policy asks for it; None: nowhere."""
    head_store: Path | None
    """Where the newest head of the audit log is kept a second time; None: nowhere."""
    epoch_s: float
    """How long one epoch key of the audit log signs."""
    compress_s: float | None
    """How long after it was sealed a segment of the audit log is compressed; None: never."""
    low_space: float
    """Which part of the log's disk is free when the log begins to warn."""
    anchors: tuple[AnchorSettings, ...]
    """Places outside this machine that get the audit log's heads."""
    sinks: SinksSettings
    """Second places of the audit log, and how many places have to hold a record."""
    origin: str
    host_threads: int
    concurrency: Concurrency
    drain_s: float
    workers: int
    """How many processes answer on the API socket."""

    @property
    def local_models(self) -> tuple[LocalModel, ...]:
        """What the local model host generates with."""
        return tuple(one.local for one in self.engines if one.local is not None)

    def policy_sources(self, tested: Container[str] = ()) -> list[PolicySource]:
        """What finds the policy for everybody, then those of `bindings`. `tested`: bundles that passed just now."""
        policies: tuple[PolicySettings | Binding, ...] = (self.policy, *self.bindings)
        return [one.source(self.approvers, self.state, tested, self.origin) for one in policies]

    @property
    def audit_dir(self) -> Path:
        return self.state / "audit"

    @property
    def key_dir(self) -> Path:
        """Private keys and the public trust file; outside the log, to be backed up apart from it."""
        return self.state / "keys"


def load_config(path: Path, state: Path | None = None) -> Config:
    """Read and check a configuration file. Raises FileErrors with every problem, or OSError."""
    return read_config(path.read_bytes(), path, state)


def read_config(text: bytes, path: Path, state: Path | None = None) -> Config:
    """The same of what the file held."""
    problems = Problems()
    node = parse(text, str(path), problems)
    top = Section.open(node, "the configuration", problems, _TOP)
    if top is None:
        problems.raise_if_any()
    assert top is not None  # a file that is no mapping is a problem
    config = _Reader(path, text, problems).config(top, state)
    problems.raise_if_any()
    return config


_TOP: Final = (
    "gatehouse",
    "listen",
    "keys",
    "operators",
    "policy",
    "policies",
    "engine",
    "engines",
    "guards",
    "state",
    "origin",
    "model_host",
    "concurrency",
    "workers",
    "drain",
    "audit",
    "content",
    "approvers",
)


class _Reader:
    def __init__(self, path: Path, text: bytes, problems: Problems) -> None:
        self.path, self.text, self.problems = path, text, problems

    def config(self, top: Section, state: Path | None) -> Config:
        top.require("gatehouse", fields.choice(("config/v1",)), "")
        api, admin = self._listen(top)
        keys = self._keys(top, (api, admin))
        at = (state or Path(top.get("state", fields.text, "var"))).absolute()
        audit = self._audit(top)
        approvers = read_approvers(top.node("approvers"), self.problems)
        return Config(
            file=self.path,
            text=self.text,
            api=api,
            admin=admin,
            keys=keys,
            operators=read_operators(top.node("operators"), self.problems),
            approvers=approvers,
            policy=read_policy(top, self.path.parent, approvers),
            bindings=read_bindings(top.node("policies"), self.path.parent, approvers, self.problems),
            engines=read_engines(top, self.path.parent, self.problems),
            guards=read_guards(top.node("guards"), self.path, self.problems),
            state=at,
            content=read_content(top.node("content"), self.path, at, self.problems, len(approvers)),
            head_store=self._head_store(audit, at),
            epoch_s=(audit.get("epoch", _EPOCH, _DAY_MS) if audit else _DAY_MS) / 1000,
            compress_s=self._compress(audit),
            low_space=(audit.get("low_space", _percent, 0.25) if audit else 0.25),
            anchors=read_anchors(audit.node("anchors") if audit else None, self.path.parent, self.problems),
            sinks=read_sinks(audit, self.path.parent, at),
            origin=top.get("origin", _origin, "gatehouse/1"),
            host_threads=self._threads(top),
            concurrency=self._concurrency(top),
            drain_s=top.get("drain", fields.duration_ms(0, 600_000), 20_000) / 1000,
            workers=top.get("workers", fields.integer(1, MOST_WORKERS), 1),
        )

    def _listen(self, top: Section) -> tuple[Address, Address]:
        api, admin = Address("127.0.0.1", 8080), Address("127.0.0.1", 8081)
        node = top.node("listen")
        section = node and Section.open(node, "`listen`", self.problems, ("api", "admin"))
        if not section:
            return api, admin
        return section.get("api", _address, api), section.get("admin", _address, admin)

    def _keys(self, top: Section, addresses: Sequence[Address]) -> tuple[KeyEntry, ...]:
        node = top.node("keys")
        if not isinstance(node, Listing) or not node.items:
            if not isinstance(node, Broken):
                self.problems.add(top.place_of("keys"), "`keys` is missing or empty, expected a list of API keys")
            return ()
        entries = [entry for item in node.items if (entry := self._key(item, addresses))]
        for kind, values in (("key", [e.sha256 for e in entries]), ("id", [e.caller.key_id for e in entries])):
            if len(set(values)) != len(values):
                self.problems.add(node.place, f"two entries of `keys` have the same {kind}")
        return tuple(entries)

    def _key(self, node: Node, addresses: Sequence[Address]) -> KeyEntry | None:
        section = Section.open(node, "a key", self.problems, ("id", "tenant", "app", "key", "sha256", *_CLAIMS))
        if section is None:
            return None
        claims, may_claim = read_claims(section, self.problems)
        caller = Caller(
            key_id=section.require("id", fields.site_name, ""),
            tenant=section.require("tenant", fields.site_name, ""),
            app=section.get("app", fields.site_name, "default"),
            claims=claims,
            may_claim=may_claim,
        )
        if ("key" in section) == ("sha256" in section):
            self.problems.add(section.place, "a key has either `key` or `sha256`")
            return None
        if "sha256" in section:
            digest = section.get("sha256", _secret_of(r"[0-9a-f]{64}", "64 lower-case hex digits"), "")
            if digest == hashlib.sha256(DEMO_KEY.encode()).hexdigest():
                self._refuse_demo(section.place_of("sha256"), addresses)
            return KeyEntry(digest, caller)
        key = section.get("key", _secret_of(r"[\x21-\x7e]{16,256}", "16 to 256 printable characters"), "")
        if key == DEMO_KEY:
            self._refuse_demo(section.place_of("key"), addresses)
        elif key:
            self.problems.add(
                section.place_of("key"), "a key in clear text", "put its SHA-256 under `sha256`: gatehouse key new"
            )
        return KeyEntry(hashlib.sha256(key.encode()).hexdigest(), caller)

    def _refuse_demo(self, place: Place, addresses: Sequence[Address]) -> None:
        for address in addresses:
            if not address.is_loopback:
                self.problems.add(place, f"the demo key with the address `{address}`, which is not loopback")

    def _threads(self, top: Section) -> int:
        node = top.node("model_host")
        section = node and Section.open(node, "`model_host`", self.problems, ("threads",))
        return section.get("threads", fields.integer(1, 256), 2) if section else 2

    def _audit(self, top: Section) -> Section | None:
        node = top.node("audit")
        known = ("head_store", "epoch", "low_space", "compress", "anchors", *SINK_KEYS)
        return Section.open(node, "`audit`", self.problems, known) if node else None

    def _compress(self, section: Section | None) -> float | None:
        after_ms = section.get("compress", _AGE, -1) if section else -1
        return after_ms / 1000 if after_ms >= 0 else None

    def _head_store(self, section: Section | None, state: Path) -> Path | None:
        name = section.get("head_store", fields.text, "") if section else ""
        if not name:
            return None
        path = (self.path.parent / name).absolute()
        if section and path.resolve().is_relative_to(state.resolve()):
            told = "`head_store` is inside `state`, where it would be set back together with the log"
            self.problems.add(section.place_of("head_store"), told, "another disk, or another host's share")
        return path

    def _concurrency(self, top: Section) -> Concurrency:
        node = top.node("concurrency")
        section = node and Section.open(node, "`concurrency`", self.problems, ("total", "per_key"))
        if not section:
            return Concurrency()
        many = fields.integer(1, 65_536)
        return Concurrency(section.get("total", many, 512), section.get("per_key", many, 128))


def _secret_of(pattern: str, expected: str) -> fields.Reader[str]:
    """Text of a given form that no message may quote, right or wrong."""

    def read(node: Node, what: str, problems: Problems) -> str | None:
        if isinstance(node, Scalar) and isinstance(node.value, str) and re.fullmatch(pattern, node.value):
            return node.value
        problems.add(node.place, f"{what} is not {expected}")
        return None

    return read


def _origin(node: Node, what: str, problems: Problems) -> str | None:
    if isinstance(node, Scalar) and isinstance(node.value, str) and is_origin(node.value):
        return node.value
    problems.add(node.place, f"{what} is not a name such as `site/gate-1`")
    return None


def _percent(node: Node, what: str, problems: Problems) -> float | None:
    found = _PERCENT.fullmatch(node.value) if isinstance(node, Scalar) and isinstance(node.value, str) else None
    if found:
        return int(found[1]) / 100
    problems.add(node.place, f"{what} is not a part of the disk, expected `1%` to `99%`")
    return None


def _address(node: Node, what: str, problems: Problems) -> Address | None:
    found = _ADDRESS.fullmatch(node.value) if isinstance(node, Scalar) and isinstance(node.value, str) else None
    if found and int(found["port"]) <= 65535:
        return Address(found["host"].strip("[]"), int(found["port"]))
    problems.add(node.place, f"{what} is not an address, expected `host:port`")
    return None
