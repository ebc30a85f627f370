"""A classifier guard before a scripted host that finds the word `attack` in a row of ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from guards.classifier import Classifier
from guards.endpoint import ClassifyEndpoint
from guards.model_files import read_model
from guards.options import ClassifierOptions
from guards.profiles.profile import Profile
from guards.profiles.starter_injection import STARTER_INJECTION
from guards.verdict import Part, Scope
from tests.doubles import ClassifyHost, tiny_tokenizer, write_model

WORDS = ("attack", "hello", "world", "##attack")
TOKENIZER = tiny_tokenizer(WORDS)
ATTACK, CLS, SEP, UNK = (TOKENIZER.token_to_id(token) for token in ("attack", "[CLS]", "[SEP]", "[UNK]"))


def part(text: str) -> Part:
    return Part(Scope.USER, "/messages/0/content", "user", text)


def sees_attack(ids: Sequence[int]) -> list[float]:
    return [0.1, 0.9] if ATTACK in ids else [0.75, 0.25]


class Maker:
    """Makes guards in a directory, and the host that each of them asks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(
        self,
        profile: Profile = STARTER_INJECTION,
        score: Callable[[Sequence[int]], Sequence[float]] = sees_attack,
        max_windows: int = 8,
        options: ClassifierOptions | None = None,
    ) -> tuple[Classifier, ClassifyHost]:
        files = read_model(profile, write_model(self._directory / profile.use, profile, WORDS))
        host = ClassifyHost("m", files.digest, score)
        sums = profile.activation == "softmax"
        endpoint = ClassifyEndpoint(
            profile.use, host.client(), "http://h", "m", len(profile.labels), sums, files.digest
        )
        return Classifier(files, endpoint, options or ClassifierOptions(max_windows=max_windows)), host
