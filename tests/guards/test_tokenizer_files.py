"""Control tokens are found wherever a tokenizer's files say them, and what people write by accident is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.engine_settings import starter_engine
from guards import tokenizer_files
from guards.errors import GuardSetupError
from guards.registry import STARTER_DIRECTORIES
from guards.tokenizer_files import control_tokens, is_control


def write(directory: Path, name: str, value: object) -> None:
    (directory / name).write_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def test_tokenizers_of_the_shipped_models() -> None:
    assert "<|header_start|>" in control_tokens(starter_engine())
    assert all(control_tokens(path) == () for path in STARTER_DIRECTORIES.values()), "BERT's are ordinary in prose"


def test_every_file_adds_its_tokens(tmp_path: Path) -> None:
    vocabulary = {'"added_tokens":[': 0, "x": 1}
    added = [{"id": 9, "content": "<|turn|>", "special": True}, {"id": 10, "content": "<tool_call>", "special": False}]
    write(tmp_path, "tokenizer.json", {"model": {"vocab": vocabulary}, "added_tokens": added})
    decoder = {"7": {"content": "<｜User｜>"}}
    write(tmp_path, "tokenizer_config.json", {"added_tokens_decoder": decoder, "eos_token": "<end_of_turn>"})
    extra = {"pad_token": {"content": "<pad>"}, "additional_special_tokens": ["[TOOL_CALLS]", {"content": "<|x_1|>"}]}
    write(tmp_path, "special_tokens_map.json", extra)
    write(tmp_path, "added_tokens.json", {"<unused7>": 7})

    found = {"<|turn|>", "<tool_call>", "<｜User｜>", "<end_of_turn>", "<pad>", "[TOOL_CALLS]", "<|x_1|>", "<unused7>"}
    assert set(control_tokens(tmp_path)) == found


@pytest.mark.parametrize("token", ["<s>", "</s>", "<table>", "<H1>", "<br/>", "[MASK]", "  ", "\n\n", "the", "--", "<>",
                                   "", "<a\n", "x" * 65])  # fmt: skip
def test_what_people_write_by_accident_is_no_control_token(token: str) -> None:
    assert not is_control(token)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokenizer.json", "[]"),
        ("tokenizer.json", '{"added_tokens": [{]}'),
        ("tokenizer.json", '{"added_tokens": ' + "[" * 100_000),
        ("tokenizer_config.json", "[1]"),
        ("added_tokens.json", "{"),
    ],
)
def test_files_that_cannot_be_read_are_a_setup_error(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, name, text)
    with pytest.raises(GuardSetupError, match="cannot be read"):
        control_tokens(tmp_path)


def test_values_of_other_types_say_nothing(tmp_path: Path) -> None:
    write(tmp_path, "tokenizer.json", {"added_tokens": [5, None, {"content": 7}, {}, ["<|x|>"]]})
    config = {"added_tokens_decoder": [1], "eos_token": 5, "additional_special_tokens": {"a": 1}}
    write(tmp_path, "tokenizer_config.json", config)
    assert control_tokens(tmp_path) == ()


def test_a_directory_without_a_tokenizer_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(GuardSetupError, match="holds no tokenizer"):
        control_tokens(tmp_path)


def test_tokens_beyond_the_bound_are_a_setup_error(tmp_path: Path) -> None:
    write(tmp_path, "added_tokens.json", {f"<|t{n}|>": n for n in range(tokenizer_files.MOST_TOKENS + 1)})
    with pytest.raises(GuardSetupError, match="65537 control tokens"):
        control_tokens(tmp_path)
