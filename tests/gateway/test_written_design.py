"""The two examples of the language's design load and pass their tests as they are written there.

Where they are not word for word the design, docs/decisions/0028 says why.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.rehearsal import failing
from policies.errors import Problems
from policies.load import load_policy
from policies.options import plain
from policies.schema import schema
from policies.yaml_strict import parse
from tests.policies.json_schema import Schema

FOLDER = Path(__file__).parent / "design"
EXAMPLES = sorted(file.name for file in FOLDER.glob("[cr]*.yaml"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_loads_and_passes(name: str) -> None:
    policy = load_policy(FOLDER / name)
    assert len(policy.cases) >= 4
    assert [(one.case.name, one.differences) for one in failing(policy)] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_the_form_that_editors_are_told(name: str) -> None:
    said = plain(parse((FOLDER / name).read_bytes(), name, Problems()))
    assert Schema(json.loads(json.dumps(schema()))).accepts(said)


def test_there_are_two() -> None:
    assert EXAMPLES == ["clinic-assistant.yaml", "retail-bank-copilot.yaml"]
