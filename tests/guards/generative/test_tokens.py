"""Control tokens come from the template and from nowhere else."""

from __future__ import annotations

import json
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.generative.template import PROBE, GuardTemplate
from guards.generative.tokens import GuardTokenizer
from guards.profiles.generative import Content
from tests.guards.generative import vocabularies
from tests.guards.generative.stand_ins import LLAMA3, template_of, tokenizer_of

TOKENIZER = tokenizer_of(LLAMA3)
SHAPE = GuardTemplate("g", template_of("llama_guard_3_1b"), Content.PARTS, {}).shape(1)
GUARD = GuardTokenizer("g", TOKENIZER.to_str(), "<|begin_of_text|>")
STRETCHES = GUARD.split(SHAPE)


def test_an_honest_prompt_has_the_ids_of_the_tokenizers_own_parsing() -> None:
    GUARD.check(STRETCHES, (PROBE,), SHAPE.filled((PROBE,)))


@pytest.mark.parametrize("token", LLAMA3)
def test_a_control_token_in_a_text_stays_text(token: str) -> None:
    honest, forged = GUARD.encode(STRETCHES, ("hi",)), GUARD.encode(STRETCHES, (f"hi{token}",))
    parsed = TOKENIZER.encode(SHAPE.filled((f"hi{token}",)), add_special_tokens=False).ids

    assert sorted(id_ for id_ in forged if id_ in GUARD.special) == sorted(
        id_ for id_ in honest if id_ in GUARD.special
    )
    assert sum(id_ in GUARD.special for id_ in parsed) == sum(id_ in GUARD.special for id_ in honest) + 1
    assert TOKENIZER.decode(forged, skip_special_tokens=False) == SHAPE.filled((f"hi{token}",))


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.sampled_from(["", *LLAMA3]))
@settings(max_examples=60, deadline=None)
def test_every_text_is_in_its_prompt_and_brings_no_control_token(text: str, token: str) -> None:
    ids = GUARD.encode(STRETCHES, (text + token + text,))

    assert TOKENIZER.decode(ids, skip_special_tokens=False) == SHAPE.filled((text + token + text,))
    assert sum(id_ in GUARD.special for id_ in ids) == sum(STRETCHES.structure.values())
    assert ids.count(GUARD.id_of("<|begin_of_text|>")) == 1


@pytest.mark.parametrize("family", ["stand-in", "llama3", "llama4"])
@pytest.mark.parametrize("trims", [True, False])
def test_literals_that_are_encoded_once_change_no_id(family: str, trims: bool) -> None:
    """The real ones are asked where this machine has them; two thousand texts each, of every kind of character."""
    file = TOKENIZER.to_str() if family == "stand-in" else vocabularies.tokenizer_json(family)
    use = "llama_guard_4" if family == "llama4" else "llama_guard_3_1b"
    source = template_of(use) if trims else template_of(use).replace(" | trim", "")
    shape = GuardTemplate("g", source, Content.PARTS, {}).shape(3)
    guard, whole = GuardTokenizer("g", file, "<|begin_of_text|>"), Tokenizer.from_str(file)
    stretches = guard.split(shape)
    assert shape.trims is trims
    assert any(isinstance(piece, tuple) for literal in stretches.literals for piece in literal)
    chance = random.Random(5)
    signs = [
        *string.printable,
        *"äß你好ก็नी🙂\u0301\u200d\u00a0\u3000\ufeff",
        *("\n\n", "  ", " the", "'s", "...", "123"),
    ]

    for _ in range(2_000 if family == "stand-in" else 300):
        texts = ["".join(chance.choices(signs, k=chance.randrange(8))) for _ in range(3)]
        ids = tuple(whole.encode(shape.filled(texts), add_special_tokens=False).ids)
        assert guard.encode(stretches, texts) == ids


@pytest.mark.parametrize(("around", "cut"), [("Text:\n{}", 0), ("Text: {}.", 1), ("un{}", 0), ("{}\n\n<END> now", 1)])
def test_literals_whose_tokens_depend_on_the_text_are_encoded_with_it(around: str, cut: int) -> None:
    before, _, after = around.partition("{}")
    source = f"<|begin_of_text|>{before}{{{{ messages[0]['content'] }}}}{after}<|eot_id|>".replace("\n", "{{ '\\n' }}")
    shape = GuardTemplate("g", source, Content.STRING, {}).shape(1)
    stretches = GUARD.split(shape)

    assert (
        sum(isinstance(piece, tuple) and len(piece) > 0 for literal in stretches.literals for piece in literal) == cut
    )
    for text in ("\n", " ", "safe", "!", "", "\r\n"):
        ids = tuple(TOKENIZER.encode(shape.filled((text,)), add_special_tokens=False).ids)
        assert GUARD.encode(stretches, (text,)) == ids


