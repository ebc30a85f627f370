"""What a user can meet is documented: error codes, configuration keys, commands, record types, links."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from gateway import cli
from gateway.config import _TOP

ROOT = Path(__file__).resolve().parent.parent
DOCS = {
    path.relative_to(ROOT).as_posix(): path.read_text() for path in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]
}
SOURCES = [
    path for package in ("", "admin/", "audit/", "bundles/", "content/") for path in ROOT.glob(f"gateway/{package}*.py")
]
"""What people meet. Processes of one gateway (gateway/worker) have codes of their own between them."""
ERROR = re.compile(
    r"\b(?:BadRequest|TooMany|Unauthenticated|Forbidden|Conflict|NotFound|MethodNotAllowed|Slow|TooLarge|EncodingRefused|UpstreamFailed|Unavailable"
    r'|UpstreamTimeout|ConfigError|AuditError|BundleError|AdminError|_Refused)\(\s*"([a-z_]+)"'
)


def error_codes() -> set[str]:
    return {code for path in SOURCES for code in ERROR.findall(path.read_text())}


@pytest.mark.parametrize("code", sorted(error_codes()))
def test_every_error_code_is_documented(code: str) -> None:
    pages = ("configuration", "audit-format", "policies")
    assert any(f"`{code}`" in DOCS[f"docs/{page}.md"] for page in pages), code


@pytest.mark.parametrize("key", _TOP)
def test_every_configuration_key_is_documented(key: str) -> None:
    assert re.search(rf"^{key}:", DOCS["docs/configuration.md"], re.M), key


def commands(parser: argparse.ArgumentParser, path: str = "gatehouse") -> list[str]:
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        return [path]
    return [
        name for action in inner for verb, sub in action.choices.items() for name in commands(sub, f"{path} {verb}")
    ]


@pytest.mark.parametrize("command", commands(cli.make_parser()))
def test_every_command_is_documented_and_has_help(command: str) -> None:
    assert any(command in text for text in DOCS.values()), command


def test_record_types_are_in_the_format_page() -> None:
    sources = "\n".join(path.read_text() for path in SOURCES)
    kinds = "gateway|audit|request|response|policy|guard|auth|moderation|key|verify|clock|content|review|hold|retention"
    types = set(re.findall(rf'"((?:{kinds})\.[a-z_]+)"', sources)) - {"gateway.front", "audit.pem", "policy.yaml"}
    assert len(types) > 10
    missing = sorted(kind for kind in types if kind not in DOCS["docs/audit-format.md"])
    assert not missing, missing


def test_links_between_pages_lead_somewhere() -> None:
    for name, text in DOCS.items():
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"
