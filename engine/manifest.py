"""A model directory and the list of what must be in it, byte for byte.

Weights decide what a guard says, so the audit record cites their digest and the host loads nothing that the
manifest does not list. Every difference (missing, changed, extra, not a plain file, a weights format that can run
code) is a ManifestProblem and final. The digest covers names, sizes and hashes of all files but the manifest itself.
Whoever can write both a file and the manifest can replace the model: the digest in the audit record then changes.
No torch here: the command and the front may check a directory without paying for that import.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from engine.errors import ManifestProblem

Json: TypeAlias = Any
"""A parsed JSON value: looked at before use."""
NAME = "manifest.json"
FORMAT = "gatehouse-manifest/v1"
UNSAFE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack", ".npy", ".npz", ".py", ".so")
"""Formats that can hold code, or are weights that no one here reads. Only safetensors holds weights."""
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_HEADER_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Size first: it is compared before a byte is hashed."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model directory is: its name, its licence and its files."""

    name: str
    license: str
    files: tuple[tuple[str, FileEntry], ...]

    @property
    def digest(self) -> str:
        """`sha256:…` over the canonical JSON of `files`: the identity of these weights."""
        files = {path: {"bytes": entry.bytes, "sha256": entry.sha256} for path, entry in self.files}
        canonical = json.dumps(files, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return "sha256:" + hashlib.sha256(canonical).hexdigest()

    def to_json(self) -> str:
        """The file's content: keys sorted, so that two writers agree."""
        files = {path: {"bytes": entry.bytes, "sha256": entry.sha256} for path, entry in self.files}
        value = {"format": FORMAT, "name": self.name, "license": self.license, "files": files}
        return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def describe(directory: Path, name: str, license_name: str) -> Manifest:
    """Hash what is there. Refuses what `verify` would refuse later."""
    files = []
    for path in _files_in(directory):
        _refuse_unsafe(directory, path)
        files.append((path, _entry(directory / path)))
    return Manifest(name=name, license=license_name, files=tuple(files))


def write(directory: Path, name: str, license_name: str) -> Manifest:
    """Describe the directory and put the manifest into it, whole or not at all."""
    manifest = describe(directory, name, license_name)
    temporary = directory / (NAME + ".tmp")
    temporary.write_text(manifest.to_json(), encoding="utf-8")
    os.replace(temporary, directory / NAME)
    return manifest


def read(directory: Path) -> Manifest:
    """The manifest as it claims to be; nothing is compared yet."""
    path = directory / NAME
    if not directory.is_dir():
        raise ManifestProblem("model_missing", f"`{directory}` is not a directory")
    try:
        raw = path.read_bytes()
    except FileNotFoundError as exc:
        raise ManifestProblem("manifest_missing", f"`{path}` is missing; `python -m engine.manifest write`") from exc
    except OSError as exc:
        raise ManifestProblem("file_unreadable", f"`{path}` cannot be read: {exc.strerror}") from exc
    if len(raw) > MAX_MANIFEST_BYTES:
        raise ManifestProblem("manifest_invalid", f"`{path}` has {len(raw)} bytes, expected at most 4 MiB")
    try:
        return _parse(json.loads(raw))
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ManifestProblem("manifest_invalid", f"`{path}` is not a {FORMAT} file") from exc


def verify(directory: Path) -> Manifest:
    """Compare every file with the manifest; the first difference is a ManifestProblem."""
    manifest = read(directory)
    listed = dict(manifest.files)
    present = set(_files_in(directory))
    for path in sorted(present - set(listed)):
        raise ManifestProblem("file_unlisted", f"`{directory / path}` is not in the manifest")
    for path, expected in manifest.files:
        if path not in present:
            raise ManifestProblem("file_missing", f"`{directory / path}` is in the manifest and not on disk")
        _refuse_unsafe(directory, path)
        _compare(directory / path, expected)
    return manifest


def _parse(value: Json) -> Manifest:
    if set(value) != {"format", "name", "license", "files"} or value["format"] != FORMAT:
        raise ValueError("not this format")
    files = []
    for path, entry in sorted(value["files"].items()):
        if path.startswith("/") or ".." in Path(path).parts or set(entry) != {"sha256", "bytes"}:
            raise ValueError("bad entry")
        if not isinstance(entry["bytes"], int) or len(bytes.fromhex(entry["sha256"])) != 32:
            raise ValueError("bad entry")
        files.append((path, FileEntry(entry["sha256"], entry["bytes"])))
    return Manifest(name=str(value["name"]), license=str(value["license"]), files=tuple(files))


def _files_in(directory: Path) -> list[str]:
    """Relative names of all files, sorted. A link could lead out of what was checked, so none is followed."""
    if not directory.is_dir():
        raise ManifestProblem("model_missing", f"`{directory}` is not a directory")
    found = []
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ManifestProblem("file_unsafe", f"`{path}` is a link or a special file, expected a plain file")
        if path.is_file():
            found.append(path.relative_to(directory).as_posix())
    return [path for path in found if path not in (NAME, NAME + ".tmp")]


def _compare(path: Path, expected: FileEntry) -> None:
    size = path.stat().st_size
    if size != expected.bytes:
        raise ManifestProblem("file_corrupt", f"`{path}` has {size} bytes, the manifest says {expected.bytes}")
    found = _entry(path).sha256
    if found != expected.sha256:
        raise ManifestProblem("file_corrupt", f"`{path}` has sha256 {found}, the manifest says {expected.sha256}")


def _entry(path: Path) -> FileEntry:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise ManifestProblem("file_unreadable", f"`{path}` cannot be read: {exc.strerror}") from exc
    return FileEntry(sha256=digest, bytes=path.stat().st_size)


def _refuse_unsafe(directory: Path, path: str) -> None:
    """Refuse weights that are not safetensors, whatever they are called, and configurations that load code."""
    if path.lower().endswith(UNSAFE_SUFFIXES):
        raise ManifestProblem("weights_unsafe", f"`{directory / path}`: weights have to be safetensors, and no code")
    if path.endswith(".safetensors"):
        check_header(directory / path)
    if path.endswith("config.json") and b'"auto_map"' in (directory / path).read_bytes():
        raise ManifestProblem("remote_code", f"`{directory / path}` has `auto_map`, which loads code from the model")


def check_header(path: Path) -> None:
    """A safetensors file starts with a length and a JSON object. A renamed pickle does not."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        fits = 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size - 8)
        header = file.read(length) if fits else b""
    try:
        is_object = isinstance(json.loads(header), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise ManifestProblem("weights_unsafe", f"`{path}` does not have the header of a safetensors file")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.manifest",
        description="Write or check the list of a model directory's files. Loads nothing, downloads nothing.",
        epilog="exit status: 0 done and equal, 1 a difference or a refused file (named on stderr), 2 wrong usage",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write", help="hash the files of DIR into DIR/manifest.json")
    writing.add_argument("directory", metavar="DIR", type=Path)
    writing.add_argument("--name", required=True)
    writing.add_argument("--license", required=True, help="SPDX identifier")
    checking = commands.add_parser("verify", help="compare the files of DIR with DIR/manifest.json")
    checking.add_argument("directory", metavar="DIR", type=Path)
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "write":
            manifest = write(options.directory, options.name, options.license)
        else:
            manifest = verify(options.directory)
    except ManifestProblem as exc:
        print(f"{exc.code}: {exc.problem}", file=sys.stderr)
        return 1
    print(f"{manifest.digest} {manifest.name} {len(manifest.files)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
