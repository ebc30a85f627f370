"""The bundles that were in force here, and which one is: the last good one outlives a bad file and a restart.

A bundle is kept under its digest before it is put in force, so that what a record cites can always be read and a
rollback needs nobody's laptop. `state.json` is replaced by rename, synced: after a crash it says the old or the new.
The directory is not trusted: bundles are checked again, signatures included, whenever they are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.audit.files import OsFiles, write_new_file
from gateway.bundles.bundle import Bundle, open_bundle
from gateway.bundles.errors import BundleError

_STATE: Final = "state.json"
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_HISTORY: Final = 50
_FILES: Final = OsFiles()


@dataclass(frozen=True, slots=True)
class State:
    """What is in force, and what was."""

    active: str = ""
    """Digest of the bundle in force; empty before the first."""
    highest: int = 0
    """The largest counter that was ever in force: only larger ones come after it, except by a rollback."""
    history: tuple[str, ...] = ()
    """Digests that were in force before, the latest last."""
    withdrawn: tuple[str, ...] = ()
    """Digests that a rollback took out of force. They do not come back by themselves."""
    trial: str = ""
    """Digest of the bundle on trial; at a start: of one whose trial did not end."""

    def activated(self, digest: str, counter: int) -> State:
        """A bundle came into force."""
        history = tuple(known for known in (*self.history, self.active) if known not in ("", digest))
        withdrawn = tuple(known for known in self.withdrawn if known != digest)
        trial = self.trial if self.trial != digest else ""
        return State(digest, max(self.highest, counter), history[-_HISTORY:], withdrawn, trial)

    def rolled_back(self, digest: str) -> State:
        """An earlier bundle came back, and the one in force is withdrawn."""
        kept = tuple(known for known in self.history if known != digest)
        return replace(self, active=digest, history=kept, withdrawn=(*self.withdrawn, self.active)[-_HISTORY:])

    def tried(self, *, is_withdrawn: bool) -> State:
        """The trial ended without bringing its bundle into force."""
        others = tuple(known for known in self.withdrawn if known != self.trial)
        withdrawn = (*others, self.trial)[-_HISTORY:] if is_withdrawn and self.trial else self.withdrawn
        return replace(self, trial="", withdrawn=withdrawn)


class BundleStore:
    """One directory, used by one front. Raises OSError when it cannot be read or written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def state(self) -> State:
        """What was last written. BundleError if it cannot be understood: then nobody knows what was in force."""
        try:
            found = json.loads((self._directory / _STATE).read_text())
            history, withdrawn = (tuple(map(str, found[key])) for key in ("history", "withdrawn"))
            trial = str(found.get("trial", ""))  # states of earlier versions have none
            return State(str(found["active"]), int(found["highest"]), history, withdrawn, trial)
        except FileNotFoundError:
            return State()
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise BundleError("bundle_unknown", f"`{self._directory / _STATE}` cannot be understood") from exc

    def write(self, state: State) -> None:
        """Durable when it returns."""
        said = {"active": state.active, "highest": state.highest, "trial": state.trial}
        lists = {"history": list(state.history), "withdrawn": list(state.withdrawn)}
        self._put(_STATE, (json.dumps({**said, **lists}, indent=1) + "\n").encode())

    def keep(self, bundle: Bundle) -> None:
        """Put the bundle down under its digest, and its files beside it for those who load them."""
        name = _name(bundle.digest)
        self._put(f"{name}.bundle", bundle.data())
        for path, content in bundle.contents.items():
            self._put(f"{name}/{path}", content)

    def bundle(self, digest: str) -> Bundle:
        """A bundle that was kept. Raises BundleError if there is none or it is another by now."""
        try:
            bundle = open_bundle((self._directory / f"{_name(digest)}.bundle").read_bytes())
        except FileNotFoundError:
            bundle = None
        if bundle is None or bundle.digest != digest:
            raise BundleError("bundle_unknown", "no bundle of this digest was ever in force here")
        return bundle

    def folder(self, bundle: Bundle) -> Path:
        """Where the files of a bundle that was kept lie. Raises BundleError if they are others than were signed."""
        folder = self._directory / _name(bundle.digest)
        if _read(folder, bundle.contents) != dict(bundle.contents):
            raise BundleError("bundle_malformed", f"files in `{folder}` are not those that were signed")
        return folder

    def _put(self, name: str, content: bytes) -> None:
        path = self._directory / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_new_file(_FILES, path, content)
        _FILES.sync_directory(path.parent)


def _read(folder: Path, wanted: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path in wanted if (folder / path).is_file()}


def _name(digest: str) -> str:
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise BundleError("bundle_unknown", "a bundle is named by `sha256:` and 64 hex digits")
    return match[1]
