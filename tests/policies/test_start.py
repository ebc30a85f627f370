"""Every start loads, means what its template means, and keeps the comments that explain it."""

from __future__ import annotations

import pytest

from policies.diff import diff
from policies.load import load_policy
from policies.start import LIBRARY, StartRefused, started, templates


@pytest.mark.parametrize("template", templates())
def test_a_start_is_its_template_under_another_name(template: str) -> None:
    text, policy = started(template, "clinic", "Privacy office: room 7")
    original = load_policy(LIBRARY / f"{template}.yaml")
    assert (policy.name, policy.version, policy.owner) == ("clinic", "1.0.0", "Privacy office: room 7")
    assert {change.subject for change in diff(original, policy).changes} == {"policy"}
    comments = [line for line in (LIBRARY / f"{template}.yaml").read_text().splitlines() if line.startswith("#")]
    assert set(comments) <= set(text.splitlines())


def test_the_usual_template_is_the_first() -> None:
    assert templates()[0] == "default"


@pytest.mark.parametrize(
    ("template", "name", "owner", "problem"),
    [
        ("defualt", "a", "b", "`defualt` is no template, expected one of default"),
        ("default", "My Clinic", "b", "`name` is `My Clinic`, expected a name of small letters"),
        ("default", "a", "line\nbreak", "`owner`"),
    ],
)
def test_answers_that_make_no_policy_are_refused(template: str, name: str, owner: str, problem: str) -> None:
    with pytest.raises(StartRefused) as caught:
        started(template, name, owner)
    assert problem in str(caught.value)
