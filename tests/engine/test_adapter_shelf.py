"""Names of adapters, what they are known by, and when no more is taken."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.adapter_shelf import MAX_ADAPTERS, Shelf, digest_of, refused, split
from engine.errors import BadRequest, ModelRefused, NotFound


def model(name: str) -> Any:
    return SimpleNamespace(spec=SimpleNamespace(name=name, path=Path("x")))


def free(_name: str) -> bool:
    return False


def test_a_name_is_the_base_models_and_its_own() -> None:
    assert split("base:clinic") == ("base", "clinic")
    assert split("org:base:v1.2") == ("org:base", "v1.2")


@pytest.mark.parametrize(
    "name", ["", "clinic", ":clinic", "base:", "base:../x", "base:a b", "base:" + "a" * 65, "b:-a"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="base:adapter"):
        split(name)


def test_the_digest_depends_on_both() -> None:
    found = {digest_of(base, adapter) for base in ("sha256:1", "sha256:2") for adapter in ("sha256:1", "sha256:2")}
    assert len(found) == 4
    assert all(len(one) == len("sha256:") + 64 for one in found)


def test_a_name_is_served_once_and_may_come_back() -> None:
    shelf = Shelf()
    shelf.check("b:one", free)
    shelf.put(model("b:one"))

    with pytest.raises(BadRequest) as caught:
        shelf.check("b:one", free)
    assert caught.value.code == "adapter_exists"
    assert shelf.get("b:one") is shelf.all()[0]
    shelf.remove("b:one")
    shelf.check("b:one", free)
    assert (shelf.get("b:one"), shelf.all()) == (None, [])


def test_the_name_of_a_model_is_taken() -> None:
    with pytest.raises(BadRequest) as caught:
        Shelf().check("b:one", {"b:one"}.__contains__)
    assert caught.value.code == "adapter_exists"


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(NotFound) as caught:
        Shelf().remove("b:one")
    assert caught.value.code == "adapter_not_found"


def test_there_is_an_end_to_the_room() -> None:
    shelf = Shelf()
    for index in range(MAX_ADAPTERS):
        shelf.put(model(f"b:{index}"))
    with pytest.raises(BadRequest) as caught:
        shelf.check("b:more", free)
    assert caught.value.code == "too_many_adapters"


def test_a_directory_that_is_refused_is_the_callers_to_repair() -> None:
    error = refused(ModelRefused("weights_mismatch", "tensor `x` is missing"))
    assert (error.status, error.code, error.param) == (400, "weights_mismatch", "path")
