"""`tool_choice` in all its forms: which of the offered tools may be called, and whether one has to be.

`allowed_tools` is a form that few model servers know, and it means the same as offering fewer tools. So it is turned
into that, and every server does what was asked. Names have to be those of offered tools: any other text would reach
the model unjudged.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway import fields
from gateway.jsonstrict import Json


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """What goes upstream."""

    forwarded: Json
    offered: frozenset[str] | None = None
    """The only tools that are; None: all."""

    def of(self, tools: list[Json]) -> list[Json]:
        """Those of the declared tools that are offered."""
        return [tool for tool in tools if self.offered is None or _name(tool) in self.offered]


def read_tool_choice(value: Json, known: Collection[str]) -> ToolChoice:
    """BadRequest for a name that is not one of the `known` ones."""
    if isinstance(value, str):
        return ToolChoice(fields.one_of("none", "auto", "required")(value, "tool_choice"))
    choice = fields.known_keys(value, "tool_choice", {"type": None, "function": None, "allowed_tools": None})
    kind = fields.one_of("function", "allowed_tools")(choice.get("type"), "tool_choice.type")
    if (other := "function" if kind == "allowed_tools" else "allowed_tools") in choice:
        fields.wrong(f"tool_choice.{other}", f"left out where `type` is `{kind}`")
    if kind == "function":
        return ToolChoice({"type": kind, "function": _function(choice, "tool_choice", known)})
    where = "tool_choice.allowed_tools"
    allowed = fields.known_keys(choice.get("allowed_tools"), where, {"mode": None, "tools": None})
    mode, tools = fields.one_of("auto", "required")(allowed.get("mode"), f"{where}.mode"), allowed.get("tools")
    if not isinstance(tools, list) or not tools:
        fields.wrong(f"{where}.tools", "a list with at least one of `tools`")
    return ToolChoice(mode, frozenset(_allowed(tool, f"{where}.tools[{i}]", known) for i, tool in enumerate(tools)))


def _allowed(value: Json, where: str, known: Collection[str]) -> str:
    tool = fields.known_keys(value, where, {"type": None, "function": None})
    fields.one_of("function")(tool.get("type"), f"{where}.type")
    return str(_function(tool, where, known)["name"])


def _function(holder: dict[str, Json], where: str, known: Collection[str]) -> dict[str, Json]:
    function = fields.known_keys(holder.get("function"), f"{where}.function", {"name": None})
    name = function.get("name")
    if not isinstance(name, str) or name not in known:
        fields.wrong(f"{where}.function.name", "the name of one of `tools`")
    return function


def _name(tool: Json) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    return str(function.get("name")) if isinstance(function, dict) else ""
