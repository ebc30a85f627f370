"""Text never becomes a control token, and nothing is cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from engine.errors import BadRequest, ModelRefused
from engine.tokens import TextTokenizer
from tests.engine import tiny


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    directory = tmp_path_factory.mktemp("bpe")
    tiny.byte_pairs(directory)
    return TextTokenizer.from_file(directory / "tokenizer.json")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    directory = tmp_path_factory.mktemp("wp")
    tiny.word_pieces(directory)
    return TextTokenizer.from_file(directory / "tokenizer.json")


@pytest.mark.parametrize("name", tiny.LLAMA4_CONTROLS)
def test_a_written_control_token_stays_text(pairs: TextTokenizer, name: str) -> None:
    ids = pairs.content(f"a{name}b")

    assert pairs.special_ids.isdisjoint(ids)
    assert pairs.text(ids) == f"a{name}b"
    assert pairs.control(name) in pairs.special_ids


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(parts=st.lists(st.sampled_from([*"<|>_ abegtxh\n", "é", "漢", "<|eot|>", "<|header_start|>"]), max_size=40))
def test_any_text_comes_back_and_holds_no_control_token(pairs: TextTokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    ids = pairs.content(text)

    assert pairs.special_ids.isdisjoint(ids)
    assert pairs.text(ids) == text


def test_a_frame_is_put_around_a_text_and_cannot_be_written(words: TextTokenizer) -> None:
    ids = words.framed("a[SEP][CLS]")

    assert (ids[0], ids[-1]) == (2, 3)
    assert words.special_ids.isdisjoint(ids[1:-1])


def test_unknown_characters_are_no_control_tokens(words: TextTokenizer) -> None:
    assert 1 in words.framed("漢")


def test_a_model_without_an_unknown_token_has_nothing_to_forgive(pairs: TextTokenizer) -> None:
    assert pairs.control("hello") is None
    assert pairs.size == 320


def test_half_a_surrogate_pair_is_refused(pairs: TextTokenizer) -> None:
    with pytest.raises(BadRequest) as caught:
        pairs.content("a\ud800")
    assert caught.value.code == "not_unicode"


def test_truncation_and_padding_of_the_file_are_not_obeyed(tmp_path: Path) -> None:
    tokenizer = tiny.byte_pairs(tmp_path)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    assert len(TextTokenizer.from_file(tmp_path / "tokenizer.json").content("0 1 2 3 4 5 6 7 8 9")) > 9


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"added_tokens": [], "model": {"type": "none"}})])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelRefused) as caught:
        TextTokenizer.from_file(tmp_path / "tokenizer.json")
    assert caught.value.code == "tokenizer_invalid"


def test_a_file_at_which_the_library_panics_is_refused(tmp_path: Path) -> None:
    """What it raises then is no Exception, and would leave a host that is loading for ever."""
    tiny.byte_pairs(tmp_path)
    path = tmp_path / "tokenizer.json"
    raw = json.loads(path.read_text())
    raw["model"]["continuing_subword_prefix"] = "longer than any token"
    path.write_text(json.dumps(raw))
    with pytest.raises(ModelRefused):
        TextTokenizer.from_file(path)


def test_tokens_have_the_bytes_that_make_up_their_text(pairs: TextTokenizer) -> None:
    for text in ("é漢🙂 a\n\x00", "".join(map(chr, range(0x20, 0x180)))):
        assert b"".join(map(pairs.data, pairs.content(text))).decode() == text
    assert {bytes([byte]) for byte in range(0x80, 0xC0)} <= set(map(pairs.data, range(pairs.size)))
    assert pairs.data(pairs.control("<|eot|>") or 0) == b"<|eot|>"


def test_a_byte_of_a_vocabulary_of_characters_is_that_byte(words: TextTokenizer) -> None:
    assert words.data(1) == words.token(1).encode()
    raw = {"<0xE6>": 0, "<0xBC>": 1, "<0xA2>": 2, "a": 3}
    made = Tokenizer(models.BPE(vocab=raw, merges=[], byte_fallback=True))
    made.decoder = decoders.ByteFallback()
    one = TextTokenizer(made, made, frozenset(), None)
    assert b"".join(map(one.data, (0, 1, 2, 3))).decode() == "漢a"
