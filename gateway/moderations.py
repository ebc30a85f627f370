"""POST /v1/moderations: the policy's own detectors as OpenAI's moderation endpoint.

One result for each input, scores as the guards give them, and a fixed table from the hazard codes S1 to S14 to OpenAI's
categories. What OpenAI has no name for (privacy, elections, specialised advice…) and the prompt-attack score stand
under the key `gatehouse`. A guard without a verdict is 503, never "not flagged".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from gateway import fields
from gateway.disconnect import unbroken
from gateway.entries import Exchange, judged, refusal
from gateway.errors import BadRequest, GatewayError, Unavailable
from gateway.jsonstrict import Json, dumps, loads
from gateway.pipeline import Audit, InForce
from guards.registry import PROFILES
from guards.verdict import PPM, Context, Finding, Part, Scope, Verdict
from policies.model import Policy

MAX_INPUTS: Final = 64
_KEYS: Final[Mapping[str, None]] = dict.fromkeys(("input", "model"))
_CATEGORIES: Final[Mapping[str, tuple[str, ...]]] = {
    "harassment": ("S5",),
    "harassment/threatening": (),
    "hate": ("S10",),
    "hate/threatening": (),
    "illicit": ("S2", "S3", "S9", "S14"),
    "illicit/violent": ("S1", "S9"),
    "self-harm": ("S11",),
    "self-harm/instructions": (),
    "self-harm/intent": (),
    "sexual": ("S12", "S3", "S4"),
    "sexual/minors": ("S4",),
    "violence": ("S1",),
    "violence/graphic": (),
}
"""OpenAI's category -> hazard codes whose highest score it shows. Empty: the guards do not draw that distinction."""


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
    piece = fields.known_keys(item, where, {"type": None, "text": None})
    if piece.get("type") != "text":
        raise BadRequest("unsupported_content", f"`{where}.type` is not `text`; images cannot be judged yet", where)
    return fields.text(piece.get("text"), f"{where}.text")


async def moderate(exchange: Exchange, in_force: InForce, parts: Sequence[Part], audit: Audit) -> bytes:
    """Judge, record, answer. Raises Unavailable when a guard gave no verdict, or the policy has none to ask."""
    if not in_force.policy.detectors_for(Scope.USER):
        raise Unavailable("nothing_to_moderate_with", "the policy in force has no detector for user text")
    try:
        findings, decision = await in_force.judge(parts, exchange, "", Context.of(parts, exchange.caller.tenant))
    except asyncio.CancelledError:
        size = sum(part.bytes for part in parts)
        gone = refusal(exchange.id, exchange.caller, exchange.route, "client_gone", 499, size)
        with suppress(GatewayError):  # nobody is left who could be told
            await unbroken(audit.append(gone))
        raise
    overflow, record = judged(findings, parts, decision, in_force.policy, in_force.identities)
    for rows in overflow:
        await audit.append(exchange.record("request.findings", "progress") | {"rows": rows})
    await unbroken(audit.append(exchange.record("moderation.complete", "complete") | record))
    if any(finding.verdict is None for finding in findings):
        raise Unavailable("guard_unavailable", "a guard gave no verdict; try again later")
    results: list[Json] = [
        _result([finding for finding in findings if finding.part.path == part.path], in_force.policy) for part in parts
    ]
    return dumps({"id": f"modr-{exchange.id}", "model": in_force.policy.name, "results": results})


def _result(findings: Sequence[Finding], policy: Policy) -> Json:
    scores: dict[str, int] = {}
    flagged_codes: dict[str, bool] = {}
    unsafe = attack = False
    attack_ppm = 0
    for finding in findings:
        verdict, spec = _verdict(finding), policy.detectors[finding.detector]
        is_over = verdict.score_ppm >= spec.threshold_ppm  # by this detector; another one's opinion is its own
        if "injection" in spec.use or "prompt_guard" in spec.use:
            attack, attack_ppm = attack or is_over, max(attack_ppm, verdict.score_ppm)
        elif spec.use in PROFILES:
            unsafe = unsafe or is_over
            limits = dict(spec.category_thresholds)
            for code, score in verdict.categories:
                scores[code] = max(scores.get(code, 0), score)
                flagged = is_over and score >= limits.get(code, spec.threshold_ppm)
                flagged_codes[code] = flagged_codes.get(code, False) or flagged
    names = {name: codes for name, codes in _CATEGORIES.items()}
    hazards: Json = {
        code: {"flagged": flagged_codes[code], "score": score / PPM} for code, score in sorted(scores.items())
    }
    return {
        "flagged": unsafe or attack,
        "categories": {name: any(flagged_codes.get(code, False) for code in codes) for name, codes in names.items()},
        "category_scores": {
            name: max((scores.get(code, 0) for code in codes), default=0) / PPM for name, codes in names.items()
        },
        "category_applied_input_types": {name: ["text"] if codes else [] for name, codes in names.items()},
        "gatehouse": {"hazards": hazards, "prompt_attack": {"flagged": attack, "score": attack_ppm / PPM}},
    }


def _verdict(finding: Finding) -> Verdict:
    assert finding.verdict is not None  # moderate() raised otherwise
    return finding.verdict
