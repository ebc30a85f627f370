"""A conversation as token ids, the way the model host writes it.

Control tokens are put in by id and texts are encoded with special-token parsing off: no text can become a turn.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

Message = tuple[str, str]
"""Role and content."""


@dataclass(frozen=True, slots=True)
class Chat:
    """Turns conversations into ids with one tokenizer."""

    tokenizer: Tokenizer

    def text(self, text: str) -> list[int]:
        """Ids of a text in which nothing is special."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def control(self, name: str) -> int:
        """Id of a control token."""
        token = self.tokenizer.token_to_id(f"<|{name}|>")
        if token is None:
            raise KeyError(f"the tokenizer has no control token `{name}`")
        return token

    def header(self, role: str) -> list[int]:
        """The beginning of a turn."""
        return [self.control("header_start"), *self.text(role), self.control("header_end"), *self.text("\n\n")]

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Everything up to where the assistant's answer begins."""
        ids = [self.control("begin_of_text")]
        for role, content in messages:
            ids += [*self.header(role), *self.text(content.strip()), self.control("eot")]
        return ids + self.header("assistant")

    def answer(self, text: str) -> list[int]:
        """What the assistant says, closed."""
        return [*self.text(text), self.control("eot")]


def function(name: str, argument: str, description: str, about: str = "") -> dict[str, Any]:
    """A function definition with one required string."""
    schema: dict[str, Any] = {"type": "string"}
    if about:
        schema["description"] = about
    parameters = {"type": "object", "properties": {argument: schema}, "required": [argument]}
    return {"name": name, "description": description, "parameters": parameters}


def tools_text(functions: Sequence[dict[str, Any]]) -> str:
    """The block that tells the model which tools it may call."""
    rows = [json.dumps(f, sort_keys=True, separators=(",", ":"), ensure_ascii=False) for f in functions]
    return "\n".join(["Tools you may call, one JSON per line:", *rows])
