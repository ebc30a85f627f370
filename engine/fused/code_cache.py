"""Machine code of the loops on disk, so that a later start does not compile them anew.

numba keeps a function's code for as long as the function's own file is what it was. What the function calls is compiled
into it, so old loops would outlive an upgrade that changes another file: here all files of the loops are one stamp. A
cache is no reason not to start, either: what is cut short, is of other types or cannot be written is compiled again.
It is code like a `.pyc`: who can write it can run code in the model host.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile


def stamp_of(paths: Iterable[Path]) -> str:
    """Another one whenever a file becomes another."""
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in sorted(paths))).hexdigest()


STAMP = stamp_of(Path(__file__).parent.glob("*.py"))


class CodeCache(FunctionCache):
    """One function's code, of all types it was called with."""

    def __init__(self, function: Callable[..., Any], stamp: str = STAMP) -> None:
        """RuntimeError where there is no folder that can be written."""
        super().__init__(function)
        own = self._impl.locator.get_source_stamp()
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, (own, stamp))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(sig, target_context)
        # Whatever a file that was cut short makes of its reader: the loops can be compiled.
        except Exception:  # noqa: BLE001
            return None
        # Two processes that begin at once may have given the same name to code of different types.
        return found if found is not None and found.signature.args == tuple(sig) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        # No room, or a list of what is there that was cut short: that begins anew, if it can.
        except Exception:  # noqa: BLE001
            with suppress(OSError):
                self.flush()


def keep_code(dispatcher: Any, stamp: str = STAMP) -> None:
    """Have a function of numba's, not called so far, keep its code and read what was kept."""
    with suppress(RuntimeError):  # There is no folder that can be written.
        dispatcher._cache = CodeCache(dispatcher.py_func, stamp)
