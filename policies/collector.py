"""Python's collector of cycles, put off while a large file is read.

Reading makes many small objects that all stay, and each thousand of them has the collector look at all there are: most
of the time of a large policy, and a stall of the whole process each time. What is read has no cycles.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def put_off() -> Iterator[None]:
    """Let the collector rest. Of several at once the one that stopped it lets it go on."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
