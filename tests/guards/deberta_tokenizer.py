"""A tokenizer of DeBERTa's kind, small enough to read: Unigram, with control tokens as ordinary pieces."""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

CLS, SEP = 1, 2


def deberta(*extra: normalizers.Normalizer, special: bool = False) -> Tokenizer:
    """A Unigram tokenizer of DeBERTa's kind: control tokens are ordinary pieces of the vocabulary."""
    names = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    pieces = [(name, 0.0) for name in names] + [(f"\u2581{word}", -2.0) for word in ("attack", "hello")]
    pieces += [("attack", -2.5), ("\u2581", -3.0), *((chr(code), -8.0) for code in range(33, 127))]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence([*extra, normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", CLS), ("[SEP]", SEP)])
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names if special])
    return tokenizer
