"""Bodies of `/v1/completions` and `/v1/chat/completions` to what the engine generates from.

OpenAI's fields are read, those that would change the answer in a way this version does not compute are refused by
name, and unknown ones too: an option without effect would be a lie. A prompt may be token ids; then it is taken as it
is, control tokens included, because the caller has rendered it. Text never becomes a control token.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from engine.chat_wire import read_messages, read_tools
from engine.errors import BadRequest
from engine.events import GenerateRequest, Sampling
from engine.grammar import Grammar
from engine.structured_wire import ToolChoice, grammar_of, tool_choice
from engine.vision.sent import Sent, is_picture, sent_as
from engine.wire import Fields, Json, blamed

if TYPE_CHECKING:
    from engine.generator import Generator
    from engine.vision.prompt import Placed

MAX_CHOICES = 8
MAX_LOGPROBS = 20
MAX_PROMPTS, MAX_ANSWERS, MAX_REPORTED = 64, 128, 64
MAX_PRIORITY, MAX_SALT_CHARACTERS = 1000, 128
MAX_STOPS, MAX_STOP_CHARACTERS = 16, 256
MAX_BIASES, MAX_BIAS = 1024, 100.0
DEFAULT_COMPLETION_TOKENS = 16
DEFAULT_CHAT_TOKENS = 1024
"""Unless the caller says otherwise and the model has less room: an answer may keep what it may need from others."""
DEADLINE_S = 600.0
SEED_LIMIT = 2**63 - 1
LEAST_TEMPERATURE = 1e-5
"""Below it the likeliest token is drawn: scores divided by much less are no numbers any more."""
LABELS = ("model", "user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier")
"""Fields for the caller's own use; no model sees them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One checked request: what to run, how often, and how to show it."""

    request: GenerateRequest
    choices: int = 1
    streams: bool = False
    stream_usage: bool = False
    tools: frozenset[str] = frozenset()
    """Names that a tool call in the answer may have."""
    tokens_as_ids: bool = field(default=False)
    """Name tokens in log-probabilities `token_id:N`, as vLLM does, so that a caller can read positions by id."""
    prompts: tuple[tuple[int, ...], ...] = field(default=(), repr=False)
    """Several prompts in one request, each with equally many choices, in order. `request` holds the first."""
    echoes: tuple[str, ...] = field(default=(), repr=False)
    """The texts of several prompts, where they are to be told before the answers."""
    grammar: Grammar | None = None
    """What every choice's text has to look like; to be compiled off the threads that serve and compute."""
    demands_calls: bool = False
    """Whether that is a list of calls and nothing else."""

    @property
    def prompt_tokens(self) -> int:
        return sum(map(len, self.prompts)) or len(self.request.prompt)

    @property
    def choices_each(self) -> int:
        """How many answers each prompt has."""
        return self.choices // max(1, len(self.prompts))

    def within(self, seconds: float) -> Asked:
        """The same with less time, if it is less."""
        deadline = min(self.request.deadline, time.monotonic() + seconds)
        return replace(self, request=replace(self.request, deadline=deadline))

    def request_of(self, choice: int) -> GenerateRequest:
        """Choices of one prompt differ in their seed only."""
        at, nth = divmod(choice, self.choices_each)
        request = self.request
        if self.prompts:
            request = replace(request, prompt=self.prompts[at], echo=self.echoes[at] if self.echoes else None)
        if nth == 0 or request.sampling.seed is None:
            return request
        seed = (request.sampling.seed + nth) % SEED_LIMIT
        return replace(request, sampling=replace(request.sampling, seed=seed))


