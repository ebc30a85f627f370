"""A bundle is exactly what was signed: one spelling, whole files, signatures of people one knows."""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.bundles.bundle import open_bundle
from gateway.bundles.errors import BundleError
from tests.gateway.bundles.making import APPROVERS, BOB, EVE, POLICY, bundle

WHOLE = bundle(names__txt=b"Acme\n")


def test_what_was_written_is_read() -> None:
    read = open_bundle(WHOLE.data())
    assert (read.manifest, read.contents["policy.yaml"], read.contents["names.txt"]) == (
        WHOLE.manifest,
        POLICY,
        b"Acme\n",
    )
    assert read.digest == WHOLE.digest
    assert read.data() == WHOLE.data()


def test_signatures_add_up_and_strangers_do_not_count() -> None:
    assert WHOLE.signers(APPROVERS) == ("alice",)
    assert WHOLE.approved(EVE).signers(APPROVERS) == ("alice",)
    both = open_bundle(WHOLE.approved(BOB).data())
    assert both.signers(APPROVERS) == ("alice", "bob")
    assert both.digest == WHOLE.digest, "who signed does not change what was signed"
    assert WHOLE.approved(BOB).approved(BOB).signers(APPROVERS) == ("alice", "bob"), "signing twice is signing once"


def test_a_signature_on_something_else_counts_for_nothing() -> None:
    other = bundle(policy=POLICY + b"# more\n")
    moved = type(WHOLE)(WHOLE.manifest, other.signatures, WHOLE.contents)
    assert moved.signers(APPROVERS) == ()


@settings(max_examples=150)
@given(st.data())
def test_no_byte_can_be_changed_dropped_or_added(data: st.DataObject) -> None:
    whole = WHOLE.data()
    at = data.draw(st.integers(0, len(whole) - 1))
    put = data.draw(st.binary(max_size=2).filter(lambda new: new != whole[at : at + 1]))
    changed = whole[:at] + put + whole[at + 1 :]
    with suppress(BundleError):
        # Only a change of the signature lines leaves a bundle, and then nobody signed it.
        assert open_bundle(changed).signers(APPROVERS) == ()


@given(st.binary(max_size=2000))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        open_bundle(data)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_links_and_folders_are_refused(kind: bytes) -> None:
    out = io.BytesIO(WHOLE.data())
    with tarfile.open(fileobj=out, mode="a") as archive:
        member = tarfile.TarInfo("extra")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(BundleError, match="not one file once"):
        open_bundle(out.getvalue())


def test_a_file_that_nobody_signed_is_refused() -> None:
    more = type(WHOLE)(WHOLE.manifest, WHOLE.signatures, {**WHOLE.contents, "extra.txt": b"x"})
    with pytest.raises(BundleError, match="not those that its manifest names"):
        open_bundle(more.data())
