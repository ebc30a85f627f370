"""The frameworks' files: complete, about records that there are, and without a promise."""

from __future__ import annotations

from importlib import resources

import pytest

from gateway.audit.controls.framework import FRAMEWORKS, load

_TYPES = """
    gateway.start gateway.stop gateway.drain audit.open audit.seal audit.fail audit.recover audit.reserve_low
    audit.adopt audit.sink_down audit.sink_up checkpoint.anchor protocol.refuse auth.fail auth.ok_admin request.admit
    request.refuse request.findings response.progress response.complete response.abort response.orphan review.open
    review.vote review.close review.expire override.use policy.load policy.reject policy.activate policy.rollback
    config.change model.load model.digest_mismatch guard.up guard.down key.create key.rotate key.revoke key.epoch
    content.read content.export content.erase hold.set hold.release retention.prune audit.read audit.query clock.step
    role.grant role.revoke log.review moderation.complete"""
CATALOGUE = set(_TYPES.split())
"""Types of the format; whatever else stands in a file could never be found."""
ASKED = {
    "hipaa": {"164.312(b)", "164.312(c)", "164.308(a)(1)(ii)(D)", "164.316(b)(2)(i)", "164.528"},
    "pci": {*(f"10.2.1.{n}" for n in range(1, 8)), "10.2.2", "10.3", "10.4", "10.5.1", "10.6", "10.7", "3.3"},
    "eu-ai-act": {
        "Article 12(1) and (2)", "Article 12(3)", "Articles 19 and 26(6)", "Articles 14 and 26(2)", "Article 50"
    },
    "soc2": {"CC6 (logical access)", "CC7.2 (monitoring)", "CC7.3 and CC7.4 (incidents)", "CC8.1 (change management)"},
    "nist-800-53": {
        "AU-3", "AU-3(3)", "AU-4", "AU-5, AU-5(1), (4), (5)", "AU-6", "AU-8", "AU-9(2), (3)", "AU-10", "AU-11", "AU-12"
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_control_is_there_once_and_says_something(name: str) -> None:
    framework = load(name)
    ids = [control.id for control in framework.controls]
    assert len(set(ids)) == len(ids)
    assert set(ids) == ASKED[name]
    assert framework.title
    assert framework.source
    for control in framework.controls:
        assert control.asks
        assert control.evidence or control.outside
        for item in control.evidence:
            assert item.records
            assert item.says
            assert item.without


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_only_records_that_the_format_has_are_asked_for(name: str) -> None:
    asked = {kind for control in load(name).controls for item in control.evidence for kind in item.records}
    assert asked <= CATALOGUE, asked - CATALOGUE


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_nothing_is_promised(name: str) -> None:
    text = resources.files("gateway.audit.controls").joinpath(f"{name}.yaml").read_text().lower()
    assert not [word for word in ("complian", "fulfil", "satisf", "certif", "guarantee") if word in text]
