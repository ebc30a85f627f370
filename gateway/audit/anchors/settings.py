"""Which anchors a log has. Values only; gateway/anchor_settings.py reads them from the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.audit.cosignature import WitnessKey


@dataclass(frozen=True, slots=True)
class FileDrop:
    """A directory on another mount."""

    directory: Path

    kind = "file"


@dataclass(frozen=True, slots=True)
class WitnessAt:
    """A server that speaks C2SP tlog-witness."""

    url: str
    key: WitnessKey
    """Nothing counts as its signature but what this key made."""
    ca: Path | None = None
    """Certificates to trust for TLS instead of the system's."""
    timeout_s: float = 5.0

    kind = "witness"


@dataclass(frozen=True, slots=True)
class TimestampAt:
    """A server that speaks RFC 3161."""

    url: str
    roots: Path
    """PEM file of the root certificates that its tokens are verified against."""
    ca: Path | None = None
    timeout_s: float = 10.0

    kind = "rfc3161"


@dataclass(frozen=True, slots=True)
class AnchorSettings:
    """One anchor."""

    name: str
    """For the metric, the records and the log line."""
    place: FileDrop | WitnessAt | TimestampAt
    every_s: float = 10.0
    """How often, while the head moves."""
    max_age_s: float | None = None
    """Without a success for so long no request is admitted; None: the log goes on."""

    def __post_init__(self) -> None:
        if self.max_age_s is not None and self.max_age_s < 3 * self.every_s:
            raise ValueError(f"max_age is {self.max_age_s} s, expected at least three times `every`")
