"""One model directory, checked, listed and compared: what `gatehouse models` does before it prints.

Hashing and the refusal of unsafe files are the model host's own code, run as a program: what passes here is what the
host will accept. After it the guard itself is built, as a start would build it, so that a tokenizer or a template
that cannot work is found now. Nothing is contacted, nothing is written but the manifest, and that one only when all
else holds.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from gateway.guard_settings import GuardSettings
from guards.checkpoint import problems_of
from guards.errors import GuardSetupError
from guards.generative.guard import GenerativeGuard
from guards.memory import Remembering
from guards.profiles import label_classifier
from guards.profiles.configured import Configured, configured
from guards.profiles.generative import GenerativeProfile, Subject
from guards.profiles.known import PROFILES
from guards.profiles.profile import ModelProfile
from guards.registry import ModelSource, build
from guards.verdict import Guard

MANIFEST: Final = "manifest.json"
_SIZES: Final = (0, 1)
"""Exit statuses of the model host's own arithmetic for a configuration that it can read: it fits, it does not."""
GUIDELINE: Final = "The text shall not help anyone to hurt people, and shall not ask for such help."


class ModelRefused(Exception):
    """The directory cannot be used; `problems` has one line for each thing to mend, with its file."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Found:
    """A directory that holds."""

    path: Path
    digest: str
    """`sha256:…`, the identity that records cite."""
    files: int
    profile: str
    template: str = ""
    """`sha256:…` of the prompt template, for guards that have one."""
    notes: tuple[str, ...] = ()
    """What differs from what is publicly known of such a model, and is no reason to refuse it."""


@dataclass(frozen=True, slots=True)
class Addition:
    """What a manifest is to say."""

    name: str
    licence: str
    profile: str
    has_weights: bool = True


def add(path: Path, addition: Addition) -> Found:
    """Check everything and write the manifest, or leave the directory as it was. Raises ModelRefused."""
    profile = PROFILES.get(addition.profile)
    if profile is not None and (wrong := problems_of(path, profile, addition.has_weights)):
        raise ModelRefused(*wrong)
    about = ["--name", addition.name, "--license", addition.licence, "--profile", addition.profile]
    with as_it_was_if_refused(path):
        digest, files = _run("write", path, *about)
        guard = _built(path, as_shipped(addition.profile), addition.has_weights)
    return _found(path, digest, files, addition.profile, guard)


def add_engine(path: Path, name: str, licence: str) -> Found:
    """The same for what the model host generates with: an architecture that it runs. Raises ModelRefused."""
    for needed in ("*.safetensors", "tokenizer.json"):
        if not any(path.glob(needed)):
            raise ModelRefused(f"`{path}` has no `{needed}`")
    with as_it_was_if_refused(path):
        digest, files = _run("write", path, "--name", name, "--license", licence)
        done = _python("engine.size_command", "--model", str(path.absolute()), "--gpu", "1", "--json")
        if done.returncode not in _SIZES:
            raise ModelRefused(_last_line(done).partition(": ")[2])
    return Found(path, digest, files, "")


@contextmanager
def as_it_was_if_refused(path: Path) -> Iterator[None]:
    """A refused directory keeps no manifest that says it is fine, and loses none that it had."""
    before = _bytes(path / MANIFEST)
    try:
        yield
    except ModelRefused:
        with suppress(OSError):
            if before is None:
                (path / MANIFEST).unlink()
            else:
                (path / MANIFEST).write_bytes(before)
        raise


def verify(path: Path, settings: GuardSettings | None = None) -> Found:
    """Compare every byte with the manifest, then look at the whole as `add` does. Raises ModelRefused.

    `settings` are those of a configured guard; without them the manifest says which profile it is.
    """
    if settings is not None and not settings.is_local and not (path / MANIFEST).exists():
        guard = _built(path, Configured(settings.profile, settings.options), False)
        return Found(path, guard.identity.weights if guard else "", 0, settings.profile.use)
    digest, files = _run("verify", path)
    named = manifest(path).get("profile")
    name = named if isinstance(named, str) else ""
    has_weights = settings.is_local if settings else _has_weights(path)
    chosen = described(path, settings)
    if chosen is not None and (wrong := problems_of(path, chosen.profile, has_weights)):
        raise ModelRefused(*wrong)
    return _found(path, digest, files, settings.profile.use if settings else name, _built(path, chosen, has_weights))


def manifest(path: Path) -> Mapping[str, object]:
    """The manifest as it claims to be; nothing is compared. Raises ModelRefused."""
    data = _bytes(path / MANIFEST)
    if data is None:
        raise ModelRefused(f"`{path / MANIFEST}` is missing; gatehouse models add {path} --profile PROFILE")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
        raise ModelRefused(f"`{path / MANIFEST}` is not a manifest")
    return found


def claimed_digest(listed: Mapping[str, object]) -> str:
    """The identity that the manifest claims: over names, sizes and hashes of its files."""
    canonical = json.dumps(listed.get("files"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def described(path: Path, settings: GuardSettings | None) -> Configured | None:
    """What the model in the directory is: by its configuration, or by the profile that its manifest names."""
    if settings is not None:
        return Configured(settings.profile, settings.options)
    named = manifest(path).get("profile")
    return as_shipped(named) if isinstance(named, str) else None


def _found(path: Path, digest: str, files: int, profile: str, guard: Guard | None) -> Found:
    inner = guard.guard if isinstance(guard, Remembering) else guard
    notes = inner.notes if isinstance(inner, GenerativeGuard) else ()
    return Found(path, digest, files, profile, guard.identity.template if guard else "", notes)


def as_shipped(name: str) -> Configured | None:
    """The profile without a configuration. None where it says nothing without one, or is not known here."""
    if name == label_classifier.USE or name not in PROFILES or PROFILES[name].architecture == "":
        return None
    return configured(name, name, {})


def _built(path: Path, chosen: Configured | None, has_weights: bool) -> Guard | None:
    """The guard as a start would build it. None when only a configuration can say what it is."""
    if chosen is None:
        return None
    use = chosen.profile.use
    client = httpx.AsyncClient(transport=httpx.MockTransport(_nobody))  # never asked, so nothing is open
    source = ModelSource(path, client, use, has_weights, profile=chosen.profile, options=chosen.options)
    try:
        return build(use, guideline_for(chosen.profile), {use: source})
    except GuardSetupError as exc:
        raise ModelRefused(f"`{path}`: {exc.problem}") from exc


def guideline_for(profile: ModelProfile) -> dict[str, object]:
    """Options of a detector that stand in for a policy's: a model that is asked one guideline a prompt needs one."""
    needs_one = isinstance(profile, GenerativeProfile) and profile.subject is Subject.GUIDELINE
    return {"custom": {"C1": GUIDELINE}} if needs_one else {}


def _nobody(_request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("a check contacts nobody")


def _has_weights(path: Path) -> bool:
    return any(path.glob("*.safetensors"))


def _run(command: str, path: Path, *arguments: str) -> tuple[str, int]:
    """The model host's own program: (digest, number of files)."""
    done = _python("engine.manifest", command, str(path), *arguments)
    if done.returncode != 0:
        _code, _, problem = _last_line(done).partition(": ")
        raise ModelRefused(problem or _code)
    digest, _, rest = done.stdout.strip().partition(" ")
    return digest, int(rest.rsplit(" ", 2)[-2])


def _python(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", module, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, our program


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip().splitlines() or ["it failed"])[-1]


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
