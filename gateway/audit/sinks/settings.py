"""Which second places there are, and how many places have to hold a record before it counts.

A place either holds records, so that it can count for `require`, or passes them on without an answer (syslog), so that
it cannot. Nothing here is read from the process environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.sinks.stream_login import StreamLogin

DEADLINE_S = 2.0


@dataclass(frozen=True, slots=True)
class DirectoryPlace:
    """A directory on another disk or share. It has to exist: one that is not mounted must not be filled underneath."""

    path: Path
    holds = True


@dataclass(frozen=True, slots=True)
class SyslogPlace:
    """A collector that speaks RFC 5425. It never says what it has, so it does not hold anything for us."""

    host: str
    port: int
    ca: Path
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""
    """Name in the collector's certificate; empty: `host`."""
    sd_id: str = "gatehouse@32473"
    """32473 is the number reserved for examples: put the number of your enterprise there."""
    longest: int = 65_536
    """Bytes of a message that the collector takes. A longer record is sent without its line, with number and leaf."""
    holds = False


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """A bucket of an S3-compatible store."""

    endpoint: str
    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    prefix: str = ""
    region: str = "us-east-1"
    ca: Path | None = None
    retention_mode: str = ""
    """COMPLIANCE, GOVERNANCE, or nothing."""
    retention_days: int = 0
    window_s: float = 0.2
    """Records of so long a time share an object."""
    holds = True


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """A JetStream stream of NATS servers, for this log alone."""

    servers: tuple[str, ...]
    """URLs, all `tls://` or all `nats://`."""
    stream: str
    subject: str
    """The stream's only subject is this one with `.>` behind it."""
    login: StreamLogin = field(default_factory=StreamLogin)
    ca: Path | None = None
    """Certificates to trust instead of the system's."""
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""
    holds = True

    @property
    def is_tls(self) -> bool:
        return self.servers[0].startswith("tls:")


Place = DirectoryPlace | SyslogPlace | ObjectPlace | StreamPlace


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """One second place."""

    name: str
    place: Place
    required: bool = False
    """Without it no record counts, whatever the others hold."""
    deadline_s: float = DEADLINE_S
    retry_s: float = 1.0
    """How long to wait before the next try after a failure."""

    def __post_init__(self) -> None:
        if self.required and not self.place.holds:
            raise ValueError(f"sink `{self.name}` never says what it holds, so it cannot be required")


@dataclass(frozen=True, slots=True)
class SinksSettings:
    """All second places of one log."""

    sinks: tuple[SinkSettings, ...] = ()
    require: int = 1
    """How many places hold a record before it counts, the local directory included."""
    state: Path = Path("sinks")
    """Where it is remembered how far each sink had come."""

    def __post_init__(self) -> None:
        places = 1 + sum(sink.place.holds for sink in self.sinks)
        if not 1 <= self.require <= places:
            raise ValueError(f"require is {self.require}, expected 1 to {places}, the places that hold records")
        if len({sink.name for sink in self.sinks}) != len(self.sinks):
            raise ValueError("two sinks have the same name")
