"""A server is named by a URL that reads one way, and its key never stands in a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import peers
from policies.errors import FileErrors, Place, Problems
from policies.fields import Section
from policies.yaml_strict import Scalar, parse

PLACE = Place("f", 1, 1)


@pytest.mark.parametrize("address", ["http://vllm:8000/v1", "https://[::1]:8000", "http://10.0.0.5/a/b/v1"])
def test_a_plain_url_is_taken(address: str) -> None:
    assert peers.url(Scalar(PLACE, address, address), "`url`", Problems()) == address


@pytest.mark.parametrize(
    "address", ["http://u:p@vllm/v1", "http://vllm/v1?k=1", "vllm:8000", "http://vllm:99999/v1", 8000]
)
def test_any_other_is_refused(address: str | int) -> None:
    problems = Problems()
    assert peers.url(Scalar(PLACE, address, str(address)), "`url`", problems) is None
    with pytest.raises(FileErrors, match="`url` is not a URL"):
        problems.raise_if_any()


def test_the_path_of_the_api_is_there_once() -> None:
    assert {peers.api_base(one) for one in ("http://a", "http://a/", "http://a/v1")} == {"http://a/v1"}


def key_in(directory: Path, text: str) -> str:
    problems = Problems()
    section = Section.open(parse(text.encode(), "f", problems), "x", problems, ("api_key_file",))
    assert section is not None
    key = peers.api_key(section, directory)
    problems.raise_if_any()
    return key


def test_a_key_is_one_printable_line_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("abc\n")
    (tmp_path / "two").write_text("one\ntwo\n")
    assert key_in(tmp_path, "{}") == ""
    assert key_in(tmp_path, "{api_key_file: key}") == "abc"
    for name in ("two", "gone", "."):
        with pytest.raises(FileErrors, match="`api_key_file`") as caught:
            key_in(tmp_path, f"{{api_key_file: {name}}}")
        assert "one" not in str(caught.value).split("expected")[0]


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("http://127.0.0.1:8000/v1", True), ("http://localhost/v1", True), ("https://[::1]:8000", True),
        ("http://10.0.0.5/v1", False), ("http://vllm:8000/v1", False), ("http://127.0.0.1.example/v1", False),
    ],
)  # fmt: skip
def test_only_this_machine_is_local(address: str, local: bool) -> None:
    assert peers.is_local(address) is local
