"""What the front reads of a generative guard's directory: tokenizer, template, the names of special tokens, the digest.

Where our model host runs it, there is a manifest, and each file is compared with it. For a server elsewhere the
directory need hold only the small files; then the digest is over what was read, since it decides what the model is
asked. A missing template stops the start: without it every prompt would be a guess.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from guards.checkpoint import embedding_rows
from guards.errors import GuardSetupError
from guards.model_files import FORMAT
from guards.profiles.generative import GenerativeProfile

MAX_BYTES = 64 * 1024 * 1024
_NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The small files of one model."""

    tokenizer_json: str
    template: str
    names: Mapping[str, str]
    """Special tokens that a template writes by name, such as `bos_token`."""
    digest: str
    """Of the manifest's files, which names the weights; without one, of what was read."""
    positions: int
    """How many tokens the model takes; 0: its files do not say."""
    vocabulary: int
    """How many tokens its embedding has; 0: its files do not say."""
    ends: tuple[int, ...]
    """Ids that end an answer, by generation_config.json."""


def read_checkpoint(profile: GenerativeProfile, directory: Path, sealed: bool, template: Path | None) -> Checkpoint:
    """Read the directory, or GuardSetupError. `sealed` requires a manifest."""
    reader = _Reader(profile.use, directory, sealed)
    tokenizer_json = reader.text("tokenizer.json")
    settings = reader.optional("tokenizer_config.json")
    config = reader.optional("config.json")
    _check_architecture(profile, config, sealed)
    source = reader.text(str(template)) if template else _template(reader, settings)
    ends = reader.optional("generation_config.json").get("eos_token_id", ())
    ends = [ends] if isinstance(ends, int) else ends
    return Checkpoint(
        tokenizer_json,
        source,
        {name: token for name in _NAMED if (token := _token(settings.get(name)))},
        reader.digest,
        _size(config, "max_position_embeddings"),
        embedding_rows(config),
        tuple(id_ for id_ in ends if type(id_) is int) if isinstance(ends, list) else (),
    )


def template_digest(source: str) -> str:
    """What the record of a verdict cites."""
    return f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"


def _check_architecture(profile: GenerativeProfile, config: Mapping[str, object], required: bool) -> None:
    if not profile.architecture or (not config and not required):
        return
    if config.get("architectures") != [profile.architecture]:
        raise GuardSetupError(profile.use, f"`config.json` has not the architecture {profile.architecture}")


def _template(reader: _Reader, settings: Mapping[str, object]) -> str:
    """The file of its own comes first, as it does for those who made the checkpoint."""
    if reader.has("chat_template.jinja"):
        return reader.text("chat_template.jinja")
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = named.get("default")
    if not found and reader.has("chat_template.json"):
        found = reader.optional("chat_template.json").get("chat_template")
    if not isinstance(found, str) or not found.strip():
        raise reader.error("there is no chat template: `chat_template.jinja`, or one in `tokenizer_config.json`")
    return found


def _size(config: Mapping[str, object], name: str) -> int:
    """A number of the text model, whose config is a part of the whole where there are pictures, too."""
    inner = config.get("text_config")
    value = inner.get(name) if isinstance(inner, dict) else config.get(name)
    return value if type(value) is int else 0


def _token(value: object) -> str:
    token = value.get("content") if isinstance(value, dict) else value
    return token if isinstance(token, str) else ""


class _Reader:
    def __init__(self, guard: str, directory: Path, sealed: bool) -> None:
        self._guard, self._directory = guard, directory
        self._files: Mapping[str, object] | None = None
        self._read = hashlib.sha256()
        if sealed or self.has("manifest.json"):
            manifest = self._object("manifest.json", self._bytes("manifest.json"))
            files = manifest.get("files")
            if manifest.get("format") != FORMAT or not isinstance(files, dict):
                raise self.error(f"`manifest.json` is not a {FORMAT} with `files`")
            self._files = files

    @property
    def digest(self) -> str:
        if self._files is None:
            return f"sha256:{self._read.hexdigest()}"
        canonical = json.dumps(self._files, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return f"sha256:{hashlib.sha256(canonical).hexdigest()}"

    def has(self, name: str) -> bool:
        return (self._directory / name).is_file()

    def text(self, name: str) -> str:
        try:
            return self._checked(name).decode()
        except UnicodeDecodeError as exc:
            raise self.error(f"`{name}` is not UTF-8") from exc

    def optional(self, name: str) -> dict[str, object]:
        return self._object(name, self._checked(name)) if self.has(name) else {}

    def error(self, problem: str) -> GuardSetupError:
        return GuardSetupError(self._guard, problem)

    def _checked(self, name: str) -> bytes:
        """A file of the directory is the one that the manifest lists; one that an option names is the operator's."""
        data = self._bytes(name)
        if self._files is not None and not Path(name).is_absolute():
            entry = self._files.get(name)
            expected = entry.get("sha256") if isinstance(entry, dict) else None
            if hashlib.sha256(data).hexdigest() != expected:
                raise self.error(f"`{name}` is not the file that the manifest lists")
        self._read.update(hashlib.sha256(data).digest())
        return data

    def _bytes(self, name: str) -> bytes:
        path = self._directory / name
        try:
            if path.stat().st_size > MAX_BYTES:
                raise self.error(f"`{name}` is longer than {MAX_BYTES} bytes")
            return path.read_bytes()
        except OSError as exc:
            raise self.error(f"cannot read `{name}` in {self._directory}: {exc.strerror}") from exc

    def _object(self, name: str, data: bytes) -> dict[str, object]:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise self.error(f"`{name}` is not JSON") from exc
        if not isinstance(value, dict):
            raise self.error(f"`{name}` is not a JSON object")
        return value
