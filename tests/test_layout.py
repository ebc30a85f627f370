"""The shape of the tree, so that it stays what docs/architecture.md says it is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gateway", "guards", "policies", "engine")
MAY_IMPORT = {
    "gateway": {"gateway", "policies", "guards"},
    "policies": {"policies", "guards"},
    "guards": {"guards"},
    "engine": {"engine"},
}
HEAVY = {"torch", "transformers"}
LONGEST = 400
BROAD = re.compile(r"^\s*except(\s*:|\s+\(?\s*(Base)?Exception\b)")


def in_training(path: Path) -> bool:
    """Training recipes run on their own, apart from what is served."""
    return "train" in path.relative_to(ROOT).parts


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def ours() -> list[Path]:
    return sources() + sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "bench").rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """Top-level names of everything a file imports, at its start or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_every_source_file_has_its_test_at_the_same_path() -> None:
    expected = {
        path: ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.name}")
        for path in sources()
        if path.name != "__init__.py" and not in_training(path)
    }
    missing = [name(path) for path, test in expected.items() if not test.is_file()]
    assert not missing, "without a test file: " + ", ".join(missing)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    wrong = [
        f"{name(path)} imports {imported}"
        for path in sources()
        if path.relative_to(ROOT).parts[0] == package and not in_training(path)
        for imported in imports(path)
        if imported in PACKAGES and imported not in MAY_IMPORT[package]
    ]
    assert wrong == []


def test_model_libraries_are_imported_in_the_engine_and_the_training_folders_only() -> None:
    wrong = [
        f"{name(path)} imports {imported}"
        for path in sources()
        if path.relative_to(ROOT).parts[0] != "engine" and not in_training(path)
        for imported in imports(path)
        if imported in HEAVY
    ]
    assert wrong == []


def test_the_front_starts_without_a_model_library() -> None:
    """Whatever a library of ours imports counts, too: the front judges by HTTP and has no room for torch."""
    program = "import gateway.front, gateway.cli, sys; assert not {'torch', 'transformers'} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_no_file_of_ours_is_too_long_to_read() -> None:
    assert [name(path) for path in ours() if len(path.read_text().splitlines()) > LONGEST] == []


def test_every_module_opens_with_its_reason() -> None:
    assert [name(path) for path in ours() if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_a_package_init_is_a_docstring() -> None:
    wordy = [path for path in sources() if path.name == "__init__.py" and len(ast.parse(path.read_text()).body) > 1]
    assert [name(path) for path in wordy] == []


def test_a_broad_except_has_its_reason_on_the_line_above() -> None:
    bare = []
    for path in ours():
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if BROAD.match(line) and not lines[number - 1].lstrip().startswith("#"):
                bare.append(f"{name(path)}:{number + 1}")
    assert bare == []
