"""POST /v1/moderations: the policy's own detectors as OpenAI's moderation endpoint.

One result for each input, scores as the guards give them, and a fixed table from the names of hazards to OpenAI's
categories. What OpenAI has no name for (privacy, elections, specialised advice…), the prompt-attack score and what the
policy makes of the input stand under the key `gatehouse`. An input that the policy would stop is flagged, whatever its
rules looked at. A guard without a verdict is 503, never "not flagged".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway import fields
from gateway.disconnect import Client, refused_if_cut_off, unbroken
from gateway.entries import Exchange
from gateway.errors import BadRequest, Unavailable
from gateway.jsonstrict import Json, dumps, loads
from gateway.judgement import judged, overflow_records
from gateway.pipeline import Audit, InForce
from gateway.rewrite import kept_parts
from gateway.transcript import Keeper, NothingKept, parts_json
from guards.profiles.profile import Kind
from guards.registry import RULES
from guards.verdict import PPM, Context, Finding, Part, Scope, Verdict
from policies.decide import decide
from policies.model import Action, Decision, DetectorSpec

MAX_INPUTS: Final = 64
_KEYS: Final[Mapping[str, None]] = dict.fromkeys(("input", "model"))
_CATEGORIES: Final[Mapping[str, tuple[str, ...]]] = {
    "harassment": ("Defamation",),
    "harassment/threatening": (),
    "hate": ("Hate", "Violence and Hate"),
    "hate/threatening": (),
    "illicit": (
        "Non-Violent Crimes",
        "Sex-Related Crimes",
        "Sex Crimes",
        "Indiscriminate Weapons",
        "Code Interpreter Abuse",
        "Criminal Planning",
        "Guns and Illegal Weapons",
        "Regulated Substances",
        "Regulated or Controlled Substances",
    ),
    "illicit/violent": ("Violent Crimes", "Indiscriminate Weapons", "Guns and Illegal Weapons"),
    "self-harm": ("Suicide & Self-Harm", "Self-Harm"),
    "self-harm/instructions": (),
    "self-harm/intent": (),
    "sexual": ("Sexual Content", "Sex-Related Crimes", "Sex Crimes", "Child Sexual Exploitation", "Child Exploitation"),
    "sexual/minors": ("Child Sexual Exploitation", "Child Exploitation"),
    "violence": ("Violent Crimes", "Violence and Hate"),
    "violence/graphic": (),
}
"""OpenAI's category -> names of hazards whose highest score it shows. Names, because codes mean another thing in each
taxonomy. Empty: the guards do not draw that distinction."""


def read_inputs(body: bytes, max_chars: int) -> list[Part]:
    """One part for each input. Raises BadRequest."""
    top = fields.known_keys(loads(body, max_depth=8), "", _KEYS)
    if "model" in top:
        fields.text(top["model"], "model")
    value = top.get("input")
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_INPUTS:
        fields.wrong("input", f"a string or a list of 1 to {MAX_INPUTS} strings or text parts")
    texts = [_text(item, f"input[{index}]") for index, item in enumerate(items)]
    if sum(map(len, texts)) > max_chars:
        raise BadRequest("input_too_long", f"the input holds more than {max_chars} characters of text", "input")
    return [Part(Scope.USER, f"/input/{index}", "user", text) for index, text in enumerate(texts)]


def _text(item: Json, where: str) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, dict) or item.get("type") != "text":
        raise BadRequest("unsupported_content", f"`{where}.type` is not `text`; images cannot be judged yet", where)
    piece = fields.known_keys(item, where, {"type": None, "text": None})
    return fields.text(piece.get("text"), f"{where}.text")


async def moderate(
    exchange: Exchange,
    in_force: InForce,
    parts: Sequence[Part],
    audit: Audit,
    client: Client | None = None,
    keeper: Keeper | None = None,
) -> bytes:
    """Judge, record, answer. Raises Unavailable when a guard gave no verdict, or the policy has none to ask."""
    if not in_force.policy.detectors_for(Scope.USER):
        raise Unavailable("nothing_to_moderate_with", "the policy in force has no detector for user text")
    size = sum(part.bytes for part in parts)
    async with refused_if_cut_off(audit, exchange, client or Client(), size):
        findings, decision = await in_force.judge(parts, exchange, "", Context.of(parts, exchange.caller.tenant))
    await unbroken(_record(exchange, in_force, parts, findings, decision, audit, keeper or NothingKept()))
    if any(finding.verdict is None for finding in findings):
        raise Unavailable("guard_unavailable", "a guard gave no verdict; try again later")
    results: list[Json] = []
    for part in parts:
        own = [finding for finding in findings if finding.part.path == part.path]
        facts = exchange.facts([part], "", int(in_force.clock()))
        results.append(_result(own, decide(in_force.policy, own, facts), in_force))
    return dumps({"id": f"modr-{exchange.id}", "model": in_force.policy.name, "results": results})


async def _record(
    exchange: Exchange,
    in_force: InForce,
    parts: Sequence[Part],
    findings: Sequence[Finding],
    decision: Decision,
    audit: Audit,
    keeper: Keeper,
) -> None:
    overflow, record = judged(findings, parts, decision, in_force.policy, in_force.identities)
    for earlier in overflow_records(exchange, overflow):
        await audit.append(earlier)
    kept = await keeper.keep(exchange, "request", {"parts": parts_json(kept_parts(parts, decision.redactions))})
    await audit.append(exchange.record("moderation.complete", "complete") | record | kept)


def _result(findings: Sequence[Finding], decision: Decision, in_force: InForce) -> Json:
    hazards: dict[str, Hazard] = {}
    unsafe = attack = False
    attack_ppm = 0
    for finding in findings:
        verdict, spec = _verdict(finding), in_force.policy.detectors[finding.detector]
        if spec.use in RULES:
            continue
        profile = in_force.profiles[finding.detector]
        is_over = verdict.score_ppm >= spec.threshold_ppm  # by this detector; another one's opinion is its own
        if profile.kind is Kind.ATTACK:
            attack, attack_ppm = attack or is_over, max(attack_ppm, verdict.score_ppm)
            continue
        unsafe = unsafe or is_over
        names = dict(profile.names) | _own_categories(spec)
        for code, score in verdict.categories:
            key = _key(code, names.get(code, code), profile.use, hazards)
            known = hazards.setdefault(key, Hazard(names.get(code, code)))
            known.score_ppm = max(known.score_ppm, score)
            known.is_flagged |= is_over and score >= spec.category_thresholds.get(code, spec.threshold_ppm)
    shown: Json = {key: hazards[key].as_json() for key in sorted(hazards)}
    by_category = {name: [one for one in hazards.values() if one.name in means] for name, means in _CATEGORIES.items()}
    return {
        "flagged": unsafe or attack or decision.action is Action.BLOCK,
        "categories": {name: any(one.is_flagged for one in found) for name, found in by_category.items()},
        "category_scores": {
            name: max((one.score_ppm for one in found), default=0) / PPM for name, found in by_category.items()
        },
        "category_applied_input_types": {name: ["text"] if means else [] for name, means in _CATEGORIES.items()},
        "gatehouse": {
            "decision": {"action": decision.action.name.lower(), "code": decision.code, "rules": list(decision.rules)},
            "hazards": shown,
            "prompt_attack": {"flagged": attack, "score": attack_ppm / PPM},
        },
    }


@dataclass(slots=True)
class Hazard:
    """The worst that any guard said of one hazard."""

    name: str
    score_ppm: int = 0
    is_flagged: bool = False

    def as_json(self) -> Json:
        return {"name": self.name, "flagged": self.is_flagged, "score": self.score_ppm / PPM}


def _key(code: str, name: str, profile: str, hazards: Mapping[str, Hazard]) -> str:
    """The code, unless another guard already means something else by it: Llama Guard 2 numbers differently."""
    return code if code not in hazards or hazards[code].name == name else f"{profile}/{code}"


def _own_categories(spec: DetectorSpec) -> dict[str, str]:
    """Those that the policy adds have no name but their code: their text may be long."""
    custom = spec.options.get("custom")
    return {code: code for code in custom} if isinstance(custom, Mapping) else {}


def _verdict(finding: Finding) -> Verdict:
    assert finding.verdict is not None  # moderate() raised otherwise
    return finding.verdict
