"""What the model host is told of an engine, and that a directory that is not there is found before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.local_model import LocalModel, check_checkpoints
from policies.errors import FileErrors, Place


def test_what_is_not_said_is_as_the_host_has_it() -> None:
    model = LocalModel("scout", Path("/m/scout"))
    assert model.as_host_model() == {"name": "scout", "path": "/m/scout", "task": "generate"}
    assert model.models == ("scout",)


def test_every_checkpoint_that_is_not_there_is_told_at_its_place(tmp_path: Path) -> None:
    bare, whole = tmp_path / "bare", tmp_path / "whole"
    bare.mkdir()
    whole.mkdir()
    (whole / "manifest.json").write_text("{}")
    paths = (tmp_path / "nowhere", bare, whole)
    models = [LocalModel(path.name, path, Place("g.yaml", line, 9)) for line, path in enumerate(paths, 1)]
    check_checkpoints(models[2:])
    check_checkpoints([LocalModel("starter", tmp_path / "nowhere")])
    with pytest.raises(FileErrors) as caught:
        check_checkpoints(models)
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 2
    assert told[0].startswith("g.yaml:1:9: `path` is `")
    assert "no manifest.json" in told[1]
    assert f"gatehouse models add {bare} --engine" in told[1]
