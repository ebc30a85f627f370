"""Makes the wrapper of a text worthless as a signal, so that a classifier has to read the text.

Every disguise is put on attacks, harmful requests and ordinary text alike: capitals, typos, spaced letters,
digits for letters, JSON around a tool result, a greeting in front. A document is put around attacks only, where the
label means "somewhere in here"; the documents themselves are ordinary rows. All randomness comes from the caller.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

LEET = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})
OPENERS = (
    "Hi there! ",
    "hello, ",
    "Quick question: ",
    "Hey, thanks for the help earlier. ",
    "Please ",
    "ok so ",
    "Good morning. ",
    "One more thing. ",
    "I'm new here. ",
    "Sorry to bother you, ",
)
CLOSERS = (
    " Thanks!",
    " thx",
    " Please be brief.",
    " Thank you in advance.",
    " ?",
    " Any help appreciated.",
    "\n\n--\nSent from my phone",
)
TOOLS = ("search", "read_file", "get_page", "fetch_mail", "lookup_order", "read_ticket")


def shout(text: str, rng: random.Random) -> str:
    """All capitals; the vocabulary is uncased, so this is about what the tokenizer does with them."""
    return text.upper()


def typos(text: str, rng: random.Random) -> str:
    """Swaps, drops or doubles a letter in about one word of eight."""
    words = text.split(" ")
    for place, word in enumerate(words):
        if len(word) > 3 and rng.random() < 0.12:
            at = rng.randrange(1, len(word) - 1)
            words[place] = rng.choice(
                (
                    word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                    word[:at] + word[at + 1 :],
                    word[:at] + word[at] + word[at:],
                )
            )
    return " ".join(words)


def spaced(text: str, rng: random.Random) -> str:
    """One stretch of words with a space between all letters."""
    words = text.split(" ")
    start = rng.randrange(len(words))
    for place in range(start, min(len(words), start + rng.randint(1, 4))):
        words[place] = " ".join(words[place])
    return " ".join(words)


def leet(text: str, rng: random.Random) -> str:
    """Digits for letters in half the words."""
    return " ".join(word.translate(LEET) if rng.random() < 0.5 else word for word in text.split(" "))


def greeted(text: str, rng: random.Random) -> str:
    """Small talk before or after."""
    if rng.random() < 0.6:
        return rng.choice(OPENERS) + text
    return text.rstrip(" .") + "." + rng.choice(CLOSERS)


def tool_json(text: str, rng: random.Random) -> str:
    """The text as one field of a tool's answer."""
    field = rng.choice(("content", "result", "text", "body", "description", "note"))
    answer: dict[str, object] = {"tool": rng.choice(TOOLS), "status": "ok", field: text}
    if rng.random() < 0.5:
        answer["id"] = rng.randrange(10_000, 99_999)
    return json.dumps(answer, ensure_ascii=rng.random() < 0.3)


def chat(text: str, rng: random.Random) -> str:
    """The text as the last line of a transcript."""
    before = rng.choice(("Can you help me?", "hi", "What is the weather like?", "I have a question about my order."))
    return f"User: {before}\nAssistant: Sure, how can I help?\nUser: {text}"


DISGUISES: tuple[tuple[float, Callable[[str, random.Random], str]], ...] = (
    (0.03, shout),
    (0.07, typos),
    (0.015, spaced),
    (0.015, leet),
    (0.08, greeted),
    (0.03, tool_json),
    (0.02, chat),
)


def disguise(text: str, rng: random.Random) -> str:
    """At most one disguise, the same ones at the same rates for every label."""
    draw = rng.random()
    for share, change in DISGUISES:
        if draw < share:
            return change(text, rng)
        draw -= share
    return text


def embed(text: str, documents: Sequence[str], rng: random.Random) -> str:
    """The text between two halves of an ordinary document, or after one."""
    document = rng.choice(documents)[:500]
    if rng.random() < 0.4:
        return f"{document}\n{text}"
    cut = document.find(" ", rng.randrange(max(1, len(document))))
    cut = len(document) if cut < 0 else cut
    return f"{document[:cut]} {text} {document[cut:].strip()}"
