"""The exported checkpoint says what the trained heads say, in plain transformers, at one byte a weight."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import AutoModelForSequenceClassification, BertConfig

from guards.starter.train.model import LABELS, TwoHeads, export, stored


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    tokenizer = Tokenizer(WordPiece({"[PAD]": 0, "[UNK]": 1, "hello": 2}, unk_token="[UNK]"))
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(128)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "pad_token": "[PAD]", "name_or_path": "/x"}')
    return folder


@pytest.mark.parametrize("task", ["injection", "hazard"])
def test_export_loads_plainly_and_agrees(task: str, base: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, dtype="float32"
    )
    model = TwoHeads(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(stored(name, value).float())
    export(model, task, base, tmp_path / task)

    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / task, local_files_only=True).eval()
    ids = torch.randint(1, 50, (3, 9))
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        expected = getattr(model(ids, mask), task)
        found = loaded(input_ids=ids, attention_mask=mask).logits
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)
    assert tuple(loaded.config.id2label.values()) == LABELS[task]
    with safe_open(tmp_path / task / "model.safetensors", "pt") as weights:
        kept = {weights.get_tensor(name).dtype for name in weights.keys()}  # noqa: SIM118 - not a dict
    assert kept == {torch.float8_e4m3fn, torch.float16}


def test_the_tokenizer_neither_pads_nor_truncates_and_names_no_path(base: Path, tmp_path: Path) -> None:
    export(
        TwoHeads(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)),
        "hazard",
        base,
        tmp_path,
    )
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    assert tokenizer["padding"] is None
    assert tokenizer["truncation"] is None
    assert "name_or_path" not in json.loads((tmp_path / "tokenizer_config.json").read_text())


def test_values_out_of_range_are_clamped_and_never_nan() -> None:
    assert stored("bert.weight", torch.tensor([[1e6, -1e6, 0.0]])).float().tolist() == [[448.0, -448.0, 0.0]]
