"""Messages to token ids in Llama 4's turns, and tool calls back out of an answer.

Control tokens are placed by id; everything a person, a tool or a schema wrote is encoded with control tokens
impossible. A checkpoint's own chat_template.jinja is not executed: a template works on text, where the difference
between a turn and the words for a turn is lost. Models trained with other turns than these need their own renderer.
"""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.errors import ModelRefused
from engine.tokens import TextTokenizer
from engine.vision.sent import Piece, Sent

if TYPE_CHECKING:
    from engine.vision.look import Shown
    from engine.vision.prompt import Placed

Json: TypeAlias = Any
"""A parsed JSON value: looked at before use."""
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "ipython"}
TOOLS_HEADING = "Tools you may call, one JSON per line:"
MAX_CALL_CHARACTERS = 16_384
MAX_CALLS = 32


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call in an answer; `arguments` is a JSON object as text, as OpenAI's interface has it."""

    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn. `role` is a key of ROLES."""

    role: str
    content: str = field(repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    pieces: tuple[Piece, ...] = field(default=(), repr=False)
    """Texts and pictures in order, of a message that has pictures; `content` is empty then."""

    @property
    def pictures(self) -> list[Sent]:
        return [piece for piece in self.pieces if isinstance(piece, Sent)]


class ChatFormat:
    """Renders conversations for one tokenizer."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._begin = self._control("begin_of_text")
        self._header = self._control("header_start"), self._control("header_end")
        self._eot = self._control("eot")
        self._gap = tokenizer.content("\n\n")

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer, whatever the generation configuration says."""
        names = ("end_of_text", "eom", "eot")
        found = (self._tokenizer.control(f"<|{name}|>") for name in names)
        return frozenset(token for token in found if token is not None)

    def render(self, messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Json]] = ()) -> tuple[int, ...]:
        """Ids up to where the assistant's answer begins, of messages without pictures."""
        return self.render_all(messages, tools, _nothing)[0]

    def render_all(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[Mapping[str, Json]],
        look: Callable[[Sent], list[str | Shown]],
    ) -> tuple[tuple[int, ...], tuple[Placed, ...]]:
        """The same, and where pictures stand in it. `look` says what stands for a picture."""
        ids = [self._begin]
        placed: list[Placed] = []
        for role, pieces in _turns(messages, tools):
            ids += self._opening(role)
            for piece in pieces:
                for shown in [piece] if isinstance(piece, str) else look(piece):
                    if isinstance(shown, str):
                        ids += self._tokenizer.content(shown)
                    else:
                        placed.append(shown[1].moved(len(ids)))
                        ids += shown[0]
            ids.append(self._eot)
        return (*ids, *self._opening("assistant")), tuple(placed)

    def plain(self, text: str) -> tuple[int, ...]:
        """A text to continue, without turns."""
        return (self._begin, *self._tokenizer.content(text))

    def _opening(self, role: str) -> list[int]:
        return [self._header[0], *self._tokenizer.content(role), self._header[1], *self._gap]

    def _control(self, name: str) -> int:
        token = self._tokenizer.control(f"<|{name}|>")
        if token is None:
            raise ModelRefused("tokenizer_invalid", f"the tokenizer has no control token `<|{name}|>`")
        return token


def _nothing(picture: Sent) -> list[str | Shown]:
    raise AssertionError("a message with pictures is rendered with what the model makes of them")


def _turns(messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Json]]) -> list[tuple[str, tuple[Piece, ...]]]:
    """(role, pieces) for each turn. Offered tools join the first system turn, or make one."""
    turns = [(ROLES[message.role], _pieces(message)) for message in messages]
    if not tools:
        return turns
    offered = tools_text(tools)
    if turns and turns[0][0] == "system":
        return [("system", (f"{turns[0][1][0]}\n\n{offered}",)), *turns[1:]]
    return [("system", (offered,)), *turns]


def _pieces(message: ChatMessage) -> tuple[Piece, ...]:
    """One text, or texts and pictures; only users show pictures."""
    if not message.pieces:
        return (_text(message),)
    return tuple(piece.strip() if isinstance(piece, str) else piece for piece in message.pieces)


def _text(message: ChatMessage) -> str:
    calls = ", ".join(f"{call.name}({_arguments(call.arguments)})" for call in message.tool_calls)
    content = message.content.strip()
    return content if not calls else f"{content}\n[{calls}]" if content else f"[{calls}]"


def tools_text(tools: Sequence[Mapping[str, Json]]) -> str:
    """What tells the model which functions it may call."""
    rows = [json.dumps(tool, sort_keys=True, separators=(",", ":"), ensure_ascii=False) for tool in tools]
    return "\n".join([TOOLS_HEADING, *rows])


def _arguments(raw: str) -> str:
    """A JSON object as keyword arguments. The wire has checked that it is one."""
    return ", ".join(f"{name}={_literal(value)}" for name, value in json.loads(raw).items())


def _literal(value: Json) -> str:
    """The Python form; texts in double quotes, as the model was trained to write them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def parse_calls(text: str, offered: frozenset[str]) -> tuple[ToolCall, ...]:
    """The calls, if the whole text is a list of calls of offered functions with literal arguments; else none.

    Nothing is evaluated. Half of a call, a call of something else and a call with an expression are plain text.
    """
    text = text.strip()
    if len(text) > MAX_CALL_CHARACTERS or not (text.startswith("[") and text.endswith("]")):
        return ()
    try:
        with warnings.catch_warnings():
            # The parser warns about odd escapes, with the text in its warning.
            warnings.simplefilter("ignore")
            body = ast.parse(text, mode="eval").body
        if not isinstance(body, ast.List) or not 0 < len(body.elts) <= MAX_CALLS:
            return ()
        return tuple(_call(node, offered) for node in body.elts)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return ()


def _call(node: ast.expr, offered: frozenset[str]) -> ToolCall:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("not a call with named arguments")
    name = ast.unparse(node.func)
    if name not in offered or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("not an offered function")
    arguments = json.dumps({str(one.arg): _value(one.value) for one in node.keywords}, ensure_ascii=False)
    # Half of a surrogate pair, which an escape can write, is a ValueError here: no answer could hold it.
    arguments.encode()
    return ToolCall(name, arguments)


def _value(node: ast.expr) -> Json:
    """A literal as a JSON value."""
    match node:
        case ast.Constant(value=str() | int() | float() | bool() | None as value):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError("not a finite number")
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _value(value) for key, value in zip(keys, values, strict=True)}
        case ast.Name(id="true" | "false" | "null" as name):
            return {"true": True, "false": False, "null": None}[name]
    raise ValueError("not a literal")


def _key(node: ast.expr | None) -> str:
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        raise ValueError("not a text")
    return node.value
