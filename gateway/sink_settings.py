"""The part of gatehouse.yaml about second places of the audit log: `audit: {sinks: […], require: N}`.

What could not work is a problem with its place, found before anything starts: a quorum that no number of places can
make up, a syslog collector that should count for it, a copy beside the log it is a copy of, a key sent in the clear.
Keys to a store are read from files; no message quotes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway import peers, stream_settings
from gateway.audit.sinks.settings import (
    DirectoryPlace,
    ObjectPlace,
    Place,
    SinkSettings,
    SinksSettings,
    SyslogPlace,
)
from policies import fields
from policies.fields import Section
from policies.yaml_strict import Broken, Listing, Node

KEYS: Final = ("sinks", "require")
"""What this module reads of `audit`."""
_COMMON: Final = ("name", "kind", "required", "deadline")
_KEYS_OF_KIND: Final = {
    "directory": ("path",),
    "syslog": ("host", "port", "ca_file", "certificate_file", "key_file", "server_name", "sd_id", "longest"),
    "s3": ("endpoint", "bucket", "prefix", "region", "credentials_file", "ca_file", "retention", "window"),
    "nats": stream_settings.KEYS,
}
_EVERY_KEY: Final = tuple(dict.fromkeys((*_COMMON, *(key for keys in _KEYS_OF_KIND.values() for key in keys))))
_NAME: Final = fields.matching(r"[a-z0-9][a-z0-9_-]{0,31}", "1 to 32 small letters, digits, `_` and `-`")
_HOST: Final = fields.matching(r"[A-Za-z0-9.\-:]{1,253}", "a host name or address")
_SD_ID: Final = fields.matching(r"[A-Za-z0-9_.\-]{1,20}@[0-9]{1,10}", "a name and an enterprise number, `name@32473`")
_BUCKET: Final = fields.matching(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]", "the name of a bucket")
_PREFIX: Final = fields.matching(r"[A-Za-z0-9_.\-/]{1,256}", "letters, digits, `_`, `.`, `-` and `/`")


def read_sinks(audit: Section | None, directory: Path, state: Path) -> SinksSettings:
    """The sinks of the opened section `audit`; `directory` is the configuration's own. Problems go to the section."""
    if audit is None:
        return SinksSettings()
    sinks = _sinks(audit.node("sinks"), audit, directory, state)
    places = 1 + sum(sink.place.holds for sink in sinks)
    require = audit.get("require", fields.integer(1, 64), 1)
    if require > places:
        told = f"`require` is {require}, but only {places} place{'s' if places > 1 else ''} can hold records"
        audit.problems.add(audit.place_of("require"), told, "the local directory counts, a syslog collector does not")
        require = 1
    return SinksSettings(sinks, require, state / "sinks")


def _sinks(node: Node | None, audit: Section, directory: Path, state: Path) -> tuple[SinkSettings, ...]:
    if node is None:
        return ()
    if not isinstance(node, Listing):
        if not isinstance(node, Broken):
            audit.problems.add(node.place, f"`sinks` is {fields.described(node)}, expected a list")
        return ()
    found: dict[str, SinkSettings] = {}
    for item in node.items:
        section = Section.open(item, "a sink", audit.problems, _EVERY_KEY)
        if section is None:
            continue
        sink = _Reader(section, directory, state).sink()
        if sink is None:
            continue
        if sink.name in found:
            section.problems.add(section.place_of("name"), f"two sinks have the name `{sink.name}`")
        found[sink.name] = sink
    return tuple(found.values())


