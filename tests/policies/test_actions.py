"""Actions are ordered as they win, and a name that stands for no rule can be none."""

from __future__ import annotations

import re

from policies.actions import DIALECTS, UNCOVERED, Action
from policies.read_rules import RULE_ID


def test_the_lattice_is_the_one_of_the_language() -> None:
    names = [action.name.lower() for action in sorted(Action)]
    assert names == ["allow", "annotate", "flag", "redact", "replace", "route", "review", "block"]


def test_no_rule_can_be_called_what_stands_for_none() -> None:
    assert not re.fullmatch(RULE_ID, UNCOVERED)
    assert len(set(DIALECTS)) == 3
