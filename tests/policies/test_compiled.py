"""One spelling for one meaning; what older policies could not say changes nothing of theirs."""

from __future__ import annotations

import pytest

from policies.compiled import compiled, digest_of
from tests.policies.build import policy_of

RULE = "- {id: r, on: [user, output], when: {harm: {unsafe: true}}, do: {block: {code: c}}}"


def test_the_digest_is_that_of_the_compiled_form() -> None:
    policy = policy_of(RULE)
    assert policy.digest == digest_of(policy)
    assert not {"templates", "claims", "on_errors", "may_relax"} & compiled(policy).keys()


@pytest.mark.parametrize(
    "edited",
    [
        RULE.replace("do:", "stream: {mode: buffer}, do:"),
        RULE.replace("do:", "mode: off, until: 2030-01-01, do:"),
        RULE.replace("code: c}", "code: c}, annotate: {field: x}"),
        RULE.replace("do:", "relaxes: watch, do:").replace("[user, output]", "[user, output, system]"),
    ],
)
def test_whatever_is_said_changes_the_digest(edited: str) -> None:
    assert policy_of(edited).digest != policy_of(RULE).digest


def test_owner_and_order_do_not() -> None:
    other = "- {id: q, on: [user], do: flag}"
    assert policy_of(f"{RULE}\n{other}").digest == policy_of(f"{other}\n{RULE}", defaults="owner: somebody\n").digest
