"""The codes that the docstring lists are those that the package raises, and all of them are documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.content import errors
from gateway.content.errors import HoldsForbid

ROOT = Path(__file__).resolve().parents[3]
RAISED = re.compile(r'(ContentError|ContentMissing)\(\s*"([a-z_]+)"')
OF_A_KEY = re.compile(r'"(content_key_[a-z]+)"')


def raised(kind: str) -> set[str]:
    texts = [path.read_text() for path in (ROOT / "gateway" / "content").glob("*.py")]
    named = {code for text in texts for name, code in RAISED.findall(text) if name == kind}
    return named | {code for text in texts for code in OF_A_KEY.findall(text) if kind == "ContentError"}


@pytest.mark.parametrize("kind", ["ContentError", "ContentMissing"])
def test_the_docstring_lists_what_is_raised(kind: str) -> None:
    listed = re.search(rf"Codes of {kind}: ([a-z_, ]+)\.", errors.__doc__ or "")
    assert listed is not None
    # `content_not_found` is for who asks by name: gateway/admin raises it.
    assert raised(kind) == set(listed[1].split(", ")) - {"content_not_found"}


def test_every_code_is_documented() -> None:
    page = (ROOT / "docs" / "content.md").read_text()
    missing = [code for kind in ("ContentError", "ContentMissing") for code in raised(kind) if f"`{code}`" not in page]
    assert not missing, missing


def test_a_hold_is_counted_not_quoted() -> None:
    assert str(HoldsForbid(["h1", "h2"])) == "2 legal holds cover it"
