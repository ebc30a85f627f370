"""Trains the byte-level BPE vocabulary and names the control tokens of Llama 4.

A space belongs to the word after it only for short lower-case words. Every other word is the same token at the
start of a sentence, in its middle and inside quotes, which is what lets a tiny model copy a tool argument.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SIZE = 2048
CONTROL = (
    *("begin_of_text", "end_of_text", "header_start", "header_end", "eom", "eot", "step"),
    *("python_start", "python_end", "finetune_right_pad"),
)
PIECES = r" [a-z]{1,3}(?!\p{L})|\p{L}+|\d+|\n+| {2,}| |[^\s\p{L}\d]+|\s"


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """A vocabulary of `SIZE` tokens, control tokens last, in which texts are never read as control tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - len(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != SIZE - len(CONTROL):
        raise ValueError(f"corpus gives {tokenizer.get_vocab_size()} tokens, expected {SIZE - len(CONTROL)}")
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True, normalized=False) for name in CONTROL])
    tokenizer.encode_special_tokens = True
    return tokenizer
