"""The real vocabularies of Llama 3 and 4 as `tokenizer.json`; where this machine has none, the test is skipped.

They are under Meta's licences and not ours to ship. A directory with `llama3/tokenizer.model` and
`llama4/tokenizer.model` is named in GATEHOUSE_LLAMA_TOKENIZERS, or the package `llama_models` is installed. The files
hold ranks of byte strings; merges follow from them.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
from functools import cache
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from tests.guards.generative.stand_ins import SPLIT

SHA256 = {
    "llama3": "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55",
    "llama4": "d0bdbaf59b0762c8c807617e2d8ea51420eb1b1de266df2495be755c8e0ed6ed",
}
_O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {"llama3": SPLIT, "llama4": _O200K}
_NAMES = {
    "llama3": {
        **{0: "begin_of_text", 1: "end_of_text", 4: "finetune_right_pad_id", 6: "start_header_id", 7: "end_header_id"},
        **{8: "eom_id", 9: "eot_id", 10: "python_tag"},
    },
    "llama4": {
        **{0: "begin_of_text", 1: "end_of_text", 2: "fim_prefix", 3: "fim_middle", 4: "fim_suffix"},
        **{5: "header_start", 6: "header_end", 7: "eom", 8: "eot", 9: "step", 16: "python_start", 17: "python_end"},
        **{18: "finetune_right_pad", 90: "image", 92: "patch"},
    },
}
_SPECIALS = {"llama3": 256, "llama4": 2048}


def tokenizer_json(family: str) -> str:
    """`tokenizer.json` with the real vocabulary, or the test is skipped."""
    path = _find(family)
    if path is None:
        pytest.skip(f"no {family}/tokenizer.model: set GATEHOUSE_LLAMA_TOKENIZERS or install llama_models")
    return _build(family, path)


def _find(family: str) -> Path | None:
    roots = [Path(named)] if (named := os.environ.get("GATEHOUSE_LLAMA_TOKENIZERS")) else []
    found = importlib.util.find_spec("llama_models")
    roots += [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    return next((path for root in roots if (path := root / family / "tokenizer.model").is_file()), None)


@cache
def _build(family: str, path: Path) -> str:
    data = path.read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256[family]
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in data.splitlines() if line)}
    letters = _letters()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = sorted((ranks[token], split) for token in ranks if len(token) > 1 for split in _splits(token, ranks))
    pairs = [(spelled[left], spelled[right]) for _, (_, _, left, right) in merges]
    vocabulary = {spelled[token]: rank for token, rank in ranks.items()}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_SPLITS[family]), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    names = _NAMES[family]
    specials = [f"<|{names.get(i, f'reserved_special_token_{i}')}|>" for i in range(_SPECIALS[family])]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    return str(tokenizer.to_str())


def _splits(token: bytes, ranks: dict[bytes, int]) -> list[tuple[int, int, bytes, bytes]]:
    """Pairs that a token may be merged from, the likelier first."""
    cuts = ((token[:i], token[i:]) for i in range(1, len(token)))
    return [(ranks[left], ranks[right], left, right) for left, right in cuts if left in ranks and right in ranks]


def _letters() -> dict[int, str]:
    """The letters that byte-level vocabularies write bytes with."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}
