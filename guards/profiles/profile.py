"""The facts about a guard model that code must not guess: labels, their meaning, window, special tokens, languages.

A profile is data. The code that scores reads it, a checkpoint that does not fit it is refused at start, and what it
says of languages and licence is what `docs/` and reports repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Activation(StrEnum):
    """How scores of one text relate."""

    SOFTMAX = "softmax"
    """One of the labels holds; the probabilities add up to 1."""
    SIGMOID = "sigmoid"
    """Each label holds or not; each has a probability of its own."""
    TOKENS = "tokens"
    """A generative guard: the label is a token of its answer, scored against the other label tokens."""


@dataclass(frozen=True, slots=True)
class Framing:
    """The special tokens around one window, and the one that stands for what the vocabulary lacks."""

    opening: str
    closing: str
    unknown: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One guard model."""

    use: str
    """The name a policy writes after `use:`."""
    title: str
    architecture: str
    """The one entry of `architectures` in config.json."""
    activation: Activation
    labels: tuple[str, ...]
    """In the order of the model's outputs, spelled as in its config."""
    flagged: tuple[str, ...]
    """Labels whose probabilities add up to the score. More than one only under softmax."""
    categories: tuple[str, ...]
    """Codes a verdict reports besides the score; for a classifier these are labels."""
    names: tuple[tuple[str, str], ...]
    """(code, name) of the categories, for people."""
    window: int
    """Tokens the model reads at once, special tokens included."""
    overlap: int
    framing: Framing | None
    """None for generative guards, whose template frames the text."""
    languages: tuple[str, ...]
    """Those whose quality is stated in the model card."""
    licence: str

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels) or not self.flagged or not set(self.flagged) <= set(self.labels):
            raise ValueError(f"profile `{self.use}`: flagged labels must be among distinct labels")
        if len(self.flagged) > 1 and self.activation is not Activation.SOFTMAX:
            raise ValueError(f"profile `{self.use}`: only probabilities of exclusive labels can be added")
        if self.framing is not None and not set(self.categories) <= set(self.labels):
            raise ValueError(f"profile `{self.use}`: categories of a classifier must be labels")
        if set(self.categories) != {code for code, _ in self.names}:
            raise ValueError(f"profile `{self.use}`: every category needs a name")
        if not 0 <= self.overlap < self.content_window:
            raise ValueError(f"profile `{self.use}`: overlap is {self.overlap}, window is {self.window}")

    @property
    def content_window(self) -> int:
        """Tokens of the text that fit besides the framing."""
        return self.window - (2 if self.framing else 0)
