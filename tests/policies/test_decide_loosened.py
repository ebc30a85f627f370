"""People in place of verdicts, gaps that somebody accepts, text that has left: in any order the same comes of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.decide import decide
from tests.policies.build import facts, policy_of
from tests.policies.test_decide import PARTS, RULES, TEMPLATES, some_findings

LOOSER = [
    *RULES,
    "- {id: asks, on: [user, output], when: {inject: {unsafe: true}}, do: {block: {code: z}}, on_error: review}",
    "- {id: duty, on: [output], when: {creds: {count: {gte: 1}}}, do: {block: {code: y, dialect: openai_refusal}}, "
    "on_error: {review: {queue: duty, quorum: 2, timeout: 5m}}}",
    "- {id: waits, on: [user], when: {harm: {category: [S9]}}, do: {review: {queue: q, hold: request, "
    "on_timeout: allow, accept_risk: {by: x, ticket: T-2, until: 2030-01-01}}}}",
]
GAPS = TEMPLATES + "defaults: {uncovered: allow, accept_risk: {by: x, ticket: T-3, until: 2030-01-01}}\n"
LOOSE = policy_of("\n".join(LOOSER), defaults=GAPS)


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    found=some_findings(),
    released=st.booleans(),
    at=st.sampled_from([None, 1_800_000_000, 1_999_999_999]),
)
def test_order_matters_no_more_where_things_are_loosened(data, found, released, at) -> None:
    rules = data.draw(st.permutations(LOOSER))
    shuffled = policy_of("\n".join(rules), watch=True, defaults=GAPS)
    assert shuffled.digest == LOOSE.digest
    parts = data.draw(st.permutations(PARTS))
    expected = decide(LOOSE, found, facts(*PARTS, at=at, released=released))
    assert decide(shuffled, data.draw(st.permutations(found)), facts(*parts, at=at, released=released)) == expected
    assert {rule for rule, _ in expected.reviews} >= set(expected.hanging)
    if released:
        assert not [cut for cut in expected.redactions if cut.path == PARTS[1].path], "it has left"
