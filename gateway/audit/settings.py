"""Where a log lies, who writes it, and its limits.

A key or a head store inside the log directory would be copied, and set back, together with it: both are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.note import is_origin
from gateway.audit.record import Json, check_value
from gateway.audit.resume import READ_WHOLE
from gateway.audit.sinks.settings import SinksSettings


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where the log lies and who writes it."""

    directory: Path
    origin: str
    """Name of the log, `<site>/<instance>/<class>`; the key's name, and in every record."""
    key_path: Path
    """The log key, created at the first start unless it is kept elsewhere. Not inside `directory`. Private keys of
    epochs lie beside it, in `epochs`."""
    version: Mapping[str, Json] = field(default_factory=dict)
    """Which software writes, copied into every record as `inst`."""
    segment_bytes: int = 128 * 1024 * 1024
    """A start after a crash reads the newest segment: so much is about a second."""
    checkpoint_interval_s: float = 0.1
    idle_checkpoint_s: float = 60.0
    probe_interval_s: float = 1.0
    head_patience_s: float = 30.0
    """How long records may be written without a signed head before the log counts as broken."""
    stall_s: float = 5.0
    """A sync that takes longer makes new appends fail."""
    head_store: Path | None = None
    """Database with the newest head, on a path that does not travel with the log; see head_store.py."""
    epoch_s: float = 86_400.0
    """How long one epoch key signs, where the log key is on this machine to certify the next."""
    read_whole: int = READ_WHOLE
    """Bytes of segments up to which a start reads all of them; see resume.py."""
    spot_check: bool = False
    """Whether each start reads one closed segment again, beside its work; see spot_check.py."""
    reserve_bytes: int = 0
    """Room kept on the disk for the last records of exchanges that are open when it fills up; 0: none."""
    low_space: float = 0.25
    """Which part of the disk is free when the log begins to warn."""
    sinks: SinksSettings = field(default_factory=SinksSettings)
    """Second places for every record, and how many places have to hold one."""

    def __post_init__(self) -> None:
        if not is_origin(self.origin):
            raise ValueError(
                f"origin is `{self.origin}`, expected names of letters, digits, `.`, `_`, `-` divided by `/`"
            )
        if self.key_path.resolve().is_relative_to(self.directory.resolve()):
            raise ValueError(
                f"key `{self.key_path}` is inside the log directory, where it would be copied with the log"
            )
        if self.head_store is not None and self.head_store.resolve().is_relative_to(self.directory.resolve()):
            raise ValueError(
                f"head store `{self.head_store}` is inside the log directory, and would be set back with it"
            )
        if self.segment_bytes < 1024 * 1024:
            raise ValueError(f"segment_bytes is {self.segment_bytes}, expected at least 1048576")
        if self.epoch_s <= 0 or not 0 < self.low_space < 1:
            raise ValueError(f"epoch_s is {self.epoch_s} and low_space {self.low_space}, expected > 0, and 0 to 1")
        check_value(dict(self.version), "version")
