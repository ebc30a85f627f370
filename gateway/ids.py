"""Exchange ids: UUID version 7 (RFC 9562, section 5.7), so that records sort by time and ids say nothing else."""

from __future__ import annotations

import os
import time
import uuid


def exchange_id() -> str:
    """48 bits of Unix milliseconds, then random bits; 36 characters."""
    stamp = (time.time_ns() // 1_000_000) & 0xFFFF_FFFF_FFFF
    rest = int.from_bytes(os.urandom(10), "big")
    high, low = rest >> 68, rest & 0x3FFF_FFFF_FFFF_FFFF
    return str(uuid.UUID(int=(stamp << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low))
