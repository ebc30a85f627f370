"""A list is these bytes and no others, inside the policy's folder, and its words are part of what a policy means."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from guards.errors import GuardSetupError
from policies.lists import with_lists
from policies.load import load_policy
from policies.pinned import MAX_BYTES
from tests.policies.build import HEAD, problems_in

WORDS = b"# restricted\nAcme Corp\n\n  Initech  \n"


def pinned(folder: Path, data: bytes = WORDS, name: str = "names.txt") -> str:
    (folder / name).write_bytes(data)
    return f"{name}@sha256:{hashlib.sha256(data).hexdigest()}"


def test_the_words_of_a_list_join_those_of_the_policy(tmp_path: Path) -> None:
    values = {"words": ["Own"], "list": pinned(tmp_path), "label": "x"}
    assert with_lists("terms", values, tmp_path) == {"words": ["Own", "Acme Corp", "Initech"], "label": "x"}
    assert with_lists("terms", {"words": ["Own"]}, tmp_path) == {"words": ["Own"]}


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("names.txt", "expected `FILE@sha256:` and 64 hex digits"),
        (7, "expected `FILE@sha256:` and 64 hex digits"),
        ("/etc/passwd@sha256:" + "0" * 64, "expected a file in the policy's folder"),
        ("../names.txt@sha256:" + "0" * 64, "expected a file in the policy's folder"),
        ("none.txt@sha256:" + "0" * 64, "the file cannot be read: No such file"),
        (
            "names.txt@sha256:" + "0" * 64,
            "is not the one that is pinned, it is `sha256:" + hashlib.sha256(WORDS).hexdigest(),
        ),
    ],
)
def test_a_list_that_cannot_be_used_is_a_problem_of_its_option(tmp_path: Path, named: object, problem: str) -> None:
    pinned(tmp_path)
    with pytest.raises(GuardSetupError, match=problem) as caught:
        with_lists("terms", {"list": named}, tmp_path)
    assert caught.value.option == "list"


def test_what_is_not_text_or_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GuardSetupError, match="not UTF-8 from byte 2 on"):
        with_lists("terms", {"list": pinned(tmp_path, b"ab\xff")}, tmp_path)
    with pytest.raises(GuardSetupError, match="more than"):
        with_lists("terms", {"list": pinned(tmp_path, b"a" * (MAX_BYTES + 1))}, tmp_path)


def test_a_policy_with_a_list_means_its_words_wherever_the_file_lies(tmp_path: Path) -> None:
    digests = []
    for name in ("one.txt", "two.txt"):
        text = (
            "gatehouse: policy/v1\nname: small\nversion: '1'\ndetectors:\n"
            f"  names: {{use: terms, list: {pinned(tmp_path, name=name)}}}\n"
            "rules:\n  - {id: a, on: [user], when: {names: {count: {gte: 1}}}, do: {block: {code: x}}}\n"
        )
        (tmp_path / "p.yaml").write_text(text)
        policy = load_policy(tmp_path / "p.yaml")
        assert policy.detectors["names"].options["words"] == ("acme corp", "initech")
        digests.append(policy.digest)
    assert digests[0] == digests[1]


def test_a_list_with_a_problem_is_one_problem() -> None:
    rule = "{id: r, on: [user], when: {d: {count: {gte: 1}}}, do: flag}"
    text = f"{HEAD}detectors: {{d: {{use: terms, list: none.txt}}}}\nrules: [{rule}]\n"
    [problem] = problems_in(text)
    assert "`list`: expected `FILE@sha256:`" in problem
