"""Which policy comes into force at a start, a reload, by hand and by a rollback; a bad bundle changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.audit.approved import signers
from gateway.bundles.admission import Approval
from gateway.bundles.bundle import Bundle
from gateway.bundles.errors import BundleError
from gateway.bundles.store import BundleStore
from gateway.policy_source import BundleSource, FileSource, Found
from policies.errors import PolicyErrors
from policies.load import parse_policy
from policies.vocabulary import KNOWN_GUARDS
from tests.gateway.bundles.making import APPROVERS, NOW, POLICY, bundle

STRICTER = POLICY.replace(b"rules:\n", b"  more: {use: regex, pattern: 'banned'}\nrules:\n").replace(
    b"  - {id: pass",
    b"  - {id: no-more, on: [user], when: {more: {count: {gte: 1}}}, do: {block: {code: words}}}\n  - {id: pass",
)


def signed(counter: int, policy: bytes = POLICY, expires_s: int | None = None) -> Bundle:
    return bundle(policy, counter, expires_s, parse_policy(policy, "p.yaml").digest)


class Site:
    """A bundle file, the store beside it, and the policy in force."""

    def __init__(self, path: Path) -> None:
        self.file, self.now = path / "policy.bundle", float(NOW)
        self.source = BundleSource(self.file, BundleStore(path / "store"), Approval(APPROVERS), lambda: self.now)

    def put(self, data: Bundle | bytes) -> None:
        self.file.write_bytes(data if isinstance(data, bytes) else data.data())

    def start(self) -> Found:
        return self._adopt(self.source.first(KNOWN_GUARDS))

    def reload(self) -> Found:
        return self._adopt(self.source.again(KNOWN_GUARDS, self.in_force.policy))

    def bring(self, given: Bundle) -> Found:
        return self._adopt(self.source.given(given.data(), KNOWN_GUARDS, self.in_force.policy))

    def roll_back(self, digest: str | None = None) -> Found:
        return self._adopt(self.source.earlier(digest, KNOWN_GUARDS, self.in_force.policy))

    def _adopt(self, found: Found) -> Found:
        self.source.adopted(found)
        self.in_force = found
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def refused(do: Callable[[], object]) -> str:
    with pytest.raises(BundleError) as error:
        do()
    return error.value.code


def counter_of(found: Found) -> int:
    assert found.admitted is not None
    return found.admitted.bundle.manifest.counter


def test_a_newer_bundle_replaces_an_older_one_and_never_the_other_way_round(site: Site) -> None:
    site.put(signed(3))
    assert counter_of(site.start()) == 3
    site.put(signed(5, STRICTER))
    assert counter_of(site.reload()) == 5
    for older in (signed(3), signed(5), signed(4, STRICTER)):
        site.put(older)
        assert refused(site.reload) == "bundle_older"
    site.put(signed(5, STRICTER))
    assert counter_of(site.reload()) == 5, "the same again is no older one"


@pytest.mark.parametrize("bad", [b"", b"half a bundle", signed(9, expires_s=NOW).data(), signed(2).data()])
def test_at_a_start_the_last_good_one_stands_in_for_a_bad_file(site: Site, bad: bytes) -> None:
    site.put(signed(3, STRICTER))
    site.start()
    site.put(bad)
    found = site.start()
    assert counter_of(found) == 3
    assert len(found.passed_over) == 1, "and the start can say so"


def test_without_any_good_bundle_there_is_no_start(site: Site) -> None:
    assert refused(site.start) == "bundle_malformed"
    site.put(signed(1, expires_s=NOW + 10))
    site.start()
    site.now += 10
    site.file.unlink()
    assert refused(site.start) == "bundle_malformed", "the last good one has expired, too"


def test_a_rollback_brings_back_the_one_before_and_the_file_does_not_undo_it(site: Site) -> None:
    site.put(signed(1))
    first = site.start()
    site.put(signed(2, STRICTER))
    site.reload()
    assert refused(site.roll_back) == "bundle_unsigned", "what is weaker needs two people, going back as well"
    site.put(signed(3))
    assert refused(site.reload) == "bundle_unsigned"
    site.bring(signed(4, STRICTER))
    back = site.roll_back()
    assert (counter_of(back), back.is_rollback) == (2, True)
    assert refused(lambda: site.roll_back("sha256:" + "0" * 64)) == "bundle_unknown"
    site.put(signed(4, STRICTER))
    assert refused(site.reload) == "bundle_older"
    assert counter_of(site.start()) == 2
    assert counter_of(site.bring(signed(4, STRICTER))) == 4, "somebody who wants it back brings it"
    assert first.record_fields()["bundle"] == {
        "digest": signed(1).digest,
        "counter": 1,
        "signers": ["alice"],
        "weaker": False,
        "rollback": False,
    }
    approval = first.approval_fields()["approval"]
    assert isinstance(approval, dict)
    lines = approval["signatures"]
    assert isinstance(lines, list)
    people = {key.name: key for key in APPROVERS}
    assert signers(str(approval["statement"]), map(str, lines), people) == {"alice"}


def test_a_plain_file_is_believed_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(POLICY)
    source = FileSource(file)
    found = source.first(KNOWN_GUARDS)
    assert (found.policy.name, found.text, found.record_fields()) == ("house", POLICY, {})
    file.write_bytes(b"{}")
    with pytest.raises(PolicyErrors):
        source.again(KNOWN_GUARDS, found.policy)


def test_a_bundle_on_trial_is_marked_and_checked_again_before_it_is_in_force(site: Site) -> None:
    site.put(signed(1))
    site.start()
    found = site.source.given(signed(2, STRICTER, NOW + 10).data(), KNOWN_GUARDS, site.in_force.policy)
    site.source.on_trial(found)
    assert site.source.state().trial == (found.admitted and found.admitted.bundle.digest)
    site.source.check_life(found)
    site.now += 10
    assert refused(lambda: site.source.check_life(found)) == "bundle_expired"
    site.source.off_trial(is_withdrawn=True)
    site.put(signed(2, STRICTER, NOW + 10))
    site.now -= 10
    assert refused(site.reload) == "bundle_older", "the file does not bring it back"
    assert (site.source.state().trial, counter_of(site.bring(signed(2, STRICTER, NOW + 10)))) == ("", 2)


def test_a_bundle_that_was_tested_at_this_start_is_not_tested_again_and_any_other_is(tmp_path: Path) -> None:
    """What skipping looks like: one whose tests fail is taken for tested. Only its own digest is."""
    failing = signed(1, POLICY.replace(b"{action: block, rule: no-words}", b"{action: allow}"))
    (tmp_path / "policy.bundle").write_bytes(failing.data())
    approval, store = Approval(APPROVERS), BundleStore(tmp_path / "store")
    for tested, code in (((failing.digest,), ""), ((signed(1).digest,), "bundle_tests"), ((), "bundle_tests")):
        source = BundleSource(tmp_path / "policy.bundle", store, approval, lambda: float(NOW), tested)
        if code:
            assert refused(lambda source=source: source.first(KNOWN_GUARDS)) == code  # type: ignore[misc]
        else:
            assert source.first(KNOWN_GUARDS).policy.name == "house"
