"""A causal language model as a Guard: parts to prompts, one call for all verdicts, a few more for categories.

The worst of a part's prompts counts, and the verdict says which view it was. Categories are asked for only where the
score passes a floor; each has the highest value that any prompt gave it. An answer that is not a verdict is a
GuardError for the whole batch. Neither texts nor prompts nor answers are logged or kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import httpx
import structlog

from guards.asking import salt_of
from guards.errors import ErrorKind, GuardError
from guards.generative.answer import NotAnAnswer, parse_answer
from guards.generative.categories import CodeTrie, Reading
from guards.generative.chat_endpoint import ChatEndpoint
from guards.generative.checkpoint import read_checkpoint, template_digest
from guards.generative.conversation import Side
from guards.generative.endpoint import CompletionsEndpoint
from guards.generative.loading import Loaded, load
from guards.generative.options import GuardOptions, Hears, Mode, read_options
from guards.generative.pictured import Shown
from guards.generative.prompts import CONVERSATION, Asked, Prompt
from guards.generative.scoring import likeliest, score
from guards.generative.tokens import Ids
from guards.model_files import to_ppm
from guards.profiles.generative import GenerativeProfile
from guards.verdict import NO_CONTEXT, PPM, Context, GuardIdentity, Part, Scope, Verdict

INLINE_CHARS = 4_096
"""More text than this, history included, is tokenised in a thread: the event loop waits at most about 10 ms."""
ANSWER_TOKENS = 40
"""The longest legal answer has 32: fourteen codes, the opening, the end."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one prompt came to."""

    score: float
    categories: Mapping[str, float]


class GenerativeGuard:
    """Judges with one causal model behind one endpoint."""

    def __init__(
        self,
        identity: GuardIdentity,
        loaded: Loaded,
        endpoint: CompletionsEndpoint,
        options: GuardOptions,
        chat: ChatEndpoint | None = None,
    ) -> None:
        """`chat`: who is shown pictures, where the endpoint takes none."""
        self.identity, self.notes = identity, loaded.notes
        self._prompter, self._pictures, self._trees = loaded.prompter, loaded.pictures, loaded.trees
        self._words, self._chat = loaded.words, chat
        self._trie: CodeTrie | None = loaded.trie
        self._endpoint, self._options = endpoint, options
        self._codes = tuple(sorted(options.selection.codes))

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        asked = await self._asked(parts, context)
        prompts = list(dict.fromkeys(prompt for one in asked for prompt in one.prompts))
        by_prompt = dict(zip(prompts, await self._judged(prompts, salt_of(context.tenant)), strict=True))
        return [self._verdict(one, by_prompt) for one in asked]

    async def _asked(self, parts: Sequence[Part], context: Context) -> list[Asked]:
        characters = sum(len(part.preceding) + len(part.text) for part in parts)
        characters += sum(len(turn.text) for turn in context.turns) * len(parts)
        if characters <= INLINE_CHARS:
            return [self._asked_of(part, context) for part in parts]
        return await asyncio.to_thread(lambda: [self._asked_of(part, context) for part in parts])

    def _asked_of(self, part: Part, context: Context) -> Asked:
        asked = self._shown(part, context) if part.scope is Scope.IMAGE else self._prompter.asked(part, context)
        if self._options.context is Hears.CONVERSATION:
            return asked
        return replace(asked, prompts=tuple(prompt for prompt in asked.prompts if prompt.view != CONVERSATION))

    def _shown(self, part: Part, context: Context) -> Asked:
        prompts = self._pictures.asked(part, context)
        return Asked(tuple(Prompt(ids, Side.USER, view, shown=shown) for ids, shown, view in prompts), 1)

    async def _judged(self, prompts: Sequence[Prompt], salt: str) -> list[Judged]:
        found: dict[tuple[Ids, int, Shown | None], Judged] = {}
        work = self._written if self._options.mode is Mode.GENERATE else self._scored
        # All texts in one call, each picture in its own.
        for shown in dict.fromkeys(prompt.shown for prompt in prompts):
            rows = list(dict.fromkeys((one.ids, one.side) for one in prompts if one.shown == shown))
            if shown is not None and self._chat is not None:
                judged = [await self._told(self._chat, shown, *row) for row in rows]
            else:
                judged = await work(rows, salt, shown)
            found |= {(ids, side, shown): one for (ids, side), one in zip(rows, judged, strict=True)}
        return [found[prompt.ids, prompt.side, prompt.shown] for prompt in prompts]

    async def _scored(self, rows: Sequence[tuple[Ids, int]], salt: str, shown: Shown | None) -> list[Judged]:
        guard, floor = self.identity.use, self._options.mass_floor
        asked = [[ids + node.ids for node in self._trees[side].nodes] for ids, side in rows]
        wanted = sorted({token for _, side in rows for token in self._trees[side].wanted})
        answers = iter(await self._endpoint.next_tokens([ids for some in asked for ids in some], wanted, salt, shown))
        found = [[next(answers) for _ in some] for some in asked]
        scores = [score(guard, self._trees[side], told, floor) for (_, side), told in zip(rows, found, strict=True)]
        readings: dict[int, Reading] = {}
        if self._trie is not None:
            for i, ((ids, side), told) in enumerate(zip(rows, found, strict=True)):
                if scores[i] >= self._options.categories_from:
                    readings[i] = Reading(guard, self._trie, ids + likeliest(self._trees[side], told), floor)
            await self._read(list(readings.values()), self._trie.wanted, salt, shown)
        return [Judged(value, readings[i].found if i in readings else {}) for i, value in enumerate(scores)]

    async def _read(self, readings: Sequence[Reading], wanted: Sequence[int], salt: str, shown: Shown | None) -> None:
        """All lists one code further, in one call, until all are read."""
        while readings := [reading for reading in readings if not reading.is_done]:
            asked = [reading.prompts() for reading in readings]
            prompts = [ids for some in asked for ids in some]
            answers = iter(await self._endpoint.next_tokens(prompts, wanted, salt, shown))
            for reading, some in zip(readings, asked, strict=True):
                reading.take([next(answers) for _ in some])

    async def _told(self, chat: ChatEndpoint, shown: Shown, ids: Ids, side: int) -> Judged:
        """By a server that puts the prompt together itself: what it wrote, and how likely it was to write it."""
        guard, options = self.identity.use, self._options
        if options.selection.is_choice:
            told = "a choice of categories does not hold for pictures on a server, whose template asks about all"
            raise GuardError(guard, ErrorKind.BAD_ANSWER, told)
        said = await chat.asked(shown, len(ids), ANSWER_TOKENS, options.mode is Mode.SCORE)
        read = self._read_answer(said.text)
        if options.mode is Mode.GENERATE:
            return read
        tree = self._trees[side]
        value = score(guard, tree, said.at(tree, self._words), options.mass_floor)
        return Judged(value, read.categories if value >= options.categories_from else {})

    async def _written(self, rows: Sequence[tuple[Ids, int]], _salt: str, shown: Shown | None) -> list[Judged]:
        texts = await self._endpoint.texts([ids for ids, _ in rows], ANSWER_TOKENS, shown)
        return [self._read_answer(text) for text in texts]

    def _read_answer(self, text: str) -> Judged:
        try:
            answer = parse_answer(text, self._codes)
        except NotAnAnswer as exc:
            raise GuardError(self.identity.use, ErrorKind.BAD_ANSWER, str(exc)) from exc
        return Judged(float(answer.unsafe), dict.fromkeys(answer.codes, 1.0))

    def _verdict(self, asked: Asked, judged: Mapping[Prompt, Judged]) -> Verdict:
        found = [(prompt, judged[prompt]) for prompt in asked.prompts]
        values = dict.fromkeys(self._codes, 0.0)
        for prompt, one in found:
            told = {prompt.subject: 1.0} if prompt.subject else one.categories
            for code in self._codes:
                values[code] = max(values[code], one.score * min(told.get(code, 0.0), 1.0))
        categories = tuple((code, min(to_ppm(value), PPM)) for code, value in values.items())
        if not found:
            return Verdict(0, categories, windows=0)
        worst, one = max(found, key=lambda pair: pair[1].score)  # the first of equals, so `alone` before the others
        return Verdict(to_ppm(one.score), categories, windows=asked.windows, view=worst.view)


