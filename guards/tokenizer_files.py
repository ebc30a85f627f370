"""The control tokens of a tokenizer, read from its directory: what a server that runs it would parse out of a text.

A tokenizer cuts its added tokens out of a text before it does anything else, so whoever writes one out forges it.
They are read from `tokenizer.json`, where a model of 200,000 words is skipped unread, and from the small files beside
it. Left out is what people write without meaning a token: names of HTML elements (`<s>`, `<table>`), blanks, words
without a sign, and the five of BERT (`[MASK]`), which the family `bert` finds where that is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from guards.errors import GuardSetupError

USE: Final = "special_tokens"
MOST_BYTES: Final = 256 * 1024 * 1024
MOST_TOKENS: Final = 65_536
_LONGEST: Final = 64
_ADDED: Final = re.compile(r'"added_tokens"\s*:\s*(?=\[)')
"""Inside a string the quotation marks would have a backslash, so this is the key and no word of the vocabulary."""
_HTML: Final = re.compile(
    r"(?i)</?(?:a|abbr|address|article|aside|audio|b|bdi|bdo|blockquote|body|br|button|canvas|caption|center|cite"
    r"|code|col|dd|del|details|dfn|div|dl|dt|em|fieldset|figcaption|figure|font|footer|form|h1|h2|h3|h4|h5"
    r"|h6|head|header|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|main|mark|meta|nav|object|ol"
    r"|option|p|picture|pre|q|rp|rt|ruby|s|samp|script|section|select|small|source|span|strike|strong"
    r"|style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr|tt|u|ul|var"
    r"|video) ?/?>"
)
_ORDINARY: Final = frozenset(("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]"))


def control_tokens(directory: Path) -> tuple[str, ...]:
    """Sorted. Raises GuardSetupError when there is no tokenizer that can be read."""
    try:
        found = {
            token for name in _READERS if (directory / name).is_file() for token in _READERS[name](directory / name)
        }
        has_any = any((directory / name).is_file() for name in _READERS)
    except (OSError, ValueError, RecursionError) as exc:
        raise GuardSetupError(USE, f"the tokenizer in `{directory}` cannot be read") from exc
    if not has_any:
        raise GuardSetupError(USE, f"`{directory}` holds no tokenizer, expected a `tokenizer.json`")
    kept = sorted(token for token in found if is_control(token))
    if len(kept) > MOST_TOKENS:
        raise GuardSetupError(USE, f"`{directory}` has {len(kept)} control tokens, expected at most {MOST_TOKENS}")
    return tuple(kept)


def is_control(token: str) -> bool:
    """Whether nobody writes it by accident."""
    if not 2 < len(token) <= _LONGEST or token in _ORDINARY or not token.strip() or token[-1:].isspace():
        return False
    is_word = token[0].isalnum() or token[-1].isalnum() or not any(char.isalnum() for char in token)
    return not is_word and _HTML.fullmatch(token) is None


def _text(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise ValueError("too large")
    return path.read_text(encoding="utf-8")


def _from_tokenizer(path: Path) -> Iterator[str]:
    text = _text(path)
    if text[:1] != "{":
        raise ValueError("no object")
    if (key := _ADDED.search(text)) is not None:
        yield from _contents(json.JSONDecoder().raw_decode(text, key.end())[0])


def _from_config(path: Path) -> Iterator[str]:
    top = _object(path)
    listed = top.get("added_tokens_decoder")
    yield from _contents(list(listed.values()) if isinstance(listed, dict) else [])
    yield from _from_values(top)


def _from_map(path: Path) -> Iterator[str]:
    yield from _from_values(_object(path))


def _from_added(path: Path) -> Iterator[str]:
    """Token to number."""
    yield from _object(path)


def _from_values(top: dict[str, object]) -> Iterator[str]:
    """`eos_token: "</s>"`, `eos_token: {content: "</s>"}`, `additional_special_tokens: […]`."""
    for key, value in top.items():
        if key.endswith(("_token", "_tokens")):
            yield from _contents(value if isinstance(value, list) else [value])


def _contents(rows: object) -> Iterator[str]:
    for row in rows if isinstance(rows, list) else ():
        said = row.get("content") if isinstance(row, dict) else row
        if isinstance(said, str):
            yield said


def _object(path: Path) -> dict[str, object]:
    top = json.loads(_text(path))
    if not isinstance(top, dict):
        raise ValueError("no object")
    return top


_READERS: Final = {
    "tokenizer.json": _from_tokenizer,
    "tokenizer_config.json": _from_config,
    "special_tokens_map.json": _from_map,
    "added_tokens.json": _from_added,
}
