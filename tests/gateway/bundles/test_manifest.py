"""What approvers sign has one spelling, and its files lie where they say."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bundles.errors import BundleError
from gateway.bundles.manifest import BundledFile, Manifest, parse_manifest
from tests.gateway.bundles.making import bundle

TEXT = bundle(names__txt=b"Acme\n").manifest.text()


def test_it_reads_what_it_writes() -> None:
    assert parse_manifest(TEXT).text() == TEXT
    assert parse_manifest(TEXT.replace("expires never", "expires 1900000000")).expires_s == 1_900_000_000


def test_it_may_say_for_whom_it_is() -> None:
    only = "origin bank/gate-1\norigin bank/gate-2\nbinding -\nbinding own\npolicy "
    manifest = parse_manifest(TEXT.replace("policy ", only, 1))
    assert (manifest.origins, manifest.bindings) == (("bank/gate-1", "bank/gate-2"), ("-", "own"))
    assert manifest.text() == TEXT.replace("policy ", only, 1)
    for origin, binding in (("bank/gate-1", ""), ("bank/gate-2", "own")):
        manifest.check_place(origin, binding)
    for origin, binding, told in (
        ("bank/gate-3", "", "gateway `bank/gate-1`, `bank/gate-2`"),
        ("bank/gate-1", "x", "`-`, `own`"),
    ):
        with pytest.raises(BundleError, match=told) as error:
            manifest.check_place(origin, binding)
        assert error.value.code == "bundle_elsewhere"
    parse_manifest(TEXT).check_place("anywhere", "for-anybody")


@pytest.mark.parametrize(
    "only",
    [
        "binding own\norigin a\n",
        "origin b\norigin a\n",
        "origin a\norigin a\n",
        "origin a b\n",
        "origin \n",
        "binding Own\n",
    ],
)
def test_for_whom_it_is_has_one_spelling(only: str) -> None:
    with pytest.raises(BundleError):
        parse_manifest(TEXT.replace("policy ", f"{only}policy ", 1))


@given(st.integers(0, len(TEXT) - 1), st.sampled_from(["", " ", "\n", "0", "x", "never"]))
def test_a_changed_character_is_another_manifest_or_none(at: int, put: str) -> None:
    changed = TEXT[:at] + put + TEXT[at + 1 :]
    with suppress(BundleError):
        assert parse_manifest(changed).text() == changed


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(BundleError):
        parse_manifest(text)


@pytest.mark.parametrize(
    "path", ["../policy.yaml", "/etc/passwd", "a/../../b", "", "a\nb", "./a", "a//b", "-x", ".hidden"]
)
def test_a_file_lies_in_the_policys_folder(path: str) -> None:
    with pytest.raises(BundleError, match="leads elsewhere"):
        BundledFile(path, 1, "0" * 64)


def test_it_names_a_policy_and_each_file_once() -> None:
    file = BundledFile("policy.yaml", 1, "0" * 64)
    for files in ((), (file, file), (BundledFile("manifest", 1, "0" * 64), file)):
        with pytest.raises(BundleError, match="a file twice"):
            Manifest("house", "1", 1, 0, None, "sha256:0", files)
