"""`guards:` of gatehouse.yaml: which model judges under which name, and where it runs.

An entry is keyed by the name that a policy writes after `use:`. Without `url` the local model host runs the model in
`path`; with it a server does, and `path` holds the tokenizer and the template only. Each option is checked by the
profile that gives it meaning. The shipped starter guards are there without an entry. Nothing is opened here but a key
file: whether the directories are whole is found out by who reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway import peers
from gateway.local_model import DEVICES
from guards.profiles import configured as profiles
from guards.profiles.configured import Configured
from guards.profiles.known import PROFILES
from guards.profiles.profile import ModelProfile, Task
from guards.registry import RULES, STARTER_DIRECTORIES
from policies import fields
from policies.errors import Place, Problems, did_you_mean
from policies.fields import Section
from policies.options import read_options
from policies.read_detectors import NAME
from policies.vocabulary import KNOWN_GUARDS, GuardFacts, facts_of
from policies.yaml_strict import Entry, Node, Scalar, Table, parse

PRECISIONS: Final = ("auto", "fp32", "bf16", "int8")
_OF_GENERATIVE: Final = (*PRECISIONS, "int4", "fp8")
_COMMON: Final = ("profile", "path")
_LOCAL: Final = ("precision", "device", "deterministic", "kv")
_REMOTE: Final = ("url", "model", "api_key_file", "timeout")
_MODEL_NAME: Final = fields.matching(r"[^\s\x00-\x1f]{1,200}", "a name without spaces")


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """One guard model: what it is and where it runs."""

    use: str
    """The name a policy writes after `use:`."""
    profile: ModelProfile
    path: Path | None
    """Its directory. None only for a moderation service, which has no files here."""
    place: Place | None = None
    """Where the configuration names it; None for a shipped guard that no configuration names."""
    url: str = ""
    """Ends in `/v1`. Empty: the local model host runs it."""
    model: str = ""
    """The server's name for it; on the local model host `use`."""
    api_key: str = field(default="", repr=False)
    connect_s: float = 2.0
    precision: str = "auto"
    device: str = "auto"
    """`auto`: a GPU where torch sees one, else the processor."""
    is_deterministic: bool = False
    """Scores do not depend on what else is in a batch, at the price of speed. For replays."""
    kv_bytes: int = 0
    """Memory for keys and values of a generative guard; 0: as the model host has it."""
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """What the profile leaves to the configuration and the guard has to be told."""

    @property
    def is_local(self) -> bool:
        """Whether our own model host runs it."""
        return not self.url


Guards = Mapping[str, GuardSettings]
"""By `use`."""


def shipped() -> Guards:
    """The starter guards, as they are without a configuration."""
    starters = {use: GuardSettings(use, PROFILES[use], path, model=use) for use, path in STARTER_DIRECTORIES.items()}
    return MappingProxyType(starters)


def read_guards(node: Node | None, file: Path, problems: Problems, read_key: bool = True) -> Guards:
    """The configured guards and the shipped ones. `read_key` is False for who only wants to know what there is."""
    found = fields.table(node, "`guards`", problems) if node else None
    reader = _Reader(file.parent, problems, read_key)
    settings = [reader.guard(entry) for entry in (found.entries if found else ())]
    return MappingProxyType({**shipped(), **{one.use: one for one in settings if one}})


def guards_in(file: Path) -> Guards:
    """`guards:` of a configuration, and nothing else of it: for who checks policies where no gateway runs.

    Raises FileErrors with every problem in that section, or OSError.
    """
    problems = Problems()
    top = parse(file.read_bytes(), str(file), problems)
    entries = top.entries if isinstance(top, Table) else ()
    guards = read_guards(next((one.value for one in entries if one.key == "guards"), None), file, problems, False)
    problems.raise_if_any()
    return guards


