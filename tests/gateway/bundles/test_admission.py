"""Who has to sign for what, and what no signature helps against."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.bundles.admission import Approval, admit, check_counter, check_life
from gateway.bundles.bundle import Bundle, make_bundle
from gateway.bundles.errors import BundleError
from gateway.bundles.store import BundleStore
from policies.load import parse_policy
from policies.vocabulary import KNOWN_GUARDS
from tests.gateway.bundles.making import ALICE, APPROVERS, BOB, EVE, NOW, POLICY, bundle

WEAKER = POLICY.replace(b"forbidden", b"verboten")
IN_FORCE = parse_policy(POLICY, "p.yaml")


def signed(policy: bytes = POLICY, expires_s: int | None = None, **files: bytes) -> Bundle:
    return bundle(policy, expires_s=expires_s, digest=parse_policy(policy, "p.yaml").digest, **files)


def admitted(path: Path, candidate: Bundle, *, needed: int = 1, first: bool = False):  # type: ignore[no-untyped-def]
    approval = Approval(APPROVERS, needed)
    return admit(candidate, BundleStore(path), approval, KNOWN_GUARDS, None if first else IN_FORCE, NOW)


def test_one_signature_brings_a_policy_in_force_that_is_no_weaker(tmp_path: Path) -> None:
    found = admitted(tmp_path, signed())
    assert (found.policy.digest, found.signers, found.is_weaker) == (IN_FORCE.digest, ("alice",), False)


def test_a_weaker_policy_needs_a_second_person(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"1 of 2 signatures of approvers by alice .* weakens") as error:
        admitted(tmp_path, signed(WEAKER))
    assert error.value.code == "bundle_unsigned"
    with pytest.raises(BundleError, match="1 of 2"):
        admitted(tmp_path, signed(WEAKER).approved(EVE))
    found = admitted(tmp_path, signed(WEAKER).approved(BOB))
    assert (found.signers, found.is_weaker) == (("alice", "bob"), True)
    assert not admitted(tmp_path, signed(WEAKER), first=True).is_weaker, "there is nothing it could be weaker than"


def test_a_site_may_ask_two_signatures_for_everything(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="1 of 2 signatures"):
        admitted(tmp_path, signed(), needed=2)


@pytest.mark.parametrize(
    ("candidate", "code"),
    [
        (signed(expires_s=NOW), "bundle_expired"),
        (bundle(digest="sha256:another"), "bundle_invalid"),
        (bundle(b"gatehouse: policy/v1\n"), "bundle_invalid"),
        (
            signed(
                POLICY.replace(b"rule: no-words", b"action: allow, rule: no-words").replace(b"{action: block, ", b"{")
            ),
            "bundle_tests",
        ),
    ],
)
def test_a_bundle_that_cannot_be_used_is_refused_whoever_signed_it(
    tmp_path: Path, candidate: Bundle, code: str
) -> None:
    with pytest.raises(BundleError) as error:
        admitted(tmp_path, candidate.approved(BOB))
    assert error.value.code == code


def test_what_was_signed_for_another_place_stays_there(tmp_path: Path) -> None:
    """Also if enough people signed it: they found it good enough for that place."""
    manifest = replace(signed(WEAKER).manifest, origins=("bank/test",), bindings=("playground",))
    candidate = make_bundle(manifest, {"policy.yaml": WEAKER}, ALICE).approved(BOB)
    check_life(candidate, Approval(APPROVERS, origin="bank/test", binding="playground"), NOW)
    for place in (("bank/test", ""), ("bank/test", "tellers"), ("bank/live", "playground"), ("", "")):
        approval = Approval(APPROVERS, origin=place[0], binding=place[1])
        with pytest.raises(BundleError) as error:
            admit(candidate, BundleStore(tmp_path), approval, KNOWN_GUARDS, IN_FORCE, NOW)
        assert error.value.code == "bundle_elsewhere"


def test_an_older_counter_does_not_come_back() -> None:
    check_counter(bundle(counter=8), 7)
    for counter in (7, 6, 0):
        with pytest.raises(BundleError) as error:
            check_counter(bundle(counter=counter), 7)
        assert error.value.code == "bundle_older"


CORPUS = b'{"text": "forbidden", "label": 1}\n{"text": "fine", "label": 0}\n'
PIN = f"corpus: c.jsonl@sha256:{hashlib.sha256(CORPUS).hexdigest()}, rule: no-words"


def test_what_a_rule_has_to_find_is_measured_where_no_model_is_needed(tmp_path: Path) -> None:
    held = POLICY + f"eval: [{{{PIN}, min_recall: 1, max_fpr: 0}}]\n".encode()
    found = admitted(tmp_path, signed(held, **{"c.jsonl": CORPUS}))
    assert (found.evals_held, found.evals_not_run) == (1, 0)
    other = CORPUS.replace(b"fine", b"forbidden")
    missed = held.replace(hashlib.sha256(CORPUS).hexdigest().encode(), hashlib.sha256(other).hexdigest().encode())
    with pytest.raises(BundleError, match=r"false alarms are 1\.0000 \(1 of 1\), expected at most 0") as error:
        admitted(tmp_path, signed(missed, **{"c.jsonl": other}))
    assert error.value.code == "bundle_eval"
    with pytest.raises(BundleError, match="cannot be read") as error:
        admitted(tmp_path, signed(held.replace(b"c.jsonl", b"d.jsonl"), **{"c.jsonl": CORPUS}))
    assert error.value.code == "bundle_eval"
