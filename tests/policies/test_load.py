"""YAML to Policy: what loads does what it says, and what does not load says why, all at once."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from guards.verdict import Scope
from policies.errors import PolicyErrors
from policies.load import load_policy, parse_policy
from policies.settings import Amount, Limits, StreamSpec
from tests.policies.build import HEAD, document, policy_of, problems_in, problems_of

DEFAULT = Path(__file__).parents[2] / "policies" / "library" / "default.yaml"
PASS = "- {id: pass, on: [user], do: allow}"


def test_default_policy_loads_and_every_scope_but_image_is_covered() -> None:
    policy = load_policy(DEFAULT)
    assert (policy.name, policy.stream.mode) == ("default", "window")
    assert {scope for scope in Scope if not policy.plan(scope).is_covered} == {Scope.IMAGE}


def test_every_rule_of_the_default_policy_has_a_test_in_which_it_decides_and_one_in_which_it_does_not() -> None:
    policy = load_policy(DEFAULT)
    decided = {name for case in policy.cases for name in (case.expect.rules or ()) + ((case.expect.rule or ""),)}
    assert {rule.id for rule in policy.rules} <= decided
    assert any(case.expect.rules == ("pass",) for case in policy.cases)


def test_defaults_are_the_careful_ones() -> None:
    policy = policy_of(PASS)
    assert policy.stream == StreamSpec("buffer")
    assert policy.limits == Limits()
    assert (policy.limits.images, policy.limits.n) == (0, 1)
    assert {spec.on_error for spec in policy.detectors.values()} == {""}, "what the defaults say"
    assert (policy.on_error, policy.risk) == ("closed", None)


def test_amounts_sizes_and_durations_are_read_with_their_units() -> None:
    policy = policy_of(
        PASS,
        defaults="defaults: {stream: {mode: window, window: 64 tokens, holdback: 48 characters, max_wait: 2s}, "
        "limits: {body: 64KiB, n: 2}}\n",
    )
    assert policy.stream == StreamSpec("window", Amount(64, "tokens"), Amount(48, "characters"), 2000)
    assert (policy.stream.window_chars, policy.stream.holdback_chars, policy.stream.max_wait_s) == (256, 48, 2.0)
    assert (policy.limits.body, policy.limits.n) == (65536, 2)


def test_a_window_may_have_bounds_and_a_delay_may_be_promised() -> None:
    policy = policy_of(
        PASS,
        defaults="defaults: {stream: {mode: window, window: {min: 32 tokens, max: 900 characters}, max_delay: 3s}, "
        "limits: {logprobs: false}}\n",
    )
    stream = policy.stream
    assert (stream.window_chars, stream.window_most_chars, stream.max_delay_s) == (128, 900, 3.0)
    assert stream.max_wait_ms == 1500
    assert not policy.limits.logprobs
    plain = policy_of(PASS, defaults="defaults: {stream: {mode: window, window: 32 tokens}}\n")
    assert (plain.stream.window_most_chars, plain.stream.max_delay_s) == (128, float("inf"))
    assert plain.limits.logprobs
    assert plain.digest != policy.digest
    short = policy_of(PASS, defaults="defaults: {stream: {mode: window, window: 32 tokens, max_delay: 400ms}}\n")
    assert short.stream.max_wait_ms == 400, "text may not wait longer than it may be delayed"


def test_bounds_that_bound_nothing_mean_the_same_as_none() -> None:
    one = policy_of(PASS, defaults="defaults: {stream: {mode: window, window: 32 tokens}}\n")
    same = (
        "defaults: {stream: {mode: window, window: {min: 32 tokens, max: 128 characters}}, limits: {logprobs: true}}\n"
    )
    assert policy_of(PASS, defaults=same).digest == one.digest


def test_detectors_for_a_scope_are_those_its_rules_ask_shadow_rules_too() -> None:
    policy = policy_of("- {id: a, on: [user], when: {inject: {unsafe: true}}, do: flag}")
    assert [spec.name for spec in policy.detectors_for(Scope.USER)] == ["inject"]
    assert [spec.name for spec in policy.detectors_for(Scope.SYSTEM)] == ["creds", "harm", "hidden", "inject"]
    assert policy.detectors_for(Scope.OUTPUT) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{inject: {score: {gte: 0.5}}}", "{inject: {score: {gte: 0.50}}}"),
        ("{inject: {score: {gt: 0.5}}}", "{inject: {score: {gte: 0.500001}}}"),
        ("{inject: {unsafe: true}}", "{inject: {score: {gte: 0.5}}}"),
        ("{app: x}", "{app: [x]}"),
        ("{app: [y, x]}", "{app: [x, y]}"),
        ("{app: x, tenant: y}", "{all: [{tenant: y}, {app: x}]}"),
        ("{any: [{app: x}, {tenant: y}]}", "{any: [{tenant: y}, {app: x}, {tenant: y}]}"),
        ("{any: [{app: x}, {any: [{tenant: y}, {model: z}]}]}", "{any: [{app: x}, {tenant: y}, {model: z}]}"),
        ("{harm: {category: [S9, S1]}}", "{harm: {category: [S1, S9]}}"),
        ("{creds: {entity: [jwt]}}", "{creds: {entity: jwt, count: {gte: 1}}}"),
    ],
)
def test_equal_meaning_has_an_equal_digest(one: str, other: str) -> None:
    rule = "- {id: r, on: [user, output], when: %s, do: flag}"
    reordered = "- {do: {flag: {severity: medium}}, when: %s, on: [output, user], id: r, mode: enforce}"
    assert policy_of(rule % one).digest == policy_of(reordered % other).digest


@pytest.mark.parametrize(
    "change",
    [
        ("gte: 0.5}", "gte: 0.500001}"),
        ("code: c", "code: d"),
        ("on: [user]", "on: [user, history]"),
        ("id: r,", "id: q,"),
        ("id: r,", "id: r, mode: shadow,"),
        ("inject: {use: starter_injection, threshold: 0.5}", "inject: {use: starter_injection, timeout: 3s}"),
        ("version: '1'", "version: '2'"),
        ("find: [private_key, jwt,", "find: [private_key,"),
    ],
)
def test_another_meaning_has_another_digest(change: tuple[str, str]) -> None:
    rules = "- {id: r, on: [user], when: {inject: {score: {gte: 0.5}}}, do: {block: {code: c}}}"
    asked = "harm: {unsafe: true}, hidden: {entity: tags}, creds: {unsafe: true}"
    watch = "- {id: w, on: [user], when: {%s}, do: flag}" % asked  # noqa: UP031
    text = document(f"{rules}\n{watch}", watch=False)
    assert change[0] in text
    one, other = (parse_policy(data.encode(), "p") for data in (text, text.replace(*change)))
    assert one.digest != other.digest


def test_comments_change_the_source_digest_only() -> None:
    text = document(PASS)
    one, other = parse_policy(text.encode(), "p"), parse_policy((text + "# more\n").encode(), "elsewhere/q")
    assert one.digest == other.digest
    assert one.source_digest != other.source_digest


def test_digest_is_the_same_on_every_machine_and_in_every_process() -> None:
    """A golden value. If it changes, equal policies before and after differ in the log: then raise COMPILED_FORMAT."""
    text = HEAD + "detectors: {}\nrules: [{id: pass, on: [user], do: allow}]\n"
    policy = parse_policy(text.encode(), "p")
    assert policy.digest == "sha256:3d1f06661c62c4bb4958d81af70356b5ee8782cdad36173985576cd179e6dd49"


def test_all_problems_come_at_once_each_at_its_place() -> None:
    text = (
        "gatehouse: policy/v1\n"
        "nam: x\n"
        "version: 1.0\n"
        "detectors:\n"
        "  inject: {use: starter_injecton, threshold: 1.7}\n"
        "  harm: {use: starter_hazard, threshold: 0.5, categories: {S15: 0.1}}\n"
        "rules:\n"
        "  - {id: r, on: [usr], when: {harn: {unsafe: true}}, do: {blok: {code: x}}}\n"
    )
    assert problems_in(text) == [
        "1:1: policy has no `name`",
        "2:1: unknown key `nam` in policy (did you mean `name`?)",
        "3:10: `version` is `1.0`, expected a version such as `2026.11.0`",
        "5:17: `use` is `starter_injecton`, which neither ships nor stands under `guards:` of the configuration "
        "(did you mean `starter_injection`?)",
        "6:60: unknown category `S15` (did you mean `S5`?)",
        "8:18: item of `on` is `usr`, expected one of `system`, `user`, `history`, `tool_schema`, `tool_result`, "
        "`tool_call`, `image`, `output`, `reasoning` (did you mean `user`?)",
        "8:31: unknown detector or fact `harn` (did you mean `harm`?)",
        "8:59: unknown key `blok` in `do` (did you mean `block`?)",
    ]


LATER = [
    ("lists: []\n", "lists"),
    ("defaults: {limits: {files: 5}}\n", "files"),
]
LATER_IN_RULES = [
    ("- {id: r, on: [admin], do: allow}", "admin"),
    ("- {id: r, on: [user], when: {requester: x}, do: flag}", "requester"),
]


@pytest.mark.parametrize(("defaults", "feature"), LATER)
def test_feature_of_a_later_version_is_refused_by_name(defaults: str, feature: str) -> None:
    assert f"`{feature}` is not available in this version of Gatehouse" in problems_of(PASS, defaults=defaults)


@pytest.mark.parametrize(("rule", "feature"), LATER_IN_RULES)
def test_feature_of_a_later_version_is_refused_in_rules(rule: str, feature: str) -> None:
    assert f"`{feature}` is not available in this version of Gatehouse" in problems_of(rule)


@pytest.mark.parametrize(
    ("defaults", "problem"),
    [
        (
            "defaults: {stream: {mode: buffer, window: 64 tokens}}\n",
            "`window` has no meaning when the mode is `buffer`",
        ),
        ("defaults: {stream: {mode: window}}\n", "`stream` has no `window`"),
        ("defaults: {stream: {window: 64 tokens}}\n", "`stream` has no `mode`"),
        (
            "defaults: {stream: {mode: window, window: 0 tokens}}\n",
            "`window` is `0 tokens`, expected an amount such as `64 tokens` or `512 characters`, 1 to 99999",
        ),
        (
            "defaults: {stream: {mode: window, window: {min: 64 tokens, max: 255 characters}}}\n",
            "`max` is less than `min`: 255 and 256 characters",
        ),
        ("defaults: {stream: {mode: window, window: {min: 64 tokens}}}\n", "`window` has no `max`"),
        (
            "defaults: {stream: {mode: window, window: {min: 1 tokens, most: 2 tokens}}}\n",
            "unknown key `most` in `window`",
        ),
        (
            "defaults: {stream: {mode: window, window: {min: few, max: 2 tokens}}}\n",
            "`min` is `few`, expected an amount such as `64 tokens` or `512 characters`, 1 to 99999",
        ),
        (
            "defaults: {stream: {mode: window, window: 64 tokens, max_wait: 2s, max_delay: 1s}}\n",
            "`max_wait` is longer than `max_delay`, 1000ms",
        ),
        (
            "defaults: {stream: {mode: window, window: 64 tokens, max_delay: 5ms}}\n",
            "`max_delay` is `5ms`, expected a duration such as `400ms` or `2s`, 100ms to 600000ms",
        ),
        ("defaults: {stream: {mode: buffer, max_delay: 1s}}\n", "`max_delay` has no meaning when the mode is `buffer`"),
        ("defaults: {limits: {logprobs: 3}}\n", "`logprobs` is `3`, expected `true` or `false`"),
        ("defaults: {limits: {n: 0}}\n", "`n` is `0`, expected a whole number 1 to 16"),
        ("defaults: {limits: {n: true}}\n", "`n` is `true`, expected a whole number 1 to 16"),
        (
            "defaults: {limits: {body: 2097152}}\n",
            "`body` is `2097152`, expected a size such as `64KiB` or `2MiB`, 1024B to 67108864B",
        ),
        ("defaults: []\n", "`defaults` is a list, expected a mapping"),
    ],
)
def test_defaults_that_mean_nothing_are_refused(defaults: str, problem: str) -> None:
    assert problem in problems_of(PASS, defaults=defaults)


@pytest.mark.parametrize("text", ["x", "[]", "{}", "null", "gatehouse: policy/v1", "gatehouse: policy/v2\n"])
def test_files_that_are_no_policies_say_so(text: str) -> None:
    assert problems_in(text)


def test_missing_file_is_an_os_error_for_the_caller_to_word(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_policy(tmp_path / "none.yaml")


# The bad input corpus: every key of the default policy misspelt, removed, retyped and duplicated. Its last tests, which
# are all alike, are left out.

TEXT = DEFAULT.read_text().partition("\n  # each scope of each rule")[0] + "\n"


def _keys() -> Iterator[tuple[int, int, str, bool]]:
    """(line, column, key, whether it is written in flow style) of every key in default.yaml, counted from 0."""
    depth = 0
    for token in yaml.scan(TEXT):
        if isinstance(token, yaml.FlowMappingStartToken | yaml.FlowSequenceStartToken):
            depth += 1
        elif isinstance(token, yaml.FlowMappingEndToken | yaml.FlowSequenceEndToken):
            depth -= 1
        elif isinstance(token, yaml.KeyToken):
            is_key = token.start_mark
        elif isinstance(token, yaml.ScalarToken) and token.start_mark.index == is_key.index:
            yield token.start_mark.line, token.start_mark.column, token.value, depth > 0


KEYS = list(_keys())[:: 1 if os.environ.get("GATEHOUSE_EVERY_KEY") else 3]
"""Every third key of the file; all of them with GATEHOUSE_EVERY_KEY=1. Other files: test_mistakes.py."""
LINES = TEXT.split("\n")


def _replaced(line: int, column: int, old: str, new: str) -> str:
    changed = LINES[line][:column] + LINES[line][column:].replace(old, new, 1)
    return "\n".join([*LINES[:line], changed, *LINES[line + 1 :]])


def _refusal(text: str) -> list[int]:
    """The lines of the problems; anything but PolicyErrors fails the test."""
    with pytest.raises(PolicyErrors) as caught:
        parse_policy(text.encode(), "p")
    assert all(problem.place.column > 0 for problem in caught.value.problems)
    return [problem.place.line for problem in caught.value.problems]


def test_the_corpus_covers_the_whole_file() -> None:
    assert len(KEYS) > 80


def test_misspelt_key_is_refused_in_its_line() -> None:
    for line, column, key, _ in KEYS:
        found = _refusal(_replaced(line, column, key, key + "q"))
        declares_detector = column == 2 and key in ("inject", "harm", "hidden", "tokens", "creds")
        assert declares_detector or line + 1 in found, f"{line + 1}: {key}"


def test_key_with_a_value_of_another_type_is_refused_in_its_line() -> None:
    """The value becomes a list, and what was the value moves to a key that does not exist."""
    for line, column, key, flow in KEYS:
        separator = ", " if flow else "\n" + " " * column
        text = _replaced(line, column, f"{key}:", f"{key}: [[]]{separator}{key}2:")
        assert line + 1 in _refusal(text), f"{line + 1}: {key}"


def test_key_written_twice_is_refused_where_it_comes_again() -> None:
    for line, column, key, flow in KEYS:
        separator = ", " if flow else "\n" + " " * column
        found = _refusal(_replaced(line, column, f"{key}:", f"{key}: x{separator}{key}:"))
        assert (line + 1 if flow else line + 2) in found, f"{line + 1}: {key}"


REQUIRED = {"gatehouse", "name", "version", "detectors", "rules", "use", "id", "on", "do", "code", "as"}


def _paths(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*path, index))


class _Loader(yaml.SafeLoader):
    """Without `on` and its like as booleans."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: resolvers
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        if first not in "oOyYnN"
    }


TREE = yaml.load(TEXT, Loader=_Loader)


def test_removed_key_is_refused_or_was_optional() -> None:
    """Never a traceback; and a file that loads without the key does so because the key is optional."""
    for path in [path for path in _paths(TREE) if isinstance(path[-1], str)]:
        tree = copy.deepcopy(TREE)
        node = tree
        for step in path[:-1]:
            node = node[step]
        del node[path[-1]]
        text = yaml.dump(tree, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
        try:
            parse_policy(text.encode(), "p")
        except PolicyErrors:
            continue
        else:
            assert path[-1] not in REQUIRED or path[0] == "tests", path


def test_a_mistake_in_a_detector_is_told_once_and_not_again_in_rules_and_tests() -> None:
    (problem,) = problems_in(TEXT.replace("threshold: 0.545", "treshold: 0.545"))
    assert problem.endswith("unknown key `treshold` in detector `inject` (did you mean `threshold`?)")