def parse_completion(fields: Fields, model: Generator) -> Asked:
    prompts, texts = _prompts(fields, model)
    prompts, pictures = _with_pictures(fields, model, prompts, is_text=bool(texts))
    reported = _reported(fields, model)
    logprobs = fields.integer("logprobs", 0 if reported else -1, 0, MAX_LOGPROBS)
    echoes = fields.flag("echo")
    if echoes and pictures:
        fields.refuse("echo", "a prompt with images is not repeated")
    max_tokens = fields.integer("max_tokens", DEFAULT_COMPLETION_TOKENS, 0, SEED_LIMIT)
    fields.neutral("suffix", "")
    grammar = grammar_of(fields, ToolChoice())
    each = fields.integer("n", 1, 1, min(MAX_CHOICES, MAX_ANSWERS // len(prompts)))
    fields.neutral("best_of", 1, each)
    asked = _asked(fields, model, prompts[0], max_tokens, logprobs if logprobs >= 0 else None, each, reported=reported)
    request = replace(asked.request, pictures=pictures)
    for prompt in prompts[1:]:
        model.lane.check(replace(request, prompt=prompt))
    told = texts or tuple(map(model.tokenizer.text, prompts)) if echoes else ()
    if len(prompts) == 1:
        return replace(asked, grammar=grammar, request=replace(request, echo=told[0] if told else None))
    choices = each * len(prompts)
    return replace(asked, grammar=grammar, request=request, choices=choices, prompts=prompts, echoes=told)


def parse_chat(fields: Fields, model: Generator) -> Asked:
    messages = read_messages(fields)
    choice = tool_choice(fields, read_tools(fields))
    look = model.look()
    look.check([picture for message in messages for picture in message.pictures])
    with blamed("messages"):
        prompt, pictures = model.chat.render_all(messages, choice.offered, look.tokens)
    logprobs = fields.integer("top_logprobs", 0, 0, MAX_LOGPROBS) if fields.flag("logprobs") else None
    if logprobs is None:
        fields.neutral("top_logprobs", 0)
    stated = fields.integer("max_completion_tokens", fields.integer("max_tokens", 0, 1, SEED_LIMIT), 1, SEED_LIMIT)
    room = model.lane.max_model_len - len(prompt)
    max_tokens = stated or max(1, min(DEFAULT_CHAT_TOKENS, room))
    grammar = grammar_of(fields, choice, is_single=not fields.flag("parallel_tool_calls", default=True))
    fields.neutral("modalities", ["text"])
    fields.neutral("reasoning_effort", "none")
    fields.neutral("verbosity", "medium")
    names = frozenset(str(tool["name"]) for tool in choice.offered)
    asked = _asked(fields, model, prompt, max_tokens, logprobs, fields.integer("n", 1, 1, MAX_CHOICES), names)
    demands = bool(choice.demanded)
    return replace(asked, grammar=grammar, demands_calls=demands, request=replace(asked.request, pictures=pictures))


def shows_pictures(fields: Fields) -> bool:
    """Whether a body has any. Reading it takes longer then, because they are unpacked."""
    if fields.take("images"):
        return True
    messages = fields.take("messages")
    contents = [one.get("content") for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    return any(is_picture(part) for content in contents if isinstance(content, list) for part in content)


def _asked(
    fields: Fields,
    model: Generator,
    prompt: tuple[int, ...],
    max_tokens: int,
    logprobs: int | None,
    choices: int = 1,
    tools: frozenset[str] = frozenset(),
    reported: tuple[int, ...] = (),
) -> Asked:
    """The fields that both endpoints share; then nothing may be left over."""
    request = GenerateRequest(
        prompt,
        max_tokens,
        deadline=time.monotonic() + DEADLINE_S,
        sampling=_sampling(fields, model, logprobs, reported),
        stops=_stops(fields),
        min_tokens=fields.integer("min_tokens", 0, 0, max_tokens),
        ignores_end=fields.flag("ignore_eos"),
        priority=fields.integer("priority", 0, -MAX_PRIORITY, MAX_PRIORITY),
        salt=_salt(fields),
    )
    streams, usage = _streaming(fields)
    as_ids = fields.flag("return_tokens_as_token_ids")
    fields.ignored(*LABELS)
    fields.done()
    model.lane.check(request)
    return Asked(request, choices, streams, usage, tools, as_ids)


def _streaming(fields: Fields) -> tuple[bool, bool]:
    """Whether the answer comes in pieces, and whether the last one tells the usage."""
    streams, options = fields.flag("stream"), fields.take("stream_options")
    if options is not None and (not streams or not isinstance(options, dict)):
        fields.refuse("stream_options", "expected an object, and `stream` to be true")
    told = Fields(options or {}, "stream_options.")
    usage = told.flag("include_usage")
    told.ignored("include_obfuscation")
    told.done()
    return streams, usage


def _sampling(fields: Fields, model: Generator, logprobs: int | None, reported: tuple[int, ...]) -> Sampling:
    defaults = model.defaults
    seed = fields.take("seed")
    if seed is not None and not (type(seed) is int and -SEED_LIMIT - 1 <= seed <= SEED_LIMIT):
        fields.refuse("seed", "expected an integer of 64 bits")
    temperature = fields.number("temperature", defaults.temperature, 0.0, 2.0)
    return Sampling(
        temperature=temperature if temperature >= LEAST_TEMPERATURE else 0.0,
        top_p=fields.number("top_p", defaults.top_p, 0.0, 1.0),
        top_k=max(0, fields.integer("top_k", defaults.top_k, -1, SEED_LIMIT)),
        min_p=fields.number("min_p", defaults.min_p, 0.0, 1.0),
        seed=min(abs(seed), SEED_LIMIT) if seed is not None else None,
        logprobs=logprobs,
        reported=reported,
        presence_penalty=fields.number("presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=fields.number("frequency_penalty", 0.0, -2.0, 2.0),
        repetition_penalty=fields.number("repetition_penalty", 1.0, 0.01, 10.0),
        logit_bias=_bias(fields, model.vocabulary),
    )


def _bias(fields: Fields, vocabulary: int) -> tuple[tuple[int, float], ...]:
    raw = fields.take("logit_bias") or {}
    if not isinstance(raw, dict) or len(raw) > MAX_BIASES:
        fields.refuse("logit_bias", f"expected an object of at most {MAX_BIASES} token ids")
    told = Fields(raw, "logit_bias.")
    for token in raw:
        if not (token.isascii() and token.isdigit() and len(token) <= 9 and int(token) < vocabulary):
            fields.refuse("logit_bias", f"expected token ids from 0 to {vocabulary - 1} as keys")
    return tuple(sorted((int(token), told.number(token, 0.0, -MAX_BIAS, MAX_BIAS)) for token in raw))


def _stops(fields: Fields) -> tuple[str, ...]:
    raw = fields.take("stop")
    stops = [raw] if isinstance(raw, str) else raw or []
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        fields.refuse("stop", f"expected a string or up to {MAX_STOPS} strings")
    if not all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP_CHARACTERS for stop in stops):
        fields.refuse("stop", f"expected strings of 1 to {MAX_STOP_CHARACTERS} characters")
    return tuple(stops)


def _prompts(fields: Fields, model: Generator) -> tuple[tuple[tuple[int, ...], ...], tuple[str, ...]]:
    """The ids of one or several prompts, and their texts where they came as texts."""
    raw = fields.take("prompt")
    listed = raw if isinstance(raw, list) and raw and isinstance(raw[0], list | str) else [raw]
    if len(listed) > MAX_PROMPTS:
        fields.refuse("prompt", f"{len(listed)} prompts, expected at most {MAX_PROMPTS}")
    if all(isinstance(one, str) for one in listed):
        with blamed("prompt"):
            return tuple(map(model.chat.plain, listed)), tuple(listed)
    return tuple(_ids(fields, one, model.vocabulary) for one in listed), ()


def _with_pictures(
    fields: Fields, model: Generator, prompts: tuple[tuple[int, ...], ...], is_text: bool
) -> tuple[tuple[tuple[int, ...], ...], tuple[Placed, ...]]:
    """Prompts of ids with the same pictures put into each, and where they stand."""
    raw = fields.take("images")
    if raw is None:
        return prompts, ()
    if not isinstance(raw, list) or not raw or is_text:
        fields.refuse("images", "expected a list of images, and token ids as `prompt`")
    listed = [_image(one, f"images[{index}]", min(map(len, prompts))) for index, one in enumerate(raw)]
    places = [at for at, _ in listed]
    if places != sorted(places):
        fields.refuse("images", "expected images in the order of `at`")
    look = model.look()
    look.check([picture for _, picture in listed])
    shown = [(at, one) for at, picture in listed for one in look.tokens(picture) if not isinstance(one, str)]
    done = [look.between(prompt, shown) for prompt in prompts]
    return tuple(ids for ids, _ in done), done[0][1]


def _image(raw: Json, where: str, room: int) -> tuple[int, Sent]:
    """(before which token of the prompt, picture)."""
    if not isinstance(raw, dict):
        raise BadRequest("invalid_parameter", f"`{where}`: expected an object with `at` and `url`", "images")
    fields = Fields(raw, f"{where}.")
    at = fields.integer("at", 0, 0, room)
    picture = sent_as(fields.take("url"), fields.take("detail") or "auto", where)
    fields.done()
    return at, picture


def _ids(fields: Fields, raw: Json, vocabulary: int, name: str = "prompt") -> tuple[int, ...]:
    if not isinstance(raw, list) or not raw or not all(type(token) is int for token in raw):
        expected = "texts or lists of token ids, one or several" if name == "prompt" else "token ids"
        fields.refuse(name, f"expected {expected}")
    if not all(0 <= token < vocabulary for token in raw):
        fields.refuse(name, f"a token id is outside 0 to {vocabulary - 1}")
    return tuple(raw)


def _reported(fields: Fields, model: Generator) -> tuple[int, ...]:
    raw = fields.take("logprob_token_ids")
    if raw is None:
        return ()
    ids = _ids(fields, raw, model.vocabulary, "logprob_token_ids")
    if len(ids) > MAX_REPORTED or len(set(ids)) != len(ids):
        fields.refuse("logprob_token_ids", f"expected up to {MAX_REPORTED} token ids, each once")
    return ids


def _salt(fields: Fields) -> str:
    raw = fields.take("cache_salt")
    if raw is not None and (not isinstance(raw, str) or not 0 < len(raw) <= MAX_SALT_CHARACTERS):
        fields.refuse("cache_salt", f"expected a string of 1 to {MAX_SALT_CHARACTERS} characters")
    return raw or ""