def facts(guards: Guards) -> Mapping[str, GuardFacts]:
    """What a policy may use: what ships, and what is configured."""
    return MappingProxyType(
        {**KNOWN_GUARDS, **{use: facts_of(one.profile, one.options) for use, one in guards.items()}}
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    directory: Path
    problems: Problems
    read_key: bool

    def guard(self, entry: Entry) -> GuardSettings | None:
        before = len(self.problems)
        name = Scalar(entry.place, entry.key, entry.key)
        fields.matching(NAME, "a name of small letters, digits and `_`")(name, "guard", self.problems)
        if entry.key in RULES:
            self.problems.add(entry.place, f"guard `{entry.key}` is one without a model and needs no entry")
        found = fields.table(entry.value, f"guard `{entry.key}`", self.problems)
        profile_name = self._profile_name(entry, found) if found else None
        if found is None or profile_name is None:
            return None
        options = sorted(profiles.options_of(profile_name))
        section = Section.open(found, f"guard `{entry.key}`", self.problems, (*_COMMON, *_LOCAL, *_REMOTE, *options))
        if section is None:
            return None
        configured = read_options(section, options, lambda values: self._configured(profile_name, entry.key, values))
        settings = self._settings(entry, section, configured) if configured else None
        return settings if len(self.problems) == before else None

    def _configured(self, profile: str, use: str, values: Mapping[str, object]) -> Configured:
        """A template is a file beside the configuration, like every other path in it."""
        template = values.get("template")
        if isinstance(template, str) and template:
            values = {**values, "template": str((self.directory / template).absolute())}
        return profiles.configured(profile, use, values)

    def _profile_name(self, entry: Entry, found: Table) -> str | None:
        """Looked for before the other keys, because it says which of them there are."""
        known = profiles.NAMES
        node = next((inner.value for inner in found.entries if inner.key == "profile"), None)
        if node is None:
            if entry.key in known:
                return entry.key
            hint = did_you_mean(entry.key, known)
            told = f"guard `{entry.key[:40]}` has no `profile`, and no profile is called so"
            self.problems.add(entry.place, told, hint)
            return None
        name = fields.choice(known)(node, "`profile`", self.problems)
        if name and entry.key in PROFILES and name != entry.key:
            told = f"guard `{entry.key}` has the profile `{name}`, but is named as another one"
            self.problems.add(node.place, told, "give the guard a name of your own")
            return None
        return name

    def _settings(self, entry: Entry, section: Section, configured: Configured) -> GuardSettings:
        profile = configured.profile
        remote = "url" in section
        precisions = _OF_GENERATIVE if profile.task is Task.GENERATE else PRECISIONS
        self._refuse_without_meaning(section, remote, profile)
        url = section.get("url", peers.url, "")
        return GuardSettings(
            use=entry.key,
            profile=profile,
            path=self._path(entry, section, profile),
            place=entry.place,
            url=peers.api_base(url) if url else "",
            model=section.require("model", _MODEL_NAME, "") if remote else entry.key,
            api_key=peers.api_key(section, self.directory) if self.read_key else "",
            connect_s=section.get("timeout", fields.duration_ms(1, 60_000), 2000) / 1000,
            precision=section.get("precision", fields.choice(precisions), "auto"),
            device=section.get("device", fields.choice(DEVICES), "auto"),
            is_deterministic=section.get("deterministic", fields.boolean, False),
            kv_bytes=section.get("kv", fields.size_bytes(16 * 1024**2), 0),
            options=configured.options,
        )

    def _refuse_without_meaning(self, section: Section, remote: bool, profile: ModelProfile) -> None:
        for key in _LOCAL if remote else ("model", "api_key_file", "timeout"):
            if key in section:
                where = "the server decides it" if remote else "there is no `url`"
                self.problems.add(section.place_of(key), f"`{key}` has no meaning: {where}")
        if "kv" in section and not remote and profile.task is not Task.GENERATE:
            self.problems.add(section.place_of("kv"), "`kv` has no meaning: a classifier keeps no keys and values")
        if profile.task is Task.MODERATE:
            if not remote:
                self.problems.add(section.place, f"{section.what} has no `url`; no model host runs `{profile.use}`")
            if "path" in section:
                self.problems.add(
                    section.place_of("path"), "`path` has no meaning: a moderation service has no files here"
                )

    def _path(self, entry: Entry, section: Section, profile: ModelProfile) -> Path | None:
        if profile.task is Task.MODERATE:
            return None
        shipped_at = STARTER_DIRECTORIES.get(entry.key)
        if "path" not in section and shipped_at is not None:
            return shipped_at
        name = section.require("path", fields.text, "")
        return (self.directory / name).absolute()
