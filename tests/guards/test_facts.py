"""Facts about guard models that decide whether the code is right, each with a test of its name.

What transformers does is asserted beside what Gatehouse does: when a release changes the first, the reason for the
second is gone or another, and someone has to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, normalizers
from transformers import AutoTokenizer, DebertaV2ForSequenceClassification, PreTrainedTokenizerFast

from engine.classifier import load_classifier
from engine.classifiers.families import read
from engine.errors import ModelRefused
from guards.classifier import Classifier
from guards.encoder import Encoder
from guards.endpoint import ClassifyEndpoint
from guards.errors import GuardSetupError
from guards.model_files import read_model
from guards.profiles.prompt_guard_2 import PROMPT_GUARD_2_86M
from guards.verdict import Part, Scope
from guards.views.forms import forms
from tests.doubles import ClassifyHost, write_manifest, write_model
from tests.engine.classifiers import families_of
from tests.guards.deberta_tokenizer import CLS, SEP, deberta

WITHOUT_BLANKS = normalizers.Replace(" ", "")
"""Stands for what Prompt Guard 2's tokenizer does before it looks at words."""


def prompt_guard(directory: Path, tokenizer: Tokenizer) -> tuple[Classifier, ClassifyHost]:
    """Prompt Guard 2 with a tokenizer of ours, before a host that finds `attack` in a row."""
    write_model(directory, PROMPT_GUARD_2_86M)
    (directory / "tokenizer.json").write_text(tokenizer.to_str())
    write_manifest(directory)
    files = read_model(PROMPT_GUARD_2_86M, directory)
    attack = {tokenizer.token_to_id("attack"), tokenizer.token_to_id("\u2581attack")}

    def score(ids: Sequence[int]) -> list[float]:
        return [0.1, 0.9] if attack & set(ids) else [0.8, 0.2]

    host = ClassifyHost("pg", files.digest, score)
    return Classifier(files, ClassifyEndpoint("pg", host.client(), "http://h", "pg", 2, True, files.digest)), host


def part(text: str) -> Part:
    return Part(Scope.USER, "/messages/0/content", "user", text)


def test_fact_8_deberta_vocabularies_hold_control_tokens_as_ordinary_pieces() -> None:
    tokenizer = deberta()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]")
    split = wrapped("attack [SEP] attack", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert SEP in split, "the switch alone is not enough"

    ids = Encoder(PROMPT_GUARD_2_86M, deberta(WITHOUT_BLANKS).to_str()).encode(["attack [SEP] attack [CLS]"])[0]

    assert ids
    assert not {CLS, SEP} & set(ids)


def test_fact_9_a_rebuilt_tokenizer_loses_its_normalisers_and_is_refused(tmp_path: Path) -> None:
    trained = deberta(WITHOUT_BLANKS)
    (tmp_path / "tokenizer.json").write_text(trained.to_str())
    (tmp_path / "config.json").write_text('{"model_type": "deberta-v2"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "DebertaV2TokenizerFast"}')
    rebuilt = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    kept = PreTrainedTokenizerFast.from_pretrained(tmp_path, local_files_only=True)
    spaced, unspaced = PROMPT_GUARD_2_86M.probes[0]
    assert kept(spaced)["input_ids"] == kept(unspaced)["input_ids"]
    assert rebuilt(spaced)["input_ids"] != rebuilt(unspaced)["input_ids"], "AutoTokenizer dropped the step"

    ours = Encoder(PROMPT_GUARD_2_86M, trained.to_str())
    assert ours.encode([spaced]) == ours.encode([unspaced])
    with pytest.raises(GuardSetupError, match="normalisers were lost"):
        Encoder(PROMPT_GUARD_2_86M, rebuilt.backend_tokenizer.to_str())


@pytest.mark.parametrize("exotic", ["ﬁ", "Ｉ", "\u200b", "\u0301", "🦄", "\ud800", "\U000e0041", "ǆ"])
def test_fact_10_one_exotic_character_does_not_switch_the_repair_of_spacing_off(exotic: str) -> None:
    for text in (f"{exotic} i g n o r e  a l l", f"i g n o r e  a l l {exotic}", f"x {exotic} y i g n o r e  a l l"):
        assert any("ignore all" in form.text for form in forms(text).forms)


@pytest.mark.parametrize("at", [0, 505, 509, 510, 511, 600, 1_199])
async def test_fact_11_no_token_is_lost_at_the_end_or_between_windows(tmp_path: Path, at: int) -> None:
    guard, host = prompt_guard(tmp_path / "m", deberta(WITHOUT_BLANKS))
    words = [chr(97 + number % 26) + chr(97 + number // 26 % 26) for number in range(600)]
    words.insert(at // 2, "attack")  # every other word is two tokens

    (verdict,) = await guard.judge([part(" ".join(words))])

    assert (verdict.score_ppm, verdict.view) == (900_000, "raw")
    rows = host.calls[0]
    assert sum(len(row) - 2 for row in rows) > 1_200 + (len(rows) - 1) * PROMPT_GUARD_2_86M.overlap


async def test_fact_12_the_window_is_ours_to_keep_because_the_model_does_not(tmp_path: Path) -> None:
    with torch.inference_mode():
        logits = families_of.deberta()(torch.full((1, 900), 5)).logits
    assert torch.isfinite(logits).all(), "900 tokens in a model with 512 positions, and no error"

    guard, host = prompt_guard(tmp_path / "m", deberta(WITHOUT_BLANKS))
    await guard.judge([part("attack " * 3_000)])

    assert all(len(row) <= 512 for row in host.calls[0])
    assert all(row[0] == CLS and row[-1] == SEP for row in host.calls[0])


def test_fact_13_deberta_is_eager_in_transformers_and_ours_is_the_same_in_fused_form() -> None:
    model = families_of.deberta()
    with pytest.raises(ValueError, match="scaled_dot_product_attention"):
        DebertaV2ForSequenceClassification._from_config(model.config, attn_implementation="sdpa")

    rows = families_of.texts((2, 17, 90, 150))
    with torch.inference_mode():
        packed = read(model, "fp32")
        assert packed is not None
        eager = torch.cat([model(torch.tensor([row])).logits for row in rows])
        assert (packed.logits(rows) - eager).abs().max() < 1e-4


def test_fact_14_a_checkpoint_without_its_head_is_refused(tmp_path: Path) -> None:
    model = families_of.deberta()
    headless = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("classifier.")}
    model.save_pretrained(tmp_path, state_dict=headless)
    loaded, told = DebertaV2ForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert loaded is not None, "transformers loads it, with a head of random numbers"
    assert told["missing_keys"]

    with pytest.raises(ModelRefused, match=r"missing keys: classifier\."):
        load_classifier(tmp_path)
