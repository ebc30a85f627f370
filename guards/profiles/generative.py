"""What code must not guess of a guard that answers in words: its template's habits, its verdict, its taxonomy.

The prompt itself comes from the checkpoint. A profile says how the answer is read, and what a checkpoint of that model
is expected to look like, so that one that looks different is refused or reported at start. Codes are the model's own:
`S5` means another thing in each version, which is why records name the profile with the code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from guards.profiles.profile import Figure, Kind, Task

CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
"""What the code of a category may look like, in a profile and in a configuration."""


class Content(StrEnum):
    """What a template takes as the `content` of a message."""

    STRING = "string"
    PARTS = "parts"
    """A list of typed parts; a plain string may render as nothing at all."""


class Subject(StrEnum):
    """For guards that look for one thing a prompt: the template's variable that says for what."""

    NONE = ""
    """All categories stand in one prompt."""
    GUIDELINE = "guideline"
    """`guideline`: the text of the policy."""
    RISK = "risk"
    """`guardian_config.risk_name`: the name of a risk that the template knows."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that the answer has before its verdict: its beginning, and every value it may have."""

    text: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How a model says its verdict."""

    safe: tuple[str, ...]
    unsafe: tuple[str, ...]
    opening: str = ""
    """What the model may write first, if the prompt does not end with it. Summed over: with it and without."""
    before: tuple[Line, ...] = ()
    """Lines whose values are summed over."""
    text: str = ""
    """What always stands right before the verdict."""
    is_token: bool = True
    """Every verdict is one token, and so is `opening`; a tokenizer that splits one is refused. Otherwise the verdicts'
    first tokens have to differ, and the rest is taken as following from them."""
    codes: str = ""
    """What stands between an unsafe verdict and the first code. Empty: the answer names no categories."""
    separator: str = ","

    def __post_init__(self) -> None:
        words = (*self.safe, *self.unsafe)
        if not self.safe or not self.unsafe or len(set(words)) != len(words) or not all(words):
            raise ValueError("an answer needs safe and unsafe verdicts that differ")


@dataclass(frozen=True, slots=True)
class GenerativeProfile:
    """One causal language model trained as a guard."""

    use: str
    title: str
    architecture: str
    """The one entry of `architectures` in config.json; empty: any."""
    names: tuple[tuple[str, str], ...]
    """(code, name) in this version's meaning. Empty where only a configuration can say."""
    answer: AnswerForm
    window: int
    """Tokens of a prompt. Below what the base model takes where no guard was trained or measured on more."""
    languages: tuple[str, ...]
    licence: str
    content: Content = Content.STRING
    agent_answer: AnswerForm | None = None
    """Where a judged answer is spoken of differently from a judged question."""
    turns: int = 0
    """How many of the last turns the template shows; 0: all."""
    subject: Subject = Subject.NONE
    bos: str = ""
    """The token that a prompt begins with, exactly once."""
    ends: tuple[str, ...] = ()
    """Tokens that end an answer."""
    speakers: tuple[str, ...] = ("User", "Agent")
    """How the template names who speaks; a line of user text that begins so is not left to look like a turn."""
    is_judge: bool = False
    """A chat model that was not trained as a guard: it is told the policy and shown the conversation, see
    guards/generative/judge.py."""
    sees: bool = False
    """It judges pictures, too, where its checkpoint's template has a place for them."""
    rewritable: bool = False
    """The categories stand in a block `<BEGIN UNSAFE CONTENT CATEGORIES>`, so they can be chosen."""
    skeleton: str = ""
    """The prompt for one question with `{categories}` and `{text}` in place of both. Empty: not publicly confirmed."""
    threshold: float | None = None
    """As published. None: nobody published one; calibrate."""
    kind: Kind = Kind.HAZARD
    overlap: int = 128
    figures: tuple[Figure, ...] = ()

    def __post_init__(self) -> None:
        codes = [code for code, _ in self.names]
        if len(set(codes)) != len(codes) or not all(map(CODE.fullmatch, codes)):
            raise ValueError(f"profile `{self.use}`: codes must be distinct, of letters and digits")
        if not 0 <= self.overlap < self.window or self.turns == 1:
            raise ValueError(
                f"profile `{self.use}`: overlap is {self.overlap}, window {self.window}, turns {self.turns}"
            )

    @property
    def task(self) -> Task:
        return Task.GENERATE

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(code for code, _ in self.names)
