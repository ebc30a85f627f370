"""The facts about a guard model that code must not guess: labels, their meaning, window, special tokens, languages.

A profile is data. The code that scores reads it, a checkpoint that does not fit it is refused at start, and what it
says of languages and licence is what `docs/` and reports repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What a guard model looks for, and so what its score is the probability of."""

    ATTACK = "attack"
    """Text that tries to override the instructions of who runs the model."""
    HAZARD = "hazard"
    """Content that may do harm, whoever asks for it."""


class Task(StrEnum):
    """Which call of a model server answers for a guard."""

    CLASSIFY = "classify"
    """`/classify`: rows of token ids to rows of probabilities."""
    GENERATE = "generate"
    """`/v1/completions`: token ids to the probabilities of the next token."""
    MODERATE = "moderate"
    """`/v1/moderations`: text to scores. No model of ours runs it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that the makers of a model published. Ours stand in the model card, with their command."""

    what: str
    value: str
    source: str


class ModelProfile(Protocol):
    """What every profile says, whatever the guard behind it does with it. Registered in guards/profiles/known.py."""

    @property
    def use(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def task(self) -> Task: ...
    @property
    def architecture(self) -> str:
        """The one entry of `architectures` in config.json; empty where no model of ours runs."""

    @property
    def categories(self) -> Sequence[str]:
        """Codes that a verdict reports. The same code may mean another thing in another profile."""

    @property
    def names(self) -> Sequence[tuple[str, str]]:
        """(code, name) of the categories, for people."""

    @property
    def window(self) -> int: ...
    @property
    def languages(self) -> Sequence[str]: ...
    @property
    def licence(self) -> str: ...
    @property
    def figures(self) -> Sequence[Figure]: ...


class Activation(StrEnum):
    """How scores of one text relate."""

    SOFTMAX = "softmax"
    """One of the labels holds; the probabilities add up to 1."""
    SIGMOID = "sigmoid"
    """Each label holds or not; each has a probability of its own."""


@dataclass(frozen=True, slots=True)
class Framing:
    """The special tokens around one window, and the one that stands for what the vocabulary lacks."""

    opening: str
    closing: str
    unknown: str = ""
    """Empty where every byte has a token."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One sequence classifier."""

    use: str
    """The name a policy writes after `use:`."""
    title: str
    kind: Kind
    architecture: str
    """The one entry of `architectures` in config.json."""
    activation: Activation
    labels: tuple[str, ...]
    """In the order of the model's outputs, spelled as in its config."""
    flagged: tuple[str, ...]
    """Labels whose probabilities add up to the score. More than one only under softmax."""
    categories: tuple[str, ...]
    """Labels that a verdict reports besides the score."""
    names: tuple[tuple[str, str], ...]
    """(code, name) of the categories, for people."""
    window: int
    """Tokens the model reads at once, special tokens included."""
    overlap: int
    framing: Framing | None
    """None: as the post-processor of the model's own tokenizer.json has it."""
    languages: tuple[str, ...]
    """Those whose quality is stated in the model card."""
    licence: str
    figures: tuple[Figure, ...] = ()
    architectures: tuple[str, ...] = ()
    """Others that may serve: the code that scores reads labels and tokens, never layers."""
    spellings: tuple[tuple[str, ...], ...] = ()
    """Other names that a config gives the same labels, in the same order."""
    third_party: tuple[str, ...] = ()
    """Labels that add up to the score of text that neither user nor model wrote; empty: `flagged` holds for all."""
    threshold_ppm: int = 500_000
    """Where no thresholds.json says better: an uncalibrated default."""
    probes: tuple[tuple[str, str], ...] = ()
    """Pairs of texts that the tokenizer has to read alike, or it is not the one that the model was trained with."""

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels) or not self.flagged or not self._scored <= set(self.labels):
            raise ValueError(f"profile `{self.use}`: flagged labels must be among distinct labels")
        if max(len(self.flagged), len(self.third_party)) > 1 and self.activation is not Activation.SOFTMAX:
            raise ValueError(f"profile `{self.use}`: only probabilities of exclusive labels can be added")
        if not set(self.categories) <= set(self.labels):
            raise ValueError(f"profile `{self.use}`: categories of a classifier must be labels")
        if set(self.categories) != {code for code, _ in self.names}:
            raise ValueError(f"profile `{self.use}`: every category needs a name")
        if any(len(names) != len(self.labels) for names in self.spellings):
            raise ValueError(f"profile `{self.use}`: a spelling needs a name for each of {len(self.labels)} labels")
        if not 0 <= self.overlap < self.content_window:
            raise ValueError(f"profile `{self.use}`: overlap is {self.overlap}, window is {self.window}")

    @property
    def _scored(self) -> set[str]:
        return {*self.flagged, *self.third_party}

    @property
    def task(self) -> Task:
        return Task.CLASSIFY

    @property
    def content_window(self) -> int:
        """Tokens of the text that fit besides the framing."""
        return self.window - 2