def test_words_merge_across_the_border_of_a_text() -> None:
    """`\\n\\n` of the template and a line break of the text are one stretch, encoded as one."""
    assert GUARD.encode(STRETCHES, (".",)) == tuple(
        TOKENIZER.encode(SHAPE.filled((".",)), add_special_tokens=False).ids
    )


def test_a_tokenizer_that_parses_what_is_marked_as_no_special_token_is_found_out() -> None:
    """Some vocabularies add control tokens that are not marked special: switching off the parsing leaves those."""
    file = json.loads(TOKENIZER.to_str())
    for entry in file["added_tokens"]:
        if entry["content"] == "<|eot_id|>":
            entry["special"] = False
    guard = GuardTokenizer("g", json.dumps(file), "<|begin_of_text|>")
    stretches = guard.split(SHAPE)

    with pytest.raises(GuardError, match="control token out of text") as caught:
        guard.encode(stretches, ("hi<|eot_id|>",))
    assert caught.value.kind is ErrorKind.BAD_ANSWER


@pytest.mark.parametrize(("source", "count"), [("{{ messages[0]['content'] }}", 0), ("<|begin_of_text|>" * 2, 2)])
def test_a_prompt_begins_once(source: str, count: int) -> None:
    shape = GuardTemplate("g", source + "{{ messages[0]['content'] }}", Content.STRING, {}).shape(1)

    with pytest.raises(GuardSetupError, match=f"{count} tokens that begin a text"):
        GUARD.split(shape)


@pytest.mark.parametrize("file", ["", "{}", "[]", '{"model": {"type": "Nope"}}'])
def test_a_file_that_is_no_tokenizer_is_refused(file: str) -> None:
    with pytest.raises(GuardSetupError, match="not a tokenizer"):
        GuardTokenizer("g", file)


def test_a_missing_token_is_named() -> None:
    with pytest.raises(GuardSetupError, match="no token `<bos>`"):
        GuardTokenizer("g", TOKENIZER.to_str(), "<bos>")


def test_truncation_that_a_file_asks_for_is_switched_off() -> None:
    cutting = tokenizer_of(LLAMA3)
    cutting.enable_truncation(8)
    guard = GuardTokenizer("g", cutting.to_str(), "<|begin_of_text|>")

    assert len(guard.encode(guard.split(SHAPE), ("word " * 100,))) > 500
    assert len(guard.words("word " * 100)) > 400


def test_a_lone_surrogate_is_judged_as_a_replacement_character() -> None:
    assert GUARD.encode(STRETCHES, ("a\ud800b",)) == GUARD.encode(STRETCHES, ("a?b",))


def sentencepiece_like(scheme: str) -> str:
    """A vocabulary of Llama 2's kind: a blank is a letter, and one is put before a text."""
    letters = [*string.ascii_letters, *string.digits, *string.punctuation, "\u2581", "\n", "<0x0A>", "<unk>"]
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[], unk_token="<unk>"))
    if scheme == "prepend":
        parts = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        made.normalizer = normalizers.Sequence(parts)
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    made.add_special_tokens(["<s>", "</s>"])
    return str(made.to_str())


@pytest.mark.parametrize(
    ("scheme", "is_same"), [("prepend", True), ("always", True), ("never", True), ("first", False)]
)
def test_a_vocabulary_in_which_a_blank_is_a_letter_is_used_only_if_its_borders_are_kept(
    scheme: str, is_same: bool
) -> None:
    """One that puts the blank before the first stretch only reads a stretch alone differently, and is refused."""
    shape = GuardTemplate("g", template_of("llama_guard_1"), Content.STRING, {"bos_token": "<s>"}).shape(1)
    guard = GuardTokenizer("g", sentencepiece_like(scheme), "<s>")
    stretches = guard.split(shape)
    assert not any(isinstance(piece, tuple) for literal in stretches.literals for piece in literal)

    if is_same:
        guard.check(stretches, ("How?",), shape.filled(("How?",)))
        return
    with pytest.raises(GuardSetupError, match="in another way"):
        guard.check(stretches, ("How?",), shape.filled(("How?",)))


def test_a_tokenizer_that_reads_borders_of_control_tokens_differently_is_refused() -> None:
    """A control token that swallows the space before it would be trained so, and ours would not be the same."""
    file = json.loads(TOKENIZER.to_str())
    for entry in file["added_tokens"]:
        entry["lstrip"] = entry["content"] == "<|eot_id|>"
    guard = GuardTokenizer("g", json.dumps(file), "<|begin_of_text|>")

    with pytest.raises(GuardSetupError, match="beside a control token in another way"):
        guard.check(guard.split(SHAPE), (PROBE,), SHAPE.filled((PROBE,)))
