"""Detectors: what a guard is given is checked before it is needed."""

from __future__ import annotations

import pytest

from guards.verdict import PPM
from policies.load import parse_policy
from policies.matchers import Score
from policies.model import DetectorSpec, Policy
from policies.vocabulary import KNOWN_GUARDS
from tests.policies.build import HEAD, document, policy_of, problems_in, problems_of


def text_with(detector: str, name: str = "d", when: str = "{count: {gte: 1}}") -> str:
    return (
        f"{HEAD}detectors:\n  {name}: {detector}\nrules: [{{id: r, on: [user], when: {{{name}: {when}}}, do: flag}}]\n"
    )


def spec_of(detector: str, when: str = "{count: {gte: 1}}") -> DetectorSpec:
    return parse_policy(text_with(detector, when=when).encode(), "p").detectors["d"]


def problem_of(detector: str, name: str = "d") -> str:
    problems = problems_in(text_with(detector, name))
    assert len(problems) == 1
    return problems[0].split(": ", 1)[1]


def test_options_are_sorted_and_what_is_left_out_is_written_in() -> None:
    assert dict(spec_of("{use: unicode, find: [tags, bidi]}").options) == {"find": ("bidi", "tags")}
    assert "control" in spec_of("{use: unicode}").options["find"]
    assert "bert" not in spec_of("{use: special_tokens}").options["families"]


def test_groups_of_names_are_resolved() -> None:
    assert spec_of("{use: secrets, find: [cloud_key, jwt]}").options["find"] == (
        "aws_key",
        "azure_key",
        "gcp_key",
        "jwt",
    )


def test_pattern_reaches_the_guard_with_its_label() -> None:
    spec = spec_of("{use: regex, engine: re2, pattern: 'a+', label: dose}")
    assert dict(spec.options) == {"pattern": "a+", "label": "dose"}


def test_a_pattern_may_be_looked_for_in_views() -> None:
    spec = spec_of("{use: regex, pattern: 'a+', views: [raw, leet]}")
    assert spec.options["views"] == ("raw", "leet")


def test_thresholds_and_timeouts_are_integers() -> None:
    spec = spec_of(
        "{use: starter_hazard, threshold: 0.25, categories: {S9: 0.1, S1: 0.25}, timeout: 400ms}", "{unsafe: true}"
    )
    assert (spec.threshold_ppm, dict(spec.category_thresholds)) == (250_000, {"S9": 100_000})
    assert (spec.timeout_ms, spec.timeout_s) == (400, 0.4)


@pytest.mark.parametrize(
    ("detector", "problem"),
    [
        ("{use: regex, pattern: '('}", "`pattern` cannot be used: not a pattern that RE2 accepts"),
        ("{use: regex, pattern: 'a*'}", "`pattern` cannot be used: the pattern matches empty text"),
        ("{use: regex, pattern: '(?=a)'}", "`pattern` cannot be used: not a pattern that RE2 accepts"),
        ("{use: regex, pattern: 'a', engine: pcre}", "`engine` is `pcre`, expected `re2`"),
        ("{use: regex, pattern: a, views: [mirrored]}", "item of `views` is `mirrored`, expected one of `raw`"),
        ("{use: regex}", "detector `d` has no `pattern`"),
        ("{use: regex, pattern: ''}", "`pattern` is empty, expected text"),
        ("{use: unicode, find: []}", "`find` is an empty list, expected at least 1 in it"),
        ("{use: unicode, find: [tag]}", "item of `find` is `tag`, expected one of `tags`"),
        ("{use: unicode, find: [tags, tags]}", "item of `find` is here twice"),
        ("{use: unicode, threshold: 0.5}", "unknown key `threshold` in detector `d`"),
        ("{use: starter_injection, threshold: 1.000001}", "`threshold` is `1.000001`, expected a number 0 to 1"),
        ("{use: starter_injection, threshold: 0.0000001}", "`threshold` is `0.0000001`, expected at most 6 decimals"),
        ("{use: starter_injection, categories: {S1: 0.1}}", "unknown key `categories` in detector `d`"),
        ("{use: starter_hazard, categories: some}", "`categories` is `some`, expected a mapping"),
        ("{use: starter_hazard, timeout: 61s}", "`timeout` is `61s`, expected a duration"),
        ("{uses: unicode}", "detector `d` has no `use` (is `uses` meant to be `use`?)"),
        ("{find: [tags]}", "detector `d` has no `use`"),
        ("unicode", "detector `d` is `unicode`, expected a mapping"),
        ("{use: [unicode]}", "`use` is a list, expected one of"),
    ],
)
def test_detector_that_cannot_work_is_refused(detector: str, problem: str) -> None:
    assert problem_of(detector).startswith(problem)


@pytest.mark.parametrize("name", ["app", "any", "not", "language", "Upper", "a-b", "1a"])
def test_name_that_could_be_misread_is_refused(name: str) -> None:
    problems = problems_in(text_with("{use: unicode}", name))
    assert any("detector" in problem for problem in problems)


def test_detector_that_no_rule_asks_is_refused_because_it_looks_like_protection() -> None:
    text = HEAD + "detectors: {d: {use: unicode}}\nrules: [{id: pass, on: [user], do: allow}]\n"
    assert problems_in(text) == ["4:13: detector `d` is asked by no rule (use it or remove it)"]


