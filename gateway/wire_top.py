"""The fields of a chat request, each in exactly one table, and what is read of them alone.

A field in no table is unknown and refused, so that a text which guards did not see cannot reach the model, whatever an
SDK starts to send. What clients send for other servers, or write beside what they repeat, says nothing to a model and
stays here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway import fields
from gateway.errors import BadRequest
from gateway.jsonstrict import Json


def _template_switches(value: Json, where: str) -> Json:
    """Whether a model is to think. Anything else that a template takes could be text, and nobody would judge it."""
    switches = fields.known_keys(value, where, {"enable_thinking": None, "thinking": None})
    return {name: fields.boolean(switch, f"{where}.{name}") for name, switch in switches.items()}


FORWARDED: Final[Mapping[str, fields.Reader]] = {
    "temperature": fields.number(0, 2),
    "top_p": fields.number(0, 1),
    "presence_penalty": fields.number(-2, 2),
    "frequency_penalty": fields.number(-2, 2),
    "max_tokens": fields.integer(1, 10_000_000),
    "max_completion_tokens": fields.integer(1, 10_000_000),
    "seed": fields.integer(-fields.INT64, fields.INT64 - 1),
    "parallel_tool_calls": fields.boolean,
    "logit_bias": fields.logit_bias,
    "reasoning_effort": fields.one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "verbosity": fields.one_of("low", "medium", "high"),
    "top_k": fields.integer(-1, 1_000_000),
    "min_p": fields.number(0, 1),
    "repetition_penalty": fields.number(0, 10),
    "min_tokens": fields.integer(0, 10_000_000),
    "ignore_eos": fields.boolean,
    "chat_template_kwargs": _template_switches,
}
NOT_FORWARDED: Final = frozenset(
    (
        "user",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "service_tier",
        "store",
    )
)
"""Accepted, because SDKs send them, and left here: identity comes from the key, and nothing unjudged goes upstream."""
_UNAVAILABLE: Final[Mapping[str, str]] = {
    "functions": "use `tools`",
    "function_call": "use `tool_choice`",
    "audio": "audio cannot be judged yet",
    "modalities": "only text answers can be judged",
    "moderation": "the policy in force judges every request and answer",
    "prediction": "predicted outputs are not supported",
    "web_search_options": "the gateway fetches nothing from outside",
    "top_logprobs": "alternative tokens are no text that a guard could judge; `logprobs` alone is available",
}
_JUDGED: Final = ("messages", "tools", "tool_choice", "response_format", "stop")
_OWN: Final = ("model", "n", "stream", "stream_options", "logprobs")
TOP_LEVEL: Final[Mapping[str, None]] = dict.fromkeys((*FORWARDED, *NOT_FORWARDED, *_UNAVAILABLE, *_JUDGED, *_OWN))
"""All fields that a request may have, or is told about by name."""
_HARMLESS: Final[Mapping[str, Callable[[Json], bool]]] = {
    "top_logprobs": lambda value: value == 0 and value is not False,
    "modalities": lambda value: value == ["text"],
}
"""Values of unavailable fields that ask for nothing, which SDKs send as defaults."""
HINTS: Final[Mapping[str, None]] = dict.fromkeys(("cache_control", "prompt_cache_breakpoint"))
"""How to cache, on messages, content parts and tools. Accepted and left here."""
REPEATED: Final[Mapping[str, None]] = dict.fromkeys(("parsed", "parsed_arguments", "provider_specific_fields"))
"""What the SDKs of OpenAI and LiteLLM add to an answer and send back with it. Accepted and left here."""


def refuse_unavailable(top: Mapping[str, Json]) -> None:
    """BadRequest for the first field that asks for what there is not."""
    for key, reason in _UNAVAILABLE.items():
        if key not in top:
            continue
        harmless = _HARMLESS.get(key)
        if harmless is None or not harmless(top[key]):
            raise BadRequest("unsupported_field", f"`{key}` is not available here: {reason}", key)


def stream_options(value: Json, stream: bool) -> bool:
    """Whether the client wants the usage at the end of its stream."""
    if value is None:
        return False
    if not stream:
        fields.wrong("stream_options", "left out unless `stream` is true")
    options = fields.known_keys(value, "stream_options", {"include_usage": None, "include_obfuscation": None})
    fields.boolean(options.get("include_obfuscation", False), "stream_options.include_obfuscation")
    return fields.boolean(options.get("include_usage", False), "stream_options.include_usage")
