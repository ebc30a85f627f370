"""Ways in which people type the same prompt: typos, casing, politeness, punctuation, other words.

Only training prompts go through here; held-out prompts are asked as they were written.
"""

from __future__ import annotations

import random

BEFORE = (
    *(
        "please ",
        "can you tell me ",
        "could you tell me ",
        "tell me ",
        "do you know ",
        "I would like to know ",
        "I want to know ",
    ),
    *(
        "hi, ",
        "hello, ",
        "hey, ",
        "hey ",
        "hi ",
        "so ",
        "ok, ",
        "and ",
        "well, ",
        "quick question: ",
        "question: ",
        "a question, ",
    ),
    *(
        "excuse me, ",
        "sorry, ",
        "one more question, ",
        "another question: ",
        "explain to me ",
        "please tell me ",
        "now ",
        "but ",
    ),
    *(
        "I wonder ",
        "say, ",
        "help, ",
        "just curious, ",
        "can you explain ",
        "could you explain ",
        "also, ",
        "thanks. ",
        "great, ",
    ),
)
AFTER = (
    " please",
    ", please",
    " thanks",
    ", thanks",
    " exactly",
    " here",
    " now",
    " again",
    " then",
    ", I wonder",
    " pls",
    " thank you",
)
SAME = (
    ("gatehouse", "the gateway", "this gateway", "this product", "gatehouse", "Gatehouse", "this software"),
    ("how do I", "how can I", "how to", "how do we", "how would I", "how should I", "what do I do to", "can I"),
    ("what is", "what's", "whats", "explain", "what does it mean,"),
    ("where is", "where's", "where do I find", "where can I find", "where can I see", "in which place is"),
    ("which", "what"),
    ("show", "display", "print", "give"),
    ("show me", "give me", "let me see", "I want to see"),
    ("edit", "change", "modify", "adjust"),
    ("happens", "occurs", "is done"),
    ("use", "run", "work with"),
    ("prompt", "request", "message", "question"),
    ("blocked", "rejected", "stopped", "refused"),
    ("answer", "reply", "response"),
    ("find", "locate", "see"),
    ("stop", "catch", "detect"),
    ("someone", "somebody", "a person"),
    ("does it", "does gatehouse", "will it", "does this", "does the gateway"),
    ("can it", "can gatehouse", "can this", "could it"),
    ("is there", "do you have", "does it have", "is there any", "have you got"),
    ("are there", "do you have", "does it have", "are there any"),
    ("explain", "describe", "tell me about", "help me understand"),
    ("the log", "the audit log", "the audit trail", "the logs"),
    ("audit log", "audit trail", "log of decisions", "audit file"),
    ("connect", "attach", "hook up", "plug in"),
    ("switch off", "turn off", "disable", "deactivate"),
    ("verify", "check", "validate"),
    ("license", "licence"),
    ("guard", "detector", "classifier"),
    ("guards", "detectors", "classifiers"),
    ("crashes", "dies", "fails", "goes down"),
    ("config", "configuration", "settings"),
    ("need", "require"),
    ("fast", "quick"),
    ("big", "large"),
    ("made", "built", "created", "developed"),
    ("start", "launch", "run"),
    ("a mistake", "an error", "a typo", "a bug"),
)
SMALL_TALK = frozenset(["greeting", "thanks", "goodbye", "ack", "affirm", "decline", "compliment", "insult", "ping"])
"""Intents whose prompts would change their meaning under a polite wrapper."""
WEAK = frozenset(
    [
        "the",
        "a",
        "an",
        "is",
        "are",
        "do",
        "does",
        "of",
        "to",
        "it",
        "me",
        "please",
        "i",
        "can",
        "my",
        "in",
        "on",
        "be",
        "so",
    ]
)
NEAR = {
    "a": "sq",
    "b": "vn",
    "c": "xv",
    "d": "sf",
    "e": "wr",
    "g": "fh",
    "h": "gj",
    "i": "uo",
    "k": "jl",
    "l": "k",
    "m": "n",
}
NEAR |= {"n": "bm", "o": "ip", "p": "o", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "y": "tu"}


def vary(text: str, rng: random.Random, *, wrap: bool) -> str:
    """The prompt as someone else would have typed it."""
    if wrap and rng.random() < 0.3:
        text = reword(text, rng)
    if wrap and rng.random() < 0.22:
        text = (rng.choice(BEFORE) if rng.random() < 0.75 else "") + text
        text += rng.choice(AFTER) if rng.random() < 0.3 else ""
    if wrap and rng.random() < 0.12:
        text = drop_weak_word(text, rng)
    if wrap and rng.random() < 0.04:
        text = swap_words(text, rng)
    if rng.random() < 0.14:
        for _ in range(rng.choice((1, 1, 2))):
            text = typo(text, rng)
    return case(end(text, rng), rng)


def reword(text: str, rng: random.Random) -> str:
    """Put one or two words or phrases for others."""
    padded = f" {text} "
    groups = [g for g in SAME if any(f" {form} " in padded for form in g)]
    for group in rng.sample(groups, min(len(groups), rng.choice((1, 1, 2)))):
        form = next((form for form in group if f" {form} " in padded), None)
        if form:
            padded = padded.replace(f" {form} ", f" {rng.choice(group)} ", 1)
    return padded.strip()


def drop_weak_word(text: str, rng: random.Random) -> str:
    """Leave out a word that carries little."""
    words = text.split()
    weak = [i for i, word in enumerate(words) if word.lower() in WEAK]
    if weak and len(words) > 3:
        del words[rng.choice(weak)]
    return " ".join(words)


def swap_words(text: str, rng: random.Random) -> str:
    """Put one word behind the next, as people do who think while they type."""
    words = text.split()
    if len(words) > 3:
        at = rng.randrange(len(words) - 1)
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def typo(text: str, rng: random.Random) -> str:
    """One slip of the fingers in a word of at least four letters."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if not long:
        return text
    index = rng.choice(long)
    word = words[index]
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif kind == 1:
        word = word[:at] + word[at + 1 :]
    elif kind == 2:
        word = word[:at] + word[at] + word[at:]
    else:
        word = word[:at] + rng.choice(NEAR.get(word[at], word[at])) + word[at + 1 :]
    return " ".join([*words[:index], word, *words[index + 1 :]])


def end(text: str, rng: random.Random) -> str:
    """Another closing punctuation mark."""
    if text[-1:] in "?!." and rng.random() < 0.5:
        return text
    stem = text.rstrip("?!.") or text
    question = stem.split(" ")[0].lower() in {
        "what",
        "how",
        "where",
        "who",
        "which",
        "why",
        "is",
        "are",
        "do",
        "does",
        "can",
    }
    return stem + rng.choices(("", "?", ".", "!", "??", "...", " ?"), (40, 45 if question else 8, 8, 6, 2, 2, 2))[0]


def case(text: str, rng: random.Random) -> str:
    """Another habit of capital letters."""
    kind = rng.random()
    if kind < 0.3:
        return text.lower()
    if kind < 0.65:
        return text[:1].upper() + text[1:]
    if kind < 0.69:
        return text.upper()
    return text.title() if kind < 0.72 else text
