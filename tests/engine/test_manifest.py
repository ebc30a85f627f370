"""A directory is either exactly what its manifest says, or it is not loaded."""

from __future__ import annotations

import hashlib
import json
import pickle  # noqa: TID251 - to write the file that has to be refused
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine import manifest
from engine.errors import ManifestProblem

HEAD = '{"format": "gatehouse-manifest/v1", "name": "a", "license": "b", '


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    save_file({"w": torch.zeros(4)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "README.md").write_text("# card")
    manifest.write(tmp_path, "tiny", "Apache-2.0")
    return tmp_path


def refused(directory: Path) -> str:
    with pytest.raises(ManifestProblem) as caught:
        manifest.verify(directory)
    return caught.value.code


def test_what_was_written_verifies_and_has_one_digest(directory: Path) -> None:
    found = manifest.verify(directory)

    entries = json.loads((directory / "manifest.json").read_text())["files"]
    canonical = json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()
    assert found.digest == "sha256:" + hashlib.sha256(canonical).hexdigest()
    assert [path for path, _ in found.files] == ["README.md", "config.json", "model.safetensors"]


def test_one_changed_byte_is_found(directory: Path) -> None:
    path = directory / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)

    assert refused(directory) == "file_corrupt"


def test_a_cut_file_is_found_by_its_size(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])

    assert refused(directory) == "file_corrupt"


def test_a_missing_and_an_extra_file_are_found(directory: Path) -> None:
    (directory / "extra.json").write_text("{}")
    assert refused(directory) == "file_unlisted"
    (directory / "extra.json").unlink()
    (directory / "README.md").unlink()
    assert refused(directory) == "file_missing"


def test_a_pickle_named_safetensors_is_refused_even_when_listed(directory: Path) -> None:
    (directory / "model.safetensors").write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(ManifestProblem) as caught:
        manifest.write(directory, "tiny", "Apache-2.0")
    assert caught.value.code == "weights_unsafe"


@pytest.mark.parametrize(
    "content",
    [pickle.dumps({"w": 1}), b"PK\x03\x04rest", b"\x93NUMPY\x01", b"\x89HDF\r\n", b"GGUF\x03", b"\x7fELF\x02"],
)
def test_weights_under_any_other_name_are_refused_by_their_content(directory: Path, content: bytes) -> None:
    (directory / "notes.txt").write_bytes(content)
    with pytest.raises(ManifestProblem) as caught:
        manifest.write(directory, "tiny", "Apache-2.0")
    assert caught.value.code == "weights_unsafe"
    assert "notes.txt" in caught.value.problem


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"x", lambda raw: raw[:40]])
def test_a_shard_that_ends_too_early_or_too_late_is_refused(directory: Path, change: Callable[[bytes], bytes]) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ManifestProblem) as caught:
        manifest.write(directory, "tiny", "Apache-2.0")
    assert caught.value.code in ("weights_truncated", "weights_unsafe")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "x.PKL", "modeling.py", "sub/weights.ckpt"])
def test_formats_that_can_hold_code_are_refused(directory: Path, name: str) -> None:
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    with pytest.raises(ManifestProblem) as caught:
        manifest.describe(directory, "tiny", "Apache-2.0")
    assert caught.value.code == "weights_unsafe"


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ['{"auto_map": {}}', '{"a": [{"auto_map": 1}]}', '{"auto\\u005fmap": {}}'])
def test_a_config_that_loads_code_is_refused(directory: Path, file: str, content: str) -> None:
    """However deep and however spelt: the library that reads it later unescapes it, too."""
    (directory / file).write_text(content)
    with pytest.raises(ManifestProblem) as caught:
        manifest.describe(directory, "tiny", "Apache-2.0")
    assert caught.value.code == "remote_code"


def test_a_link_is_refused(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = tmp_path_factory.mktemp("other") / "README.md"
    target.write_text("# card")
    (directory / "README.md").unlink()
    (directory / "README.md").symlink_to(target)

    assert refused(directory) == "file_unsafe"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": "other", "name": "a", "license": "b", "files": {}}',
        HEAD + '"files": {"../x": {"sha256": "00", "bytes": 1}}}',
        HEAD + '"files": {"x": {"sha256": "zz", "bytes": 1}}}',
        "[" * 100_000,
    ],
)
def test_an_unreadable_manifest_is_a_problem_not_a_crash(directory: Path, content: str) -> None:
    (directory / "manifest.json").write_text(content)

    assert refused(directory) == "manifest_invalid"


def test_no_manifest_and_no_directory_have_their_own_codes(directory: Path) -> None:
    (directory / "manifest.json").unlink()
    assert refused(directory) == "manifest_missing"
    assert refused(directory / "nowhere") == "model_missing"


def test_a_profile_is_kept_and_changes_no_identity(directory: Path) -> None:
    before = manifest.verify(directory)
    manifest.write(directory, "tiny", "Apache-2.0", "prompt_guard_2_86m")
    after = manifest.verify(directory)
    assert (before.profile, after.profile) == ("", "prompt_guard_2_86m")
    assert after.digest == before.digest


def test_the_command_writes_checks_and_says_what_differs(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert manifest.main(["write", str(directory), "--name", "n", "--license", "MIT"]) == 0
    assert manifest.main(["verify", str(directory)]) == 0
    assert manifest.verify(directory).digest in capsys.readouterr().out
    (directory / "README.md").write_text("changed")
    assert manifest.main(["verify", str(directory)]) == 1
    assert "README.md" in capsys.readouterr().err
