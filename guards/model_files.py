"""A model directory as the front reads it: tokenizer, thresholds and the digest of the weights.

The front loads no weights; it reads the manifest, so that answers can be tied to the weights they came from, and the
small files, each checked against its digest in the manifest. Whatever is missing or different stops the start.
Where another server runs the model, its weights cannot be seen from here: a directory without a manifest is allowed,
and the digest then names the small files that this process judged with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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
    """`sha256:…` of the manifest's `files`; it names the weights in answers and records. Without a manifest, of the
    small files."""
    tokenizer_json: str
    thresholds: Thresholds


def read_model(profile: Profile, directory: Path, *, remote: bool = False) -> ModelFiles:
    """Read and check the directory of a model that the profile describes, or GuardSetupError.

    `remote`: another server runs the model, so that a manifest is welcome and not required.
    """
    reader = _Reader(profile, directory, needs_manifest=not remote)
    reader.check_config()
    return ModelFiles(profile, reader.digest, reader.text("tokenizer.json"), reader.thresholds())


_SMALL = ("config.json", "tokenizer.json", "thresholds.json")


class _Reader:
    def __init__(self, profile: Profile, directory: Path, *, needs_manifest: bool) -> None:
        self._profile, self._directory = profile, directory
        if needs_manifest or (directory / "manifest.json").exists():
            self._files = self._manifest()
        else:
            self._files = self._found()
        canonical = json.dumps(self._files, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        self.digest = f"sha256:{hashlib.sha256(canonical).hexdigest()}"

    def _manifest(self) -> Mapping[str, object]:
        manifest = self._object("manifest.json", self._bytes("manifest.json"))
        files = manifest.get("files")
        if manifest.get("format") != FORMAT or not isinstance(files, dict):
            raise self._error(f"`manifest.json` is not a {FORMAT} with `files`")
        return files

    def _found(self) -> Mapping[str, object]:
        """What a manifest would say of the small files."""
        there = {name: self._bytes(name) for name in _SMALL if (self._directory / name).exists()}
        return {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in there.items()}

    def text(self, name: str) -> str:
        try:
            return self._checked(name).decode()
        except UnicodeDecodeError as exc:
            raise self._error(f"`{name}` is not UTF-8") from exc

    def check_config(self) -> None:
        """The checkpoint is of the class, with the labels, that the profile gives meaning to."""
        profile, config = self._profile, self._object("config.json", self._checked("config.json"))
        allowed = tuple(dict.fromkeys((profile.architecture, *profile.architectures)))
        found = config.get("architectures")
        if not isinstance(found, list) or len(found) != 1 or found[0] not in allowed:
            raise self._error(f"`config.json` has not the architecture {' or '.join(allowed)}")
        if _labels(config) not in (profile.labels, *profile.spellings):
            raise self._error(f"`config.json` has not the labels {', '.join(profile.labels)}")
        is_multi = config.get("problem_type") == "multi_label_classification"
        if is_multi != (profile.activation is Activation.SIGMOID):
            raise self._error(f"`problem_type` does not fit {profile.activation} scores")
        positions = config.get("max_position_embeddings")
        if not isinstance(positions, int) or positions < profile.window:
            raise self._error(f"`max_position_embeddings` is below the window of {profile.window} tokens")

    def thresholds(self) -> Thresholds:
        if "thresholds.json" not in self._files:
            return Thresholds(self._profile.threshold_ppm)  # nobody has measured this checkpoint
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


def _labels(config: Mapping[str, object]) -> tuple[object, ...] | None:
    """In the order of the outputs. A config that leaves them out means `LABEL_0` and so on, two unless it says more."""
    named = config.get("id2label")
    if named is None:
        count = config.get("num_labels", 2)
        return tuple(f"LABEL_{i}" for i in range(count)) if type(count) is int and 2 <= count <= 1_000 else None
    if not isinstance(named, dict) or set(named) != {str(i) for i in range(len(named))}:
        return None
    return tuple(named[str(i)] for i in range(len(named)))


def to_ppm(probability: float) -> int:
    """Parts per million, halves up, so that equal probabilities give equal records everywhere."""
    return int(probability * PPM + 0.5)
