"""What a generative guard is shown for one part: the text alone, and the text at the end of its conversation.

Guard prompts know two speakers, a user first and then in turns, and judge the last message by the side it is on. So
everything is one of two sides: what a model said (answers, reasoning, tool calls) is the agent's, all else is the
user's, tool results and instructions too, since they reach the model from outside. Neighbours of one side are one turn;
an empty turn stands where a side has said nothing, and always between the judged message and an earlier one of its own
side, so that only the part itself is judged. Nothing is left out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from guards.verdict import Context, Part, Scope, Turn

QUESTION_CHARS = 2_000
"""How much of a question stands before an answer that is judged alone: its end."""

Texts = tuple[str, ...]
"""Turns of one conversation, a user first, alternating."""


class Side(IntEnum):
    """Who speaks. The number of turns before a message of this side is odd for the agent, even for the user."""

    USER = 0
    AGENT = 1


_AGENT_SCOPES = {Scope.OUTPUT, Scope.REASONING, Scope.TOOL_CALL}


def side_of(part: Part) -> Side:
    """Whose message a part is, as a guard judges it."""
    return Side.AGENT if part.scope in _AGENT_SCOPES or part.role == "assistant" else Side.USER


def judged_text(part: Part) -> str:
    """All of the message: a window of a streamed answer comes with what was judged before it."""
    return part.preceding + part.text


def turns_before(part: Part, context: Context) -> Texts:
    """The history in turns, such that the next turn is the part's own."""
    texts: list[str] = []
    for turn in context.history(part):
        _say(texts, _side(turn), turn.text)
    if len(texts) % 2 != side_of(part):
        texts.append("")
    return tuple(texts)


def alone(part: Part, context: Context) -> Texts:
    """What stands before the part when it is judged alone: nothing, or for an answer the end of its question."""
    if side_of(part) is Side.USER:
        return ()
    asked = next((turn.text for turn in reversed(context.history(part)) if _side(turn) is Side.USER), "")
    return (asked[-QUESTION_CHARS:],)


def latest(texts: Texts, most: int) -> Texts:
    """The last turns, at most so many, for templates that show no more. Keeps which side is last."""
    over = max(len(texts) - most, 0)
    return texts[over + over % 2 :]


def _say(texts: list[str], side: Side, text: str) -> None:
    if not text.strip():
        return
    if texts and (len(texts) - 1) % 2 == side:
        texts[-1] = f"{texts[-1]}\n\n{text}" if texts[-1] else text
        return
    if len(texts) % 2 != side:
        texts.append("")
    texts.append(text)


def _side(turn: Turn) -> Side:
    return Side.AGENT if turn.role == "assistant" else Side.USER


def without_oldest(texts: Sequence[str]) -> Texts:
    """One turn of each side less, from the front."""
    return tuple(texts[2:])