class _Reader:
    """One entry of `sinks`."""

    def __init__(self, section: Section, directory: Path, state: Path) -> None:
        self._section, self._directory, self._state = section, directory, state

    def sink(self) -> SinkSettings | None:
        section = self._section
        before = len(section.problems)
        name = section.require("name", _NAME, "sink")
        kind = section.require("kind", fields.choice(_KEYS_OF_KIND, ("kafka",)), "")
        if not kind:
            return None
        for key in _EVERY_KEY:
            if key in section and key not in (*_COMMON, *_KEYS_OF_KIND[kind]):
                section.problems.add(section.place_of(key), f"a sink of kind `{kind}` has no `{key}`")
        deadline_ms = section.get("deadline", fields.duration_ms(10, 60_000), 2000)
        required = section.get("required", fields.boolean, False)
        readers: dict[str, Callable[[], Place]] = {
            "directory": self._local,
            "syslog": self._syslog,
            "s3": self._objects,
            "nats": lambda: stream_settings.read_stream(section, self._file),
        }
        place = readers[kind]()
        if required and not place.holds:
            told = "a syslog collector never says what it has, so it cannot be required"
            section.problems.add(section.place_of("required"), told)
        if isinstance(place, ObjectPlace) and place.window_s * 1000 >= deadline_ms:
            section.problems.add(section.place_of("window"), "`window` is not shorter than `deadline`")
        if len(section.problems) > before:
            return None
        return SinkSettings(name, place, required, deadline_ms / 1000)

    def _local(self) -> Place:
        path = (self._directory / self._section.require("path", fields.text, "copy")).absolute()
        if path.resolve().is_relative_to(self._state.resolve()) or self._state.resolve().is_relative_to(path.resolve()):
            told = "`path` and `state` are inside each other, and would be lost together"
            self._section.problems.add(self._section.place_of("path"), told, "another disk, or another host's share")
        return DirectoryPlace(path)

    def _syslog(self) -> Place:
        section = self._section
        certificate, key = self._file("certificate_file"), self._file("key_file")
        if (certificate is None) != (key is None):
            section.problems.add(section.place, "a sink has both `certificate_file` and `key_file`, or neither")
        return SyslogPlace(
            host=section.require("host", _HOST, "localhost"),
            port=section.get("port", fields.integer(1, 65_535), 6514),
            ca=self._required_file("ca_file"),
            certificate=certificate,
            key=key,
            server_name=section.get("server_name", _HOST, ""),
            sd_id=section.get("sd_id", _SD_ID, "gatehouse@32473"),
            longest=section.get("longest", fields.size_bytes(2048, 1024 * 1024), 65_536),
        )

    def _objects(self) -> Place:
        section = self._section
        if find_spec("minio") is None:
            section.problems.add(section.place_of("kind"), "`kind: s3` needs a package", "pip install 'gatehouse[s3]'")
        access_key, secret_key = self._credentials()
        mode, days = self._retention()
        return ObjectPlace(
            endpoint=self._endpoint(),
            bucket=section.require("bucket", _BUCKET, "bucket"),
            access_key=access_key,
            secret_key=secret_key,
            prefix=section.get("prefix", _PREFIX, ""),
            region=section.get("region", _PREFIX, "us-east-1"),
            ca=self._file("ca_file"),
            retention_mode=mode,
            retention_days=days,
            window_s=section.get("window", fields.duration_ms(0, 60_000), 200) / 1000,
        )

    def _endpoint(self) -> str:
        section = self._section
        found = section.require("endpoint", peers.url, "https://localhost")
        url = urlsplit(found)
        if url.path not in ("", "/"):
            section.problems.add(section.place_of("endpoint"), "`endpoint` has a path", "it belongs into `prefix`")
        if url.scheme == "http" and not stream_settings.is_loopback(url.hostname or ""):
            told = "`endpoint` is `http` and not on this machine: records would travel in the clear"
            section.problems.add(section.place_of("endpoint"), told)
        return found

    def _credentials(self) -> tuple[str, str]:
        """The two lines of the file: access key, secret key."""
        section = self._section
        try:
            lines = self._required_file("credentials_file").read_bytes().split()
        except OSError:
            return "", ""
        if len(lines) != 2 or not all(re.fullmatch(rb"[\x21-\x7e]{3,1024}", line) for line in lines):
            told = "`credentials_file` holds no credentials, expected the access key and the secret key, a line each"
            section.problems.add(section.place_of("credentials_file"), told)
            return "", ""
        return lines[0].decode(), lines[1].decode()

    def _retention(self) -> tuple[str, int]:
        node = self._section.node("retention")
        section = node and Section.open(node, "`retention`", self._section.problems, ("mode", "days"))
        if not section:
            return "", 0
        mode = section.require("mode", fields.choice(("COMPLIANCE", "GOVERNANCE")), "")
        return mode, section.require("days", fields.integer(1, 36_500), 1)

    def _required_file(self, key: str) -> Path:
        if key not in self._section:
            self._section.problems.add(self._section.place, f"a sink of this kind has no `{key}`")
        return self._file(key) or Path()

    def _file(self, key: str) -> Path | None:
        """A file that is there and can be read."""
        name = self._section.get(key, fields.text, "")
        if not name:
            return None
        path = (self._directory / name).absolute()
        try:
            path.read_bytes()
        except OSError as exc:
            self._section.problems.add(self._section.place_of(key), f"`{key}` cannot be read: {exc.strerror}")
        return path
