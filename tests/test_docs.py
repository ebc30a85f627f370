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
ERROR = re.compile(
    r"(?:BadRequest|TooMany|Unauthenticated|Forbidden|Conflict|NotFound|MethodNotAllowed|Slow|TooLarge|EncodingRefused|UpstreamFailed|Unavailable"
    r'|UpstreamTimeout|ConfigError|AuditError|_Refused)\(\s*"([a-z_]+)"'
)


def error_codes() -> set[str]:
    sources = [*ROOT.glob("gateway/*.py"), *ROOT.glob("gateway/audit/*.py")]
    return {code for path in sources for code in ERROR.findall(path.read_text())}


@pytest.mark.parametrize("code", sorted(error_codes()))
def test_every_error_code_is_documented(code: str) -> None:
    assert f"`{code}`" in DOCS["docs/configuration.md"] + DOCS["docs/audit-format.md"], code


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
    sources = "\n".join(path.read_text() for path in [*ROOT.glob("gateway/*.py"), *ROOT.glob("gateway/audit/*.py")])
    kinds = "gateway|audit|request|response|policy|guard|auth|moderation|key|verify|clock"
    types = set(re.findall(rf'"((?:{kinds})\.[a-z_]+)"', sources)) - {"gateway.front", "audit.pem"}
    assert len(types) > 10
    missing = sorted(kind for kind in types if kind not in DOCS["docs/audit-format.md"])
    assert not missing, missing


def test_links_between_pages_lead_somewhere() -> None:
    for name, text in DOCS.items():
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"
