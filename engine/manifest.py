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
UNSAFE_SUFFIXES = tuple(
    f".{name}"
    for name in (
        *("bin", "pt", "pth", "pkl", "pickle", "joblib", "ckpt", "h5", "msgpack", "npy", "npz", "onnx", "gguf", "ggml"),
        *("tflite", "pb", "py", "so", "dll", "dylib"),
    )
)
"""Formats that can hold code, or are weights that no one here reads. Only safetensors holds weights."""
UNSAFE_BEGINNINGS = (
    *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)),  # pickle
    b"PK\x03\x04",  # zip, which torch.save writes
    b"\x93NUMPY",
    b"\x89HDF",
    b"GGUF",
    b"\x7fELF",
    b"\x1f\x8b",  # gzip
)
"""What such files begin with, whatever they are called."""
OPTIONAL = {"profile", "probes"}
"""What a model is to a guard, and what it said of some texts: kept here for others, no part of the digest."""
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
    profile: str = ""
    """What the model is, to who judges with it; empty for one that only answers. Not a part of the digest."""

    @property
    def digest(self) -> str:
        """`sha256:…` over the canonical JSON of `files`: the identity of these weights."""
        files = {path: {"bytes": entry.bytes, "sha256": entry.sha256} for path, entry in self.files}
        canonical = json.dumps(files, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return "sha256:" + hashlib.sha256(canonical).hexdigest()

    def to_json(self) -> str:
        """The file's content: keys sorted, so that two writers agree."""
        files = {path: {"bytes": entry.bytes, "sha256": entry.sha256} for path, entry in self.files}
        value: Json = {"format": FORMAT, "name": self.name, "license": self.license, "files": files}
        if self.profile:
            value["profile"] = self.profile
        return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def describe(directory: Path, name: str, license_name: str, profile: str = "") -> Manifest:
    """Hash what is there. Refuses what `verify` would refuse later."""
    files = []
    for path in _files_in(directory):
        _refuse_unsafe(directory, path)
        files.append((path, _entry(directory / path)))
    return Manifest(name=name, license=license_name, files=tuple(files), profile=profile)


def write(directory: Path, name: str, license_name: str, profile: str = "") -> Manifest:
    """Describe the directory and put the manifest into it, whole or not at all."""
    manifest = describe(directory, name, license_name, profile)
    temporary = directory / (NAME + ".tmp")
    try:
        temporary.write_text(manifest.to_json(), encoding="utf-8")
        os.replace(temporary, directory / NAME)
    except OSError as exc:
        raise ManifestProblem("file_unwritable", f"`{directory / NAME}` cannot be written: {exc.strerror}") from exc
    return manifest


def read(directory: Path) -> Manifest:
    """The manifest as it claims to be; nothing is compared yet."""
    path = directory / NAME
    if not directory.is_dir():
        raise ManifestProblem("model_missing", f"`{directory}` is not a directory")
    try:
        raw = path.read_bytes()
    except FileNotFoundError as exc:
        how = "`gatehouse models add` makes it, of an adapter `python -m engine.manifest write`"
        raise ManifestProblem("manifest_missing", f"`{path}` is missing; {how}") from exc
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
        _compare(directory / path, expected)
        _refuse_unsafe(directory, path)
    return manifest


def _parse(value: Json) -> Manifest:
    if set(value) - OPTIONAL != {"format", "name", "license", "files"} or value["format"] != FORMAT:
        raise ValueError("not this format")
    files = []
    for path, entry in sorted(value["files"].items()):
        if path.startswith("/") or ".." in Path(path).parts or set(entry) != {"sha256", "bytes"}:
            raise ValueError("bad entry")
        if not isinstance(entry["bytes"], int) or len(bytes.fromhex(entry["sha256"])) != 32:
            raise ValueError("bad entry")
        files.append((path, FileEntry(entry["sha256"], entry["bytes"])))
    about = {key: str(value[key]) for key in ("name", "license", "profile") if key in value}
    return Manifest(files=tuple(files), **about)


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
    elif _beginning(directory / path).startswith(UNSAFE_BEGINNINGS):
        raise ManifestProblem(
            "weights_unsafe", f"`{directory / path}` is a pickle, an archive or a program by its content"
        )
    if path.endswith("config.json") and _has_key(_json(directory / path), "auto_map"):
        raise ManifestProblem("remote_code", f"`{directory / path}` has `auto_map`, which loads code from the model")


def _json(path: Path) -> Json:
    try:
        return json.loads(path.read_bytes())
    except OSError as exc:
        raise ManifestProblem("file_unreadable", f"`{path}` cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise ManifestProblem("config_invalid", f"`{path}` is not JSON") from exc


def _has_key(value: Json, key: str) -> bool:
    """Anywhere in it, however the key is escaped."""
    if isinstance(value, dict):
        return key in value or any(_has_key(one, key) for one in value.values())
    return isinstance(value, list) and any(_has_key(one, key) for one in value)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(8)
    except OSError as exc:
        raise ManifestProblem("file_unreadable", f"`{path}` cannot be read: {exc.strerror}") from exc


def check_header(path: Path) -> None:
    """A safetensors file starts with a length and a JSON object, and ends where that says. No pickle does."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if 2 <= length <= min(MAX_HEADER_BYTES, size - 8) else b""
    try:
        tensors = json.loads(header)
        ends = [int(entry["data_offsets"][1]) for name, entry in tensors.items() if name != "__metadata__"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as exc:
        told = f"`{path}` does not have the header of a safetensors file"
        raise ManifestProblem("weights_unsafe", told) from exc
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise ManifestProblem("weights_truncated", f"`{path}` has {size} bytes, its header says {expected}")


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
    writing.add_argument("--profile", default="", help="what the model is to a guard")
    checking = commands.add_parser("verify", help="compare the files of DIR with DIR/manifest.json")
    checking.add_argument("directory", metavar="DIR", type=Path)
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "write":
            manifest = write(options.directory, options.name, options.license, options.profile)
        else:
            manifest = verify(options.directory)
    except ManifestProblem as exc:
        print(f"{exc.code}: {exc.problem}", file=sys.stderr)
        return 1
    print(f"{manifest.digest} {manifest.name} {len(manifest.files)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
