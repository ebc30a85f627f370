"""`content` of a configuration is read whole or refused with every problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.content.settings import ContentSettings, read_content
from policies.errors import FileErrors, Problems
from policies.yaml_strict import parse

FILE, STATE = Path("/etc/gatehouse/gatehouse.yaml"), Path("/var/lib/gatehouse")
DAY_NS = 24 * 3600 * 10**9


def read(text: str) -> ContentSettings | None:
    problems = Problems()
    settings = read_content(parse(text.encode(), str(FILE), problems), FILE, STATE, problems)
    problems.raise_if_any()
    return settings


def test_classes_have_a_time_and_the_key_a_place() -> None:
    settings = read("{master_key: keys/master, classes: {hipaa-6y: 6y, default: 30d, short: 12h}}")
    assert settings is not None
    assert settings.master_key == Path("/etc/gatehouse/keys/master")
    assert settings.classes == {"hipaa-6y": 6 * 366 * DAY_NS, "default": 30 * DAY_NS, "short": DAY_NS // 2}


def test_without_it_nothing_is_kept() -> None:
    assert read_content(None, FILE, STATE, Problems()) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{classes: {default: 30d}}", "no `master_key`"),
        ("{master_key: m}", "no `classes`"),
        ("{master_key: m, classes: {}}", "no `classes`"),
        ("{master_key: m, classes: {default: 30}}", "a time such as"),
        ("{master_key: m, classes: {default: 0d}}", "a time such as"),
        ("{master_key: m, classes: {../up: 30d}}", "a name of small letters"),
        ("{master_key: /var/lib/gatehouse/keystore/m, classes: {default: 1d}}", "inside `keystore`"),
        ("{master_key: /var/lib/gatehouse/audit/m, classes: {default: 1d}}", "inside `audit`"),
        ("{master_key: m, classes: {default: 1d}, more: 1}", "unknown key `more`"),
    ],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    with pytest.raises(FileErrors, match=told):
        read(text)


def test_two_people_need_two_approvers() -> None:
    text = "{master_key: m, classes: {default: 1d}, two_people: [erase, release]}"
    with pytest.raises(FileErrors, match="needs two `approvers`"):
        read(text)
    problems = Problems()
    settings = read_content(parse(text.encode(), str(FILE), problems), FILE, STATE, problems, 2)
    problems.raise_if_any()
    assert settings is not None
    assert settings.two_people == {"erase", "release"}
    with pytest.raises(FileErrors, match="one of `erase`, `release`"):
        read("{master_key: m, classes: {default: 1d}, two_people: [prune]}")
