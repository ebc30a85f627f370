"""`guards:` is read whole or refused, every problem at its character; keys are not quoted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.guard_settings import Guards, GuardSettings, facts, guards_in, read_guards, shipped
from guards.profiles.configured import NAMES, options_of
from guards.profiles.known import PROFILES
from guards.profiles.profile import Kind, Profile, Task
from guards.registry import RULES, STARTER_DIRECTORIES
from policies.errors import FileErrors, Problems
from policies.yaml_strict import parse

GOOD = """\
prompt_guard_2_86m: {path: models/pg2, precision: int8, deterministic: true}
llama_guard_4: {path: /models/LG4, url: "http://vllm:8000", model: meta-llama/Llama-Guard-4-12B, timeout: 500ms}
house: {path: x, profile: label_classifier, labels: [safe, bad], flagged: [bad], window: 256, overlap: 16, kind: hazard}
"""


def read(text: str, directory: Path = Path("/etc/gatehouse")) -> Guards:
    problems = Problems()
    guards = read_guards(parse(text.encode(), "g", problems), directory / "gatehouse.yaml", problems)
    problems.raise_if_any()
    return guards


def refused(text: str, directory: Path = Path("/etc/gatehouse")) -> list[str]:
    with pytest.raises(FileErrors) as caught:
        read(text, directory)
    return [str(problem) for problem in caught.value.problems]


def test_a_guard_of_the_local_host_has_a_path_beside_the_file() -> None:
    one = read(GOOD)["prompt_guard_2_86m"]
    assert (one.path, one.url, one.model) == (Path("/etc/gatehouse/models/pg2"), "", "prompt_guard_2_86m")
    assert (one.precision, one.is_deterministic, one.is_local) == ("int8", True, True)
    assert one.profile is PROFILES["prompt_guard_2_86m"]


def test_a_guard_on_a_server_has_its_url_and_the_servers_name() -> None:
    one = read(GOOD)["llama_guard_4"]
    assert (one.url, one.model) == ("http://vllm:8000/v1", "meta-llama/Llama-Guard-4-12B")
    assert (one.path, one.connect_s, one.is_local) == (Path("/models/LG4"), 0.5, False)
    assert one.profile.task is Task.GENERATE


def test_a_classifier_of_the_house_is_described_by_its_entry() -> None:
    profile = read(GOOD)["house"].profile
    assert isinstance(profile, Profile)
    assert (profile.labels, profile.flagged, profile.window, profile.overlap) == (("safe", "bad"), ("bad",), 256, 16)
    assert (profile.use, profile.kind) == ("house", Kind.HAZARD)


def test_the_shipped_guards_are_there_and_can_be_moved() -> None:
    assert {use: one.path for use, one in read("{}").items()} == STARTER_DIRECTORIES
    moved = read("starter_hazard: {path: /models/mine}")
    assert moved["starter_hazard"].path == Path("/models/mine")
    assert read("starter_hazard: {precision: fp32}")["starter_hazard"].path == STARTER_DIRECTORIES["starter_hazard"]


def test_a_generative_guard_may_have_four_bits() -> None:
    assert read("llama_guard_4: {path: x, precision: int4}")["llama_guard_4"].precision == "int4"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("llama_guard_44: {path: x}", "g:1:1: guard `llama_guard_44` has no `profile`, and no profile is"),
        ("house: {path: x, profile: label_clasifier}", "(did you mean `label_classifier`?)"),
        ("secrets: {path: x, profile: label_classifier, labels: [a, b], flagged: [b]}", "one without a model"),
        ("llama_guard_4: {path: x, profile: prompt_guard_2_86m}", "is named as another one"),
        ("House: {path: x, profile: prompt_guard_2_86m}", "guard is `House`, expected a name of small letters"),
        ("prompt_guard_2_86m: {}", "guard `prompt_guard_2_86m` has no `path`"),
        ("prompt_guard_2_86m: {path: x, pth: y}", "unknown key `pth` in guard `prompt_guard_2_86m` (did"),
        ("prompt_guard_2_86m: {path: x, labels: [a]}", "unknown key `labels`"),
        ("prompt_guard_2_86m: {path: x, model: y}", "`model` has no meaning: there is no `url`"),
        ("prompt_guard_2_86m: {path: x, url: 'http://a/v1'}", "has no `model`"),
        ("prompt_guard_2_86m: {path: x, url: 'http://a/v1', model: m, precision: int8}", "`precision` has no meaning"),
        ("prompt_guard_2_86m: {path: x, kv: 1GiB}", "a classifier keeps no keys"),
        ("llama_guard_4: {path: x, url: 'http://a/v1', model: m, kv: 1GiB}", "`kv` has no meaning: the server"),
        ("llama_guard_4: {path: x, kv: 1MiB}", "expected a size"),
        ("prompt_guard_2_86m: {path: x, precision: int4}", "`precision` is `int4`, expected one of"),
        ("llama_guard_4: {path: x, precision: int3}", "`precision` is `int3`, expected one of"),
        ("prompt_guard_2_86m: {path: x, url: 'http://u:p@a/v1', model: m}", "`url` is not a URL"),
        ("house: {path: x, profile: label_classifier, labels: [a, b]}", "`flagged`: expected the labels that mean"),
        ("house: {path: x, profile: label_classifier, labels: [a, b], flagged: [c]}", "`flagged`: `c` is not one"),
        ("house: {path: x, profile: label_classifier, labels: [a, b], flagged: [b], window: 7}", "`window`: expec"),
        ("llama_guard_4: {path: x, categories: [S1]}", "unknown key `categories`"),
        ("llama_guard_4: {path: x, window: 1}", "g:1:26: `window`: expected a whole number"),
        ("prompt_guard_2_86m: models/pg2", "guard `prompt_guard_2_86m` is `models/pg2`, expected a mapping"),
        ("[prompt_guard_2_86m]", "`guards` is a list, expected a mapping"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_is(text: str, problem: str) -> None:
    assert any(problem in said for said in refused(text)), refused(text)


def test_all_problems_come_at_once() -> None:
    text = (
        "house: {path: x, profile: label_classifier, labels: [a, b], flagged: [c], window: 7, activation: relu}\n"
        "prompt_guard_2_86m: {pth: x, timeout: soon}\n"
    )
    places = [problem.split(": ")[0] for problem in refused(text)]
    assert places == ["g:1:61", "g:1:75", "g:1:86", "g:2:21", "g:2:22", "g:2:30", "g:2:39"]


@pytest.mark.parametrize("rule", RULES)
def test_no_configured_guard_hides_a_rule(rule: str) -> None:
    assert any("needs no entry" in problem for problem in refused(f"{rule}: {{path: x, profile: prompt_guard_2_86m}}"))


def test_a_key_comes_from_a_file_only_and_is_not_shown(tmp_path: Path) -> None:
    entry = "prompt_guard_2_86m: {path: x, url: 'http://a/v1', model: m, api_key_file: key}"
    assert any("`api_key_file` cannot be read" in problem for problem in refused(entry, tmp_path))
    (tmp_path / "key").write_text("s3cret-of-the-server\n")
    one = read(entry, tmp_path)["prompt_guard_2_86m"]
    assert one.api_key == "s3cret-of-the-server"
    assert "s3cret" not in repr(one)
    assert any("unknown key `api_key`" in said for said in refused(entry.replace("api_key_file", "api_key"), tmp_path))


def test_who_only_checks_policies_needs_no_key_and_no_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gatehouse.yaml"
    entry = "house: {path: x, url: 'http://a/v1', model: m, api_key_file: gone, profile: prompt_guard_1_86m}"
    path.write_text(f"gatehouse: config/v1\nkeys: none of your business\nguards:\n  {entry}\n")
    assert set(guards_in(path)) == {"house", *shipped()}
    path.write_text("gatehouse: config/v1\n")
    assert set(guards_in(path)) == set(shipped())
    path.write_text("guards: {house: {}}\n")
    with pytest.raises(FileErrors, match=r"gatehouse\.yaml:1:10"):
        guards_in(path)


def test_a_policy_may_use_what_is_configured() -> None:
    known = facts(read(GOOD.replace("flagged", "categories: [bad], flagged")))
    assert known["house"].is_model
    assert known["house"].categories == ("bad",)
    assert known["llama_guard_4"].categories[0] == "S1"
    assert not known["secrets"].is_model


SCALARS = st.none() | st.booleans() | st.integers(-3, 10**7) | st.floats(-1, 2) | st.sampled_from(["", "a", "on", "S1"])
KEYS = st.sampled_from(["a", "C1", "S1", "?"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=4
)
OPTIONS = sorted({"path", "url", "model", "timeout", *(option for name in NAMES for option in options_of(name))})


@given(
    profile=st.sampled_from(sorted(NAMES)),
    options=st.dictionaries(st.sampled_from(OPTIONS), VALUES, max_size=6),
)
@settings(max_examples=300, deadline=None)
def test_whatever_an_entry_says_it_is_read_or_refused_and_never_a_crash(
    profile: str, options: dict[str, object]
) -> None:
    entry = json.dumps({"house": {"path": "x", **options, "profile": profile}})
    try:
        guards = read(entry)
    except FileErrors:
        return
    assert guards["house"].profile.window > 0


DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = [
    (path.name, block)
    for path in [*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"]
    for block in map(dedent, re.findall(r"```yaml\n(.*?)^ *```", path.read_text(), re.S | re.M))
    if re.search(r"^guards:", block, re.M)
]


@pytest.mark.parametrize(("name", "block"), EXAMPLES)
def test_every_example_in_the_documentation_can_be_copied(name: str, block: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(block)
    assert set(guards_in(path)) > set(shipped())


def test_there_are_examples() -> None:
    assert {"configuration.md", "guards.md", "models.md"} <= {name for name, _ in EXAMPLES}


def test_settings_print_without_their_key() -> None:
    settings = GuardSettings("g", PROFILES["prompt_guard_2_86m"], None, api_key="hidden")
    assert "hidden" not in repr(settings)
