"""Everything that is checked before a generative guard judges its first text.

No weights are needed for it: what can be wrong with a tokenizer, a template or a choice of categories is found here, by
trying it out, and stops the start. A prompt that differs from what is publicly known of the model is not refused, since
the checkpoint may be right and we wrong; it is told, with the lines that differ.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guards.errors import GuardSetupError
from guards.generative.categories import CodeTrie, trie_of
from guards.generative.checkpoint import Checkpoint
from guards.generative.judge import judge_messages
from guards.generative.options import GuardOptions
from guards.generative.pictured import PicturePrompter
from guards.generative.prompts import RESERVE, Prompter, Subject
from guards.generative.scoring import AnswerTree, tree_of
from guards.generative.selection import BEGIN, END
from guards.generative.template import PROBE, GuardTemplate, Shape
from guards.generative.tokens import GuardTokenizer
from guards.profiles import generative
from guards.profiles.generative import GenerativeProfile

MAX_NOTE_LINES, MAX_LINE = 4, 120
MOST_SPARE_ROWS = 4_096
"""Rows that an embedding may have beyond the vocabulary; makers round up, by less than this."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What judging needs, all of it tried out."""

    prompter: Prompter
    pictures: PicturePrompter
    trees: tuple[AnswerTree, AnswerTree]
    """For a judged user's message, and a judged agent's."""
    words: Mapping[int, str]
    """Texts of the tokens that both trees are made of."""
    trie: CodeTrie | None
    notes: tuple[str, ...]


def load(profile: GenerativeProfile, files: Checkpoint, options: GuardOptions) -> Loaded:
    """Build and check, or GuardSetupError."""
    guard, selection = profile.use, options.selection
    tokenizer = GuardTokenizer(guard, files.tokenizer_json, profile.bos)
    _check_vocabulary(guard, tokenizer, files.vocabulary)
    subjects = _subjects(profile, options)
    names = files.names
    if profile.rewritable:
        plain = GuardTemplate(guard, files.template, profile.content, names, most=profile.turns)
        selection.check_block(plain.shape(1).filled(("",)))
    rewrite = selection.applied if profile.rewritable else str
    messages = judge_messages if profile.is_judge else None
    template = GuardTemplate(guard, files.template, profile.content, names, rewrite, profile.turns, messages)
    for subject in subjects:
        template.check(subject.code, subject.variables)
    window = min(options.window, files.positions or options.window)
    prompter = Prompter(profile, template, tokenizer, subjects, window, options.max_windows)
    pictures = PicturePrompter(profile, template, tokenizer, window - RESERVE)
    trees = tuple(_tree(profile, template, prompter, tokenizer, subjects[0], turns) for turns in (1, 2))
    ends = tokenizer.known(profile.ends) | frozenset(files.ends)
    # Of all codes, not of the chosen ones: a model that names one it was not asked about must not be read as if it
    # had named another.
    trie = trie_of(guard, profile.answer, tokenizer, selection.all_codes, ends)
    made_of = {token for tree in trees for node in tree.nodes for token in (*node.ids, *dict(node.branches))}
    words = {token: tokenizer.text_of(token) for token in made_of}
    return Loaded(
        prompter, pictures, (trees[0], trees[1]), words, trie, _notes(profile, template.shape(1, subjects[0].code))
    )


def _tree(
    profile: GenerativeProfile,
    template: GuardTemplate,
    prompter: Prompter,
    tokenizer: GuardTokenizer,
    subject: Subject,
    turns: int,
) -> AnswerTree:
    """The answer's tree after a prompt of so many turns, the prompt's own tokens checked on the way."""
    shape, stretches = template.shape(turns, subject.code, subject.variables), prompter.stretches(turns, subject)
    probe = (PROBE,) * turns
    tokenizer.check(stretches, probe, shape.filled(probe))
    form = profile.agent_answer if turns == 2 and profile.agent_answer else profile.answer
    return tree_of(profile.use, form, tokenizer, tokenizer.tail(shape))


def _subjects(profile: GenerativeProfile, options: GuardOptions) -> tuple[Subject, ...]:
    """What is asked about, one prompt each; one without a name where all stands in one prompt."""
    selection, custom = options.selection, dict(options.selection.custom)
    if profile.subject is generative.Subject.NONE:
        return (Subject(),)
    if profile.subject is generative.Subject.GUIDELINE:
        return tuple(Subject(code, {"guideline": text}) for code, text in selection.names)
    return tuple(Subject(code, {"guardian_config": _risk(code, custom)}) for code in selection.codes)


def _risk(code: str, custom: Mapping[str, str]) -> dict[str, str]:
    return {"risk_name": code} | ({"risk_definition": custom[code]} if code in custom else {})


def _check_vocabulary(guard: str, tokenizer: GuardTokenizer, size: int) -> None:
    """A tokenizer of another model has another size; ids beyond the embedding would be read as nothing or crash."""
    if size and not tokenizer.size <= size <= tokenizer.size + MOST_SPARE_ROWS:
        raise GuardSetupError(guard, f"`tokenizer.json` has {tokenizer.size} tokens, `config.json` says {size}")


def _notes(profile: GenerativeProfile, shape: Shape) -> tuple[str, ...]:
    """What differs from the prompt that is publicly known of this model."""
    if not profile.skeleton:
        return ()
    found = _without_block("{text}".join(shape.literals))
    if found == profile.skeleton:
        return ()
    lines = difflib.unified_diff(_lines(profile.skeleton), _lines(found), n=0, lineterm="")
    return tuple(line[:MAX_LINE] for line in _changed(list(lines)))[:MAX_NOTE_LINES]


def _lines(prompt: str) -> list[str]:
    return [repr(line)[1:-1] for line in prompt.splitlines(keepends=True)]


def _changed(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line[:1] in "+-" and not line.startswith(("+++", "---"))]


def _without_block(prompt: str) -> str:
    start, end = prompt.find(BEGIN), prompt.find(END)
    return f"{prompt[: start + len(BEGIN)]}{{categories}}{prompt[end:]}" if 0 <= start < end else prompt
