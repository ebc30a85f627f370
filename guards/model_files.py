"""A model directory as the front reads it: tokenizer, thresholds and the digest of the weights.

The front loads no weights; it reads the manifest, so that answers can be tied to the weights they came from, and the
small files, each checked against its digest in the manifest. Whatever is missing or different stops the start.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from guards.errors import GuardSetupError
from guards.profiles.profile import Activation, Profile
from guards.verdict import PPM

FORMAT = "gatehouse-manifest/v1"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the model's makers would put the line; a policy may put it elsewhere."""

    score_ppm: int
    category_ppm: tuple[tuple[str, int], ...] = ()
    """(code, threshold), sorted."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What a guard needs to know of its model."""

    profile: Profile
    digest: str
    """`sha256:…` of the manifest's `files`; it names the weights in answers and records."""
    tokenizer_json: str
    thresholds: Thresholds


def read_model(profile: Profile, directory: Path) -> ModelFiles:
    """Read and check the directory of a model that the profile describes, or GuardSetupError."""
    reader = _Reader(profile, directory)
    reader.check_config()
    return ModelFiles(profile, reader.digest, reader.text("tokenizer.json"), reader.thresholds())


class _Reader:
    def __init__(self, profile: Profile, directory: Path) -> None:
        self._profile, self._directory = profile, directory
        manifest = self._object("manifest.json", self._bytes("manifest.json"))
        files = manifest.get("files")
        if manifest.get("format") != FORMAT or not isinstance(files, dict):
            raise self._error(f"`manifest.json` is not a {FORMAT} with `files`")
        self._files = files
        canonical = json.dumps(files, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        self.digest = f"sha256:{hashlib.sha256(canonical).hexdigest()}"

    def text(self, name: str) -> str:
        try:
            return self._checked(name).decode()
        except UnicodeDecodeError as exc:
            raise self._error(f"`{name}` is not UTF-8") from exc

    def check_config(self) -> None:
        """The checkpoint is of the class, with the labels, that the profile gives meaning to."""
        profile, config = self._profile, self._object("config.json", self._checked("config.json"))
        if config.get("architectures") != [profile.architecture]:
            raise self._error(f"`config.json` has not the architecture {profile.architecture}")
        if config.get("id2label") != {str(i): label for i, label in enumerate(profile.labels)}:
            raise self._error(f"`config.json` has not the labels {', '.join(profile.labels)}")
        is_multi = config.get("problem_type") == "multi_label_classification"
        if is_multi != (profile.activation is Activation.SIGMOID):
            raise self._error(f"`problem_type` does not fit {profile.activation} scores")
        positions = config.get("max_position_embeddings")
        if not isinstance(positions, int) or positions < profile.window:
            raise self._error(f"`max_position_embeddings` is below the window of {profile.window} tokens")

    def thresholds(self) -> Thresholds:
        found = self._object("thresholds.json", self._checked("thresholds.json"))
        categories = found.get("categories", {})
        if not isinstance(categories, dict) or not set(categories) <= set(self._profile.categories):
            raise self._error("`thresholds.json` has categories that the profile has not")
        by_code = tuple((code, self._threshold(value)) for code, value in sorted(categories.items()))
        return Thresholds(self._threshold(found.get("score")), by_code)

    def _threshold(self, value: object) -> int:
        if type(value) not in (int, float) or not 0.0 < value <= 1.0:  # type: ignore[operator]
            raise self._error("`thresholds.json` holds a threshold that is not a number above 0 and up to 1")
        return to_ppm(float(value))  # type: ignore[arg-type]

    def _checked(self, name: str) -> bytes:
        entry, data = self._files.get(name), self._bytes(name)
        expected = entry.get("sha256") if isinstance(entry, dict) else None
        if hashlib.sha256(data).hexdigest() != expected:
            raise self._error(f"`{name}` is not the file that the manifest lists")
        return data

    def _bytes(self, name: str) -> bytes:
        try:
            return (self._directory / name).read_bytes()
        except OSError as exc:
            raise self._error(f"cannot read `{name}` in {self._directory}: {exc.strerror}") from exc

    def _object(self, name: str, data: bytes) -> dict[str, object]:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise self._error(f"`{name}` is not JSON") from exc
        if not isinstance(value, dict):
            raise self._error(f"`{name}` is not a JSON object")
        return value

    def _error(self, problem: str) -> GuardSetupError:
        return GuardSetupError(self._profile.use, problem)


def to_ppm(probability: float) -> int:
    """Parts per million, halves up, so that equal probabilities give equal records everywhere."""
    return int(probability * PPM + 0.5)
