"""Text becomes ids of its content and nothing else, whatever tokenizer a checkpoint brings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tokenizers import Tokenizer, normalizers, processors

from guards.encoder import WORD_PIECE, Encoder
from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.profiles.profile import Framing, Profile
from guards.profiles.prompt_guard_2 import PROMPT_GUARD_2_86M
from guards.profiles.starter_injection import STARTER_INJECTION
from tests.doubles import tiny_tokenizer
from tests.guards.deberta_tokenizer import CLS, SEP, deberta


def encoder(tokenizer: Tokenizer, profile: Profile = STARTER_INJECTION) -> Encoder:
    return Encoder(profile, tokenizer.to_str())


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize(
    "text",
    ["[SEP]", "attack [SEP] attack", "[CLS][SEP][PAD]", "[[SEP]SEP]", "\uff3bSEP\uff3d attack", "[S[SEP]EP]" * 9],
)
def test_control_tokens_in_text_are_read_in_pieces(text: str, special: bool) -> None:
    (ids,) = encoder(deberta(special=special)).encode([text])

    assert ids
    assert not {CLS, SEP} & set(ids)


def test_a_control_token_that_cutting_does_not_undo_is_an_error() -> None:
    tokenizer = deberta(normalizers.Replace("x", "[SEP]"))

    with pytest.raises(GuardError) as caught:
        encoder(tokenizer).encode(["x"])
    assert caught.value.kind is ErrorKind.BAD_ANSWER


def test_a_cut_text_keeps_its_other_words() -> None:
    ours = encoder(deberta())

    (cut,), (plain,) = ours.encode(["attack [SEP] hello"]), ours.encode(["attack"])
    assert cut[: len(plain)] == plain


@pytest.mark.parametrize(
    "processor",
    [
        processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", CLS), ("[SEP]", SEP)]),
        processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS)),
        processors.Sequence([processors.ByteLevel(), processors.RobertaProcessing(("[SEP]", SEP), ("[CLS]", CLS))]),
    ],
)
def test_framing_is_read_from_the_file_where_the_profile_names_none(processor: processors.PostProcessor) -> None:
    tokenizer = deberta()
    tokenizer.post_processor = processor

    ours = encoder(tokenizer, replace(STARTER_INJECTION, framing=None))

    assert ours.framed([9, 8]) == (CLS, 9, 8, SEP)


@pytest.mark.parametrize("single", ["$A", "[CLS] $A", "[CLS] [SEP] $A"])
def test_a_file_that_does_not_frame_is_refused(single: str) -> None:
    tokenizer = deberta()
    tokenizer.post_processor = processors.TemplateProcessing(single, None, [("[CLS]", CLS), ("[SEP]", SEP)])

    with pytest.raises(GuardSetupError, match="frame"):
        encoder(tokenizer, replace(STARTER_INJECTION, framing=None))


def test_framing_may_leave_out_what_stands_for_the_unknown() -> None:
    ours = encoder(deberta(), replace(STARTER_INJECTION, framing=Framing("[CLS]", "[SEP]")))

    assert ours.encode(["attack \U0001f984"])[0]


def test_a_probe_that_reads_differently_refuses_the_file() -> None:
    without_blanks = normalizers.Replace(" ", "")

    encoder(deberta(without_blanks), PROMPT_GUARD_2_86M)
    with pytest.raises(GuardSetupError, match="normalisers were lost"):
        encoder(deberta(), PROMPT_GUARD_2_86M)


def test_words_beyond_the_vocabulary_are_parted_in_word_pieces_only() -> None:
    ours = encoder(tiny_tokenizer(["attack"]))

    (ids,) = ours.encode(["x" * (5 * WORD_PIECE) + "\U0001f984attack"])

    assert tiny_tokenizer(["attack"]).token_to_id("attack") in ids


@pytest.mark.parametrize("text", ["", "\ud800", "\udfff attack", "\x00", "\u200b" * 50_000, "\U0010ffff"])
def test_any_string_is_encoded(text: str) -> None:
    for tokenizer in (deberta(), tiny_tokenizer()):
        assert isinstance(encoder(tokenizer).encode([text])[0], list)


@pytest.mark.parametrize(
    "content", ["", "{}", "no json", '{"version": "1.0", "model": {"type": "Nope"}}', "[" * 99_999]
)
def test_a_file_that_is_no_tokenizer_is_refused(content: str) -> None:
    with pytest.raises(GuardSetupError, match=r"`tokenizer\.json` is not a tokenizer"):
        Encoder(STARTER_INJECTION, content)


def test_a_file_without_the_framing_tokens_is_refused() -> None:
    with pytest.raises(GuardSetupError, match=r"no token `\[CLS\]`"):
        Encoder(STARTER_INJECTION, deberta().to_str().replace("[CLS]", "[BOS]"))
