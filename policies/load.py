"""A policy file to a Policy, or every problem in it with its place.

There is no half-loaded policy: PolicyErrors carries all problems of the file, and nothing of it was taken over. What
the policy language has and this version does not is refused by its name, never ignored. Reading touches no network and
no model, so the same bytes give the same Policy on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from policies import vocabulary as words
from policies.cases import CaseReader
from policies.collector import put_off
from policies.compiled import digest_of, sha256_of
from policies.errors import PolicyErrors, Problems
from policies.evals import read_evals
from policies.extending import check_tightened, extended, read_file, read_may_relax
from policies.fields import (
    NO_TEXTS,
    Reader,
    Section,
    boolean,
    choice,
    duration_ms,
    integer,
    list_of,
    matching,
    size_bytes,
)
from policies.keeping import Keeping, read_keeping
from policies.model import Policy, Risk
from policies.read_actions import read_templates
from policies.read_detectors import NAME, read_detectors
from policies.read_reviews import OnError, read_on_error, read_uncovered
from policies.read_rules import RuleReader
from policies.settings import MOST_IMAGES, STREAM_MODES, Amount, Limits, StreamSpec
from policies.vocabulary import KNOWN_GUARDS, GuardFacts
from policies.yaml_strict import Node, Scalar, Table, parse

FORMAT = "policy/v1"
_ABOUT = ("gatehouse", "name", "version", "owner", "regimes", "extends", "may_relax")
_TOP = (*_ABOUT, "defaults", "claims", "detectors", "templates", "rules", "tests", "eval")
_name = matching(r"[a-z][a-z0-9-]{0,63}", "a name of small letters, digits and `-`")
_version = matching(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}", "a version such as `2026.11.0`")
_owner = matching(r"[^\x00-\x1f]{1,200}", "a text in one line")
_regime = matching(r"[a-z0-9][a-z0-9-]{0,39}", "a name of small letters, digits and `-`")


def load_policy(path: Path, known_guards: Mapping[str, GuardFacts] = KNOWN_GUARDS) -> Policy:
    """The policy in a file. Raises PolicyErrors, or OSError when the file cannot be read."""
    return parse_policy(read_file(path), str(path), known_guards)


def parse_policy(data: bytes, file: str, known_guards: Mapping[str, GuardFacts] = KNOWN_GUARDS) -> Policy:
    """The policy in `data`; `file` is the name that places carry. Raises PolicyErrors.

    Policies that it extends, and lists, are looked for beside that file.
    """
    with put_off():
        return _parsed(data, file, known_guards, 0)[0]


def _parsed(data: bytes, file: str, known: Mapping[str, GuardFacts], level: int) -> tuple[Policy, Node]:
    """The policy, and the tree that it was compiled from: its own, with what it extends."""
    problems = Problems()

    def parent(path: Path) -> tuple[Policy, Node]:
        return _parsed(read_file(path), str(path), known, level + 1)

    own = parse(data, file, problems)
    before = len(problems)
    tree, parents = extended(own, file, problems, parent, level)
    if len(problems) > before:  # without what it stands on, all that it adds would be reported as well
        problems.raise_if_any(PolicyErrors)
    policy = _read(tree, problems, known, data, file)
    if policy is not None and not len(problems):
        check_tightened(policy, parents, problems)
    problems.raise_if_any(PolicyErrors)
    if policy is None:
        raise AssertionError("a policy is missing and no problem says why")
    return policy, tree


def _read(
    node: Node, problems: Problems, known_guards: Mapping[str, GuardFacts], data: bytes, file: str
) -> Policy | None:
    top = Section.open(node, "policy", problems, _TOP, words.LATER_TOP)
    if top is None:
        return None
    _check_format(top)
    stream, limits, on_error, uncovered, audit = _read_defaults(top)
    claims, templates = _read_claims(top), read_templates(top.node("templates"), problems)
    if "detectors" not in top or "rules" not in top:
        problems.add(top.place, "policy needs `detectors` and `rules`")
    before = len(problems)
    detectors = read_detectors(top.node("detectors"), problems, known_guards)
    rules = RuleReader(detectors, stream, templates, claims, on_error.kind, problems).read(top.node("rules"))
    is_whole = len(problems) == before
    # With rules missing from the list (a rule that asks a detector with problems is, too), every case that names one of
    # them would be reported as well.
    ids = frozenset(rule.id for rule in rules) if is_whole else frozenset[str]()
    cases = CaseReader(detectors, ids, claims, problems).read(top.node("tests"))
    evals = read_evals(top.node("eval"), ids, claims, problems)
    policy = Policy(
        name=top.require("name", _name, ""),
        version=top.require("version", _version, ""),
        owner=top.get("owner", _owner, ""),
        regimes=top.get("regimes", list_of(_regime), NO_TEXTS),
        stream=stream,
        limits=limits,
        detectors=MappingProxyType({name: one.spec for name, one in sorted(detectors.items()) if one}),
        rules=rules,
        cases=cases,
        evals=evals,
        digest="",
        source_digest=sha256_of(data),
        file=file,
        on_error=on_error.kind or "closed",
        risk=on_error.risk,
        people=on_error.people,
        uncovered=uncovered,
        templates=templates,
        claims=claims,
        audit=audit,
        may_relax=read_may_relax(top, ids) if is_whole else frozenset(),
    )
    return replace(policy, digest=digest_of(policy))


def _read_claims(top: Section) -> tuple[str, ...]:
    """Names of facts that the site sets with its keys."""
    claims = top.get("claims", list_of(matching(NAME, "a name of small letters, digits and `_`")), NO_TEXTS)
    detectors = top.node("detectors")
    taken = {entry.key for entry in detectors.entries} if isinstance(detectors, Table) else set[str]()
    for name in claims:
        if name in words.FACTS or name in words.COMBINATIONS or name in taken:
            what = "a detector" if name in taken else "a word of the language"
            top.problems.add(
                top.place_of("claims"), f"claim `{name}` is {what}", "leave it out, or choose another name"
            )
    return tuple(sorted(claims))


def _check_format(top: Section) -> None:
    """The first thing to say about a file for another version is that it is for another version."""
    node = top.node("gatehouse")
    if node is None:
        top.problems.add(top.place, f"policy does not say `gatehouse: {FORMAT}`")
    else:
        choice((FORMAT,))(node, "`gatehouse`", top.problems)


def _read_defaults(top: Section) -> tuple[StreamSpec, Limits, OnError, Risk | None, Keeping]:
    node = top.node("defaults")
    known = ("uncovered", "on_error", "accept_risk", "stream", "limits", "audit")
    section = Section.open(node, "`defaults`", top.problems, known, words.LATER_DEFAULTS) if node else None
    if section is None:
        return StreamSpec("buffer"), Limits(), OnError(), None, Keeping()
    uncovered = read_uncovered(section)
    on_error = read_on_error(section, risk_is_shared=uncovered is not None)
    return _read_stream(section), _read_limits(section), on_error, uncovered, read_keeping(section)


def _read_stream(defaults: Section) -> StreamSpec:
    node, problems = defaults.node("stream"), defaults.problems
    known = ("mode", "window", "holdback", "max_wait", "max_delay")
    section = Section.open(node, "`stream`", problems, known) if node else None
    if section is None:
        return StreamSpec("buffer")
    mode = section.require("mode", choice(STREAM_MODES), "")
    if mode in ("buffer", "shadow_only"):
        for key in known[1:]:
            if key in section:
                problems.add(section.place_of(key), f"`{key}` has no meaning when the mode is `{mode}`")
        return StreamSpec(mode)
    least, most = _read_window(section, is_required=mode == "window")
    delay_ms = section.get("max_delay", duration_ms(100, 600_000), 0)
    wait_ms = section.get("max_wait", duration_ms(10, 60_000), min(1500, delay_ms or 1500))
    if delay_ms and wait_ms > delay_ms:
        problems.add(section.place_of("max_wait"), f"`max_wait` is longer than `max_delay`, {delay_ms}ms")
    return StreamSpec(
        mode="window",
        window=least,
        holdback=section.get("holdback", _amount(0), Amount(0, "characters")),
        max_wait_ms=wait_ms,
        window_most=most,
        max_delay_ms=delay_ms,
    )


def _read_window(stream: Section, *, is_required: bool) -> tuple[Amount, Amount | None]:
    """`200 tokens`, or bounds: `{min: 32 tokens, max: 200 tokens}`."""
    node, nothing = stream.node("window"), Amount(0, "characters")
    if not isinstance(node, Table):
        return (stream.require if is_required else stream.get)("window", _amount(1), nothing), None
    section = Section.open(node, "`window`", stream.problems, ("min", "max"))
    if section is None:
        return nothing, None
    least, most = section.require("min", _amount(1), nothing), section.require("max", _amount(1), nothing)
    if nothing not in (least, most) and least.chars > most.chars:
        problem = f"`max` is less than `min`: {most.chars} and {least.chars} characters"
        stream.problems.add(section.place_of("max"), problem)
    return least, most


def _amount(least: int) -> Reader[Amount]:
    """`64 tokens` or `512 characters`."""

    def read(node: Node, what: str, problems: Problems) -> Amount | None:
        expected = f"an amount such as `64 tokens` or `512 characters`, {least} to 99999"
        written = matching(r"[0-9]{1,5} (tokens|characters)", expected)(node, what, problems)
        if written is None:
            return None
        count, unit = written.split()
        if int(count) < least:
            problems.add(node.place, f"{what} is `{written}`, expected {expected}")
            return None
        return Amount(int(count), unit)

    return read


def _read_limits(defaults: Section) -> Limits:
    node = defaults.node("limits")
    known = tuple(Limits.__dataclass_fields__)
    section = Section.open(node, "`limits`", defaults.problems, known, words.LATER_LIMITS) if node else None
    if section is None:
        return Limits()
    usual = Limits()
    return Limits(
        body=section.get("body", size_bytes(1024, 64 * 1024**2), usual.body),
        depth=section.get("depth", integer(4, 256), usual.depth),
        messages=section.get("messages", integer(1, 10_000), usual.messages),
        images=section.get("images", integer(0, MOST_IMAGES), usual.images),
        tools=section.get("tools", integer(0, 1_000), usual.tools),
        input_chars=section.get("input_chars", integer(1, 10_000_000), usual.input_chars),
        output_chars=section.get("output_chars", integer(1, 10_000_000), usual.output_chars),
        n=section.get("n", integer(1, 16), usual.n),
        input_tokens=section.get("input_tokens", integer(1, 1_000_000), usual.input_tokens),
        output_tokens=section.get("output_tokens", integer(1, 1_000_000), usual.output_tokens),
        logprobs=section.get("logprobs", _permission, usual.logprobs),
    )


def _permission(node: Node, what: str, problems: Problems) -> bool | None:
    """`forbid` and `allow` are what reviewers read; `true` and `false` are older."""
    if isinstance(node, Scalar) and node.value in ("allow", "forbid"):
        return node.value == "allow"
    return boolean(node, what, problems)
