"""Guard checkpoints with the real classes, a handful of random weights and the real files' shape.

The classifier's verdicts are chance. The generative one has its head set so that the words of a verdict take the whole
probability, as a trained guard's do: what is tested is the way of a verdict, not its worth.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.guards.generative.stand_ins import LLAMA3, template_of, tokenizer_of

UNSAFE_LOGIT, SAFE_LOGIT = 2.0, 2.5


def prompt_guard(directory: Path) -> Path:
    """Prompt Guard 2 in shape: DeBERTa v2, two labels without names, a tokenizer that removes blanks."""
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(1)
    tokenizer = _unigram()
    config = DebertaV2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        type_vocab_size=0,
        position_biased_input=False,
        pooler_hidden_size=32,
        pooler_dropout=0.0,
        pooler_hidden_act="gelu",
        num_labels=2,
        initializer_range=0.4,
    )
    DebertaV2ForSequenceClassification(config).save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory


def _unigram() -> Tokenizer:
    names = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    pieces = [(name, 0.0) for name in names] + [("ignore", -2.0), ("all", -2.0), ("\u2581", -3.0)]
    pieces += [(chr(code), -8.0) for code in range(33, 127)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" ", "")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 1), ("[SEP]", 2)])
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    return tokenizer


def llama_guard(directory: Path) -> Path:
    """Llama Guard 3 1B in shape: a dense Llama with an untied head, and the template of the real one."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(2)
    tokenizer = tokenizer_of(LLAMA3)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        initializer_range=0.05,
        bos_token_id=tokenizer.token_to_id("<|begin_of_text|>"),
        eos_token_id=tokenizer.token_to_id("<|eot_id|>"),
        pad_token_id=None,
    )
    model = LlamaForCausalLM(config)
    _answer_in_verdicts(model, tokenizer)
    model.save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text('{"bos_token": "<|begin_of_text|>"}')
    (directory / "chat_template.jinja").write_text(template_of("llama_guard_3_1b"))
    return directory


def _answer_in_verdicts(model: torch.nn.Module, tokenizer: Tokenizer) -> None:
    """The first dimension of every state is large and equal, so a head that looks at it alone answers alike always."""
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 20.0  # type: ignore[union-attr, operator, index]
        model.lm_head.weight *= 0.1  # type: ignore[union-attr, operator]
        for word, logit in (("safe", SAFE_LOGIT), ("unsafe", UNSAFE_LOGIT), ("\u010a\u010a", 1.5), ("S", 1.2)):
            (row,) = [tokenizer.token_to_id(word)]
            model.lm_head.weight[row, 0] = logit  # type: ignore[union-attr, index]
