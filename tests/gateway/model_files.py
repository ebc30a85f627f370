"""Model directories as a person would copy them from a hub: small, whole, and without a manifest."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from guards.profiles.known import PROFILES
from guards.profiles.profile import Profile
from tests.doubles import write_model
from tests.guards.generative.stand_ins import write_guard

CLASSIFIER, GENERATIVE = "starter_injection", "llama_guard_3_1b"


def safetensors(tensors: Mapping[str, int]) -> bytes:
    """A file with these tensors of so many floats, all zero."""
    header: dict[str, object] = {}
    end = 0
    for name, count in tensors.items():
        header[name] = {"dtype": "F32", "shape": [count], "data_offsets": [end, end + 4 * count]}
        end += 4 * count
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def classifier(directory: Path) -> Path:
    """One file of weights."""
    profile = PROFILES[CLASSIFIER]
    assert isinstance(profile, Profile)
    write_model(directory, profile)
    (directory / "model.safetensors").write_bytes(safetensors({"w": 4, "classifier.weight": 2}))
    (directory / "manifest.json").unlink()
    return directory


def generative(directory: Path, use: str = GENERATIVE, shards: Sequence[Sequence[str]] = (("a", "b"), ("c",))) -> Path:
    """Weights in shards with an index."""
    write_guard(directory, use)
    (directory / "manifest.json").unlink()
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        (directory / file).write_bytes(safetensors(dict.fromkeys(names, 2)))
        weight_map |= dict.fromkeys(names, file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return directory
