"""Whether a directory holds a whole checkpoint of a profile, as far as that can be told without its weights in memory.

The model host finds out the rest when it loads: every tensor in name and shape. Here it is what a person can mend
before that: a shard that did not come along, a tensor the index promises and no shard has, a tokenizer of another
model. All problems come at once, each with its file. Nothing is loaded, nothing runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from guards.profiles.profile import ModelProfile, Profile

Json: TypeAlias = Any
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
MLLAMA_ROWS = 8
"""What Llama 3.2 Vision's embedding has beyond its `vocab_size`: the token that stands for an image, and spare ones."""
MAX_HEADER_BYTES = 100 * 1024 * 1024


def problems_of(directory: Path, profile: ModelProfile, has_weights: bool = True) -> list[str]:
    """What is missing or does not fit, one line each. `has_weights` is False where a server runs the model."""
    return [*_config_problems(directory, profile), *_tokenizer_problems(directory), *_weights(directory, has_weights)]


def _config_problems(directory: Path, profile: ModelProfile) -> Iterator[str]:
    config = _object(directory / "config.json")
    if config is None:
        yield f"`{directory / 'config.json'}` is missing or is not a JSON object"
        return
    expected = _architectures(profile)
    found = config.get("architectures")
    if expected and (not isinstance(found, list) or len(found) != 1 or found[0] not in expected):
        told = f"is {json.dumps(found)[:120]}, `{profile.use}` expects {' or '.join(expected)}"
        yield f"`{directory / 'config.json'}`: `architectures` {told}"
    if config.get("quantization_config") is not None:
        yield f"`{directory / 'config.json'}` says `quantization_config`; only unquantised weights are loaded"


def _architectures(profile: ModelProfile) -> tuple[str, ...]:
    more = profile.architectures if isinstance(profile, Profile) else ()
    return tuple(dict.fromkeys(name for name in (profile.architecture, *more) if name))


def _tokenizer_problems(directory: Path) -> Iterator[str]:
    path = directory / "tokenizer.json"
    tokenizer, config = _object(path), _object(directory / "config.json") or {}
    if tokenizer is None:
        yield f"`{path}` is missing or is not a JSON object; a `tokenizer.model` alone is not enough"
        return
    rows, highest = embedding_rows(config), _highest_id(tokenizer)
    if rows and highest >= rows:
        yield f"`{path}` has a token {highest}, the model in `config.json` has {rows}: it is another model's tokenizer"


def embedding_rows(config: Mapping[str, Json]) -> int:
    """How many tokens the embedding of the text model has; 0 where the config does not say."""
    inner = config.get("text_config")
    stated = (inner if isinstance(inner, dict) else config).get("vocab_size")
    extra = MLLAMA_ROWS if config.get("architectures") == ["MllamaForConditionalGeneration"] else 0
    return stated + extra if type(stated) is int else 0


def _highest_id(tokenizer: Mapping[str, Json]) -> int:
    model, added = tokenizer.get("model"), tokenizer.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else [len(vocabulary or ()) - 1]
    ids += [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    return max((one for one in ids if type(one) is int), default=-1)


def _weights(directory: Path, has_weights: bool) -> Iterator[str]:
    index = directory / INDEX
    if index.exists():
        yield from _index_problems(directory, index)
    elif has_weights and not (directory / SINGLE).is_file():
        yield f"`{directory}` has neither `{SINGLE}` nor `{INDEX}`: only safetensors are loaded"


def _index_problems(directory: Path, index: Path) -> Iterator[str]:
    promised = (_object(index) or {}).get("weight_map")
    if not isinstance(promised, dict) or not all(isinstance(name, str) for name in promised.values()):
        yield f"`{index}` has no `weight_map` of tensors to files"
        return
    by_shard: dict[str, set[str]] = {}
    for tensor, shard in promised.items():
        by_shard.setdefault(shard, set()).add(tensor)
    for shard, tensors in sorted(by_shard.items()):
        path = directory / shard
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            yield f"`{index}` names `{shard[:120]}`, which is no safetensors file beside it"
        elif not path.is_file():
            yield f"`{path}` is missing; `{INDEX}` says that it holds {len(tensors)} tensors"
        else:
            yield from _shard_problems(path, tensors)
    rest = {path.name for path in directory.glob("*.safetensors")} - by_shard.keys()
    if rest:
        yield f"`{directory / min(rest)}` is not in `{INDEX}`; nothing would load it"


def _shard_problems(path: Path, promised: set[str]) -> Iterator[str]:
    held = _tensors(path)
    if held is None:
        yield f"`{path}` does not have the header of a safetensors file"
        return
    if missing := sorted(promised - held):
        yield f"`{path}` has not the tensor `{missing[0]}`" + _more(missing) + f", which `{INDEX}` says it has"
    if extra := sorted(held - promised):
        yield f"`{path}` has the tensor `{extra[0]}`" + _more(extra) + f", which `{INDEX}` does not know"


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _tensors(path: Path) -> set[str] | None:
    """Names in the header of a shard."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if 2 <= length <= min(MAX_HEADER_BYTES, size - 8) else b""
    try:
        found = json.loads(header)
    except (ValueError, RecursionError):
        return None
    return set(found) - {"__metadata__"} if isinstance(found, dict) else None


def _object(path: Path) -> dict[str, Json] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
