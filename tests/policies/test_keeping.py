"""`defaults.audit` says whether text is kept; what it does not say is not kept."""

from __future__ import annotations

import pytest

from policies.errors import FileErrors, Problems
from policies.fields import Section
from policies.keeping import Keeping, read_keeping
from policies.yaml_strict import parse


def read(text: str) -> Keeping:
    problems = Problems()
    section = Section.open(parse(text.encode(), "policy.yaml", problems), "`defaults`", problems, ("audit",))
    assert section is not None
    keeping = read_keeping(section)
    problems.raise_if_any()
    return keeping


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Keeping()),
        ("{audit: {content: none}}", Keeping()),
        ("{audit: {content: sealed}}", Keeping("sealed", "default")),
        ("{audit: {content: sealed, retention: hipaa-6y}}", Keeping("sealed", "hipaa-6y")),
    ],
)
def test_what_is_kept(text: str, expected: Keeping) -> None:
    assert read(text) == expected
    assert expected.keeps == ("sealed" in text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{audit: {retention: hipaa-6y}}", "no `content`"),
        ("{audit: {content: clear}}", "one of `none`, `sealed`"),
        ("{audit: {content: none, retention: x}}", "no meaning"),
        ("{audit: {content: sealed, retention: Up/x}}", "a retention class"),
        ("{audit: {content: sealed, ack: before_upstream}}", "`ack` is not available"),
        ("{audit: sealed}", "expected a mapping"),
    ],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    with pytest.raises(FileErrors, match=told):
        read(text)