class Source(Protocol):
    """Where the model runs, as guards/registry.py has it."""

    @property
    def directory(self) -> Path: ...
    @property
    def client(self) -> httpx.AsyncClient: ...
    @property
    def model(self) -> str: ...
    @property
    def weights_required(self) -> bool: ...
    @property
    def url(self) -> str: ...


def build(profile: GenerativeProfile, options: Mapping[str, object], source: Source) -> GenerativeGuard:
    """The guard for a profile, ready to judge, or GuardSetupError."""
    profile, chosen = read_options(profile, options)
    files = read_checkpoint(profile, source.directory, source.weights_required, chosen.template)
    loaded = load(profile, files, chosen)
    for note in loaded.notes:
        structlog.get_logger("guards").warning("guard_template_differs", guard=profile.use, line=note)
    endpoint = CompletionsEndpoint(
        guard=profile.use,
        client=source.client,
        url=_base(source.url),
        model=source.model,
        weights=files.digest,
        weights_required=source.weights_required,
        is_ours=source.weights_required,
        asks_ids=source.weights_required if chosen.token_ids is None else chosen.token_ids,
    )
    chat = None
    if not source.weights_required:
        chat = ChatEndpoint(profile.use, source.client, _base(source.url), source.model, files.digest)
    cited = template_digest(files.template)
    identity = GuardIdentity(profile.use, f"{profile.use}/1", files.digest, profile=profile.use, template=cited)
    return GenerativeGuard(identity, loaded, endpoint, chosen, chat)


def _base(url: str) -> str:
    """With the version that comes before `/completions`; our model host is configured without."""
    plain = url.rstrip("/")
    return plain if plain.endswith("/v1") else f"{plain}/v1"