def test_more_detectors_than_a_record_can_name_are_refused() -> None:
    def text(count: int) -> str:
        lines = "".join(f"  d{number}: {{use: unicode}}\n" for number in range(count))
        rules = "".join(
            f"  - {{id: r{n}, on: [user], when: {{d{n}: {{count: {{gte: 1}}}}}}, do: flag}}\n" for n in range(count)
        )
        return f"{HEAD}detectors:\n{lines}rules:\n{rules}"

    assert len(parse_policy(text(64).encode(), "p").detectors) == 64
    assert [problem.split(": ", 1)[1] for problem in problems_in(text(65))] == [
        "`detectors` has 65 entries, expected at most 64"
    ]


def test_a_pattern_with_a_check_is_bounded_and_its_check_is_known() -> None:
    assert dict(spec_of(r"{use: regex, pattern: '\d{13,19}', check: luhn}").options)["check"] == "luhn"
    assert problem_of(r"{use: regex, pattern: '\d+', check: luhn}").startswith(
        "`pattern` cannot be used: a match may be of any length"
    )
    assert "`check` is `mod7`, expected one of `luhn`" in problem_of(r"{use: regex, pattern: '\d{3}', check: mod7}")


@pytest.mark.parametrize(
    ("detector", "told"),
    [
        ("{use: entities, find: [person]}", "`find`: `person` has no form that a pattern could know"),
        ("{use: entities, find: [uk_nhs], locales: [en-US]}", "`find`: `uk_nhs` is written in en-GB only"),
        ("{use: near, term: a, value: b}", "`within`: expected a whole number from 0 to 1000"),
        ("{use: near, term: a, value: b, within: far}", "`within`: expected a whole number from 0 to 1000"),
        ("{use: terms, words: [a]}", "`words`: a term is shorter than two letters or digits"),
        ("{use: terms, list: names.txt}", "`list`: expected `FILE@sha256:` and 64 hex digits"),
        ("{use: exfiltration, hosts: [https://a.test]}", "`hosts`: `https://a.test` is no host"),
        ("{use: json_schema, schema: {type: nothing}}", "`schema`: not a JSON Schema that can be used"),
        ("{use: prompt_leak, canaries: [short]}", "`canaries`: a canary is 8 or more letters and digits"),
        ("{use: repetition, times: 1}", "`times`: expected a whole number from 4 to 1000"),
        ("{use: size, words: 0}", "`words`: expected a whole number from 1 to 10000000"),
        ("{use: language, categories: [en]}", "unknown key `categories` in detector `d`"),
    ],
)
def test_guards_that_read_their_own_options_say_what_is_wrong(detector: str, told: str) -> None:
    scope = "tool_call" if "arguments" in detector else "output"
    text = text_with(detector, when="{in: [en]}" if "language" in detector else "{count: {gte: 1}}")
    problems = problems_in(text.replace("on: [user]", f"on: [{scope}]"))
    assert any(told in problem for problem in problems), problems


LLAMA = "guard: {use: llama_guard_4%s}"
ASKED = "- {id: r, on: [user], when: {guard: {unsafe: true}}, do: flag}"


def llama(more: str) -> DetectorSpec:
    return policy_of(ASKED, detectors=LLAMA % more).detectors["guard"]


def test_a_generative_guard_has_a_threshold_of_its_own() -> None:
    """Where the model itself says `unsafe`; a policy that only goes by its own bounds keeps the digest it had."""
    assert llama("").threshold_ppm == 500_000
    assert policy_of(ASKED, detectors=LLAMA % "").rules[0].when == Score("guard", 500_000, PPM)
    assert llama(", threshold: 0.3").threshold_ppm == 300_000
    assert [llama(more).asks for more in (", retries: 0, reduce: max", ", context: conversation")] == [
        llama("").asks
    ] * 2
    assert llama(", context: last").asks != llama("").asks


def test_what_a_design_says_of_detectors_and_cannot_be_otherwise_here() -> None:
    def told(more: str) -> str:
        return str(problems_of(ASKED, detectors=LLAMA % more))

    assert "`retries` is `1`, expected `0`: a guard is asked once" in told(", retries: 1")
    assert "`reduce` is `mean`, expected `max`" in told(", reduce: mean")
    assert "`context`: expected one of conversation, last" in told(", context: all")
    assert "unknown key `segment`" in told(", segment: {tokens: 512}")


def test_a_classifier_reads_in_segments() -> None:
    def classifier(more: str) -> DetectorSpec:
        detector = f"guard: {{use: prompt_guard_2_86m, threshold: 0.5{more}}}"
        return policy_of(ASKED, detectors=detector).detectors["guard"]

    assert dict(classifier(", segment: {tokens: 256, overlap: 64}, reduce: max").options) == {
        "overlap": 64,
        "window": 256,
    }
    assert classifier(", segment: {tokens: 512}").asks == classifier("").asks
    told = problems_of(ASKED, detectors="guard: {use: prompt_guard_2_86m, threshold: 0.5, segment: {tokens: 600}}")
    assert "`segment`: expected at most 512 tokens, the model's window" in told


def test_an_endpoint_is_an_entry_of_the_same_kind() -> None:
    known = {**KNOWN_GUARDS, "rack": KNOWN_GUARDS["llama_guard_4"]}

    def loaded(detector: str) -> Policy:
        return parse_policy(document(ASKED, detectors=f"guard: {detector}").encode(), "p.yaml", known)

    there = loaded("{use: llama_guard_4, endpoint: rack}")
    assert there.detectors["guard"].use == "rack"
    assert there.digest == loaded("{use: rack}").digest
    assert "`endpoint` is `rack`, which is no `llama_guard_4` under `guards:`" in str(
        problems_of(ASKED, detectors="guard: {use: llama_guard_4, endpoint: rack}")
    )
    assert "which is no `llama_guard_4`" in str(
        problems_of(ASKED, detectors="guard: {use: llama_guard_4, endpoint: prompt_guard_2_86m}")
    )
