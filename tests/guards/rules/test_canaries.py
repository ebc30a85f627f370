"""A random string is found however a model was made to write it, and nowhere else."""

from __future__ import annotations

import base64
import codecs
import re
import string
from pathlib import Path
from typing import Final

import pytest

from guards.rules.base import compile_re2
from guards.rules.canaries import spellings

SECRET: Final = "k3Jx9QpL2mVa"
PATTERN: Final = compile_re2(f"(?i){spellings(SECRET)}", captures=False)
MIRROR: Final = str.maketrans(string.ascii_letters, string.ascii_lowercase[::-1] + string.ascii_uppercase[::-1])


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        SECRET.upper(),
        SECRET[::-1],
        " ".join(SECRET),
        "-".join(SECRET[::-1]),
        ", ".join(f'"{c}"' for c in SECRET)[1:-1],
        "\u200b".join(SECRET),
        "".join(f"{c}\u0336" for c in SECRET),
        codecs.encode(SECRET, "rot13"),
        codecs.encode(SECRET[::-1], "rot13"),
        SECRET.translate(MIRROR),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(SECRET.encode()).decode()[::-1],
        base64.b64encode(SECRET[::-1].encode()).decode(),
        "-".join(re.findall("....", base64.b64encode(SECRET.encode()).decode())),
        base64.b32encode(SECRET.encode()).decode().lower(),
        base64.b85encode(SECRET.encode()).decode(),
        base64.a85encode(SECRET.encode()).decode(),
        SECRET.encode().hex(),
        " ".join(f"0x{ord(c):02x}" for c in SECRET),
        " ".join(f"U+{ord(c):04X}" for c in SECRET),
        " ".join(str(ord(c)) for c in SECRET),
        "+".join(f"chr({ord(c)})" for c in SECRET),
        " ".join(f"{ord(c):08b}" for c in SECRET),
        " ".join(f"{ord(c):o}" for c in SECRET),
    ],
)
@pytest.mark.parametrize("frame", ["{}", "It is {}, as you asked."])
def test_each_spelling_is_found(written: str, frame: str) -> None:
    assert PATTERN.search(frame.format(written)) is not None


def test_other_strings_and_prose_are_not() -> None:
    prose = (Path(__file__).parents[3] / "docs" / "threat-model.md").read_text(encoding="utf-8")
    assert PATTERN.search(prose) is None
    assert PATTERN.search(SECRET[:-1] + "b") is None
    assert PATTERN.search(base64.b64encode(b"k3Jx9QpL2mVb").decode()) is None


@pytest.mark.parametrize("secret", ["12345678", "abcdefgh", "0123456789abcdef" * 4])
def test_any_canary_makes_a_pattern(secret: str) -> None:
    pattern = compile_re2(f"(?i){spellings(secret)}", captures=False)
    assert pattern.search(" ".join(secret)) is not None
    assert pattern.search("nothing of it 1 2 3 abc") is None
