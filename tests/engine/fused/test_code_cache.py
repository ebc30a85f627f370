"""Kept code is used where it is the same code, and never keeps a host from starting."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest

from engine.fused import code_cache
from engine.fused.code_cache import STAMP, keep_code, stamp_of

SOURCE = "def plus(x):\n    return x + 1\n"


@pytest.fixture
def function(tmp_path: Path) -> Callable[..., Any]:
    """In a file of its own: numba keeps code beside it."""
    (tmp_path / "one.py").write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("one", tmp_path / "one.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plus  # type: ignore[no-any-return]


def started(function: Callable[..., Any], stamp: str = STAMP) -> Any:
    """As a process that starts anew has it."""
    found = numba.njit(function)
    keep_code(found, stamp)
    return found


def was_read(found: Any) -> bool:
    return sum(found.stats.cache_hits.values()) > 0


def test_what_was_compiled_once_is_read_until_a_loop_becomes_another(function: Callable[..., Any]) -> None:
    for stamp, is_known in (("one", False), ("one", True), ("other", False), ("other", True)):
        found = started(function, stamp)
        assert (found(2), was_read(found)) == (3, is_known)


def test_all_files_of_the_loops_are_in_the_stamp(tmp_path: Path) -> None:
    files = list(Path(code_cache.__file__).parent.glob("*.py"))
    assert stamp_of(reversed(files)) == STAMP
    copies = [Path(shutil.copy(path, tmp_path)) for path in files]
    assert stamp_of(copies) == STAMP
    copies[3].write_bytes(copies[3].read_bytes() + b"\n")
    assert stamp_of(copies) != STAMP


@pytest.mark.parametrize("left", [b"", b"nonsense", 100])
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_what_was_cut_short_is_compiled_again(
    function: Callable[..., Any], tmp_path: Path, ending: str, left: bytes | int
) -> None:
    started(function)(2)
    (path,) = (tmp_path / "__pycache__").glob(f"*.{ending}")
    path.write_bytes(left if isinstance(left, bytes) else path.read_bytes()[:left])
    assert started(function)(2) == 3


def test_code_of_other_types_is_compiled_again(function: Callable[..., Any], tmp_path: Path) -> None:
    first = started(function)
    assert (first(2), first(2.5)) == (3, 3.5)
    whole, floating = sorted((tmp_path / "__pycache__").glob("*.nbc"))
    shutil.copy(whole, floating)
    again = started(function)
    assert (again(2.5), was_read(again)) == (3.5, False)


def test_where_nothing_can_be_written_it_is_compiled(function: Callable[..., Any], tmp_path: Path) -> None:
    found = started(function)
    (tmp_path / "__pycache__").rmdir()
    (tmp_path / "__pycache__").write_bytes(b"no folder")
    assert found(2) == 3
