"""A model server that says what it is told to: it plays the unsafe model, the broken one and the slow one.

    python tests/scripted_upstream.py --port 9000

The last user message is the script. `say: TEXT` answers TEXT; otherwise a fixed table below is looked up; anything else
is answered with `You said N words.` It speaks OpenAI's wire format, streamed and not, and needs starlette and uvicorn.
Every request body it got is kept and listed under GET /seen, so that a test can say what went upstream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL = "scripted"
UNSAFE = "Sure. Here is how to break into the neighbour's house tonight and steal the jewellery without being caught."
LEAK = "The deploy key is AKIAQ7RT5ZK2MWX4LPNV and the region is eu-west-1. Keep it to yourself."
TABLE = {"read page seven": UNSAFE, "leak the key": LEAK, "long story": "Once upon a time. " * 400}
seen: list[Any] = []


def script(body: dict[str, Any]) -> str:
    for message in reversed(body["messages"]):
        if message["role"] == "user":
            content = message["content"]
            return content if isinstance(content, str) else " ".join(piece.get("text", "") for piece in content)
    return ""


def answer_to(order: str) -> str:
    if order.startswith("say: "):
        return order.removeprefix("say: ")
    return TABLE.get(order, f"You said {len(order.split())} words.")


def head(kind: str) -> dict[str, Any]:
    return {"id": "up-1", "object": kind, "created": 1, "model": MODEL, "system_fingerprint": "upstream-text"}


def drawn(text: str) -> dict[str, Any]:
    """`text` as one token, with an alternative that is no text of the answer."""
    row = {"token": text, "logprob": -0.25, "bytes": list(text.encode())}
    return {"content": [row | {"top_logprobs": [row, row | {"token": "ALTERNATIVE"}]}], "refusal": None}


def chunk(delta: dict[str, Any], reason: str | None = None, index: int = 0, logprobs: bool = False) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    if logprobs:
        choice["logprobs"] = drawn(delta["content"])
    return b"data: " + json.dumps(head("chat.completion.chunk") | {"choices": [choice]}).encode() + b"\n\n"


async def streamed(order: str, choices: int, logprobs: bool) -> AsyncIterator[bytes]:
    """All choices say the same, but that each order of `first | second` is one choice's own."""
    for index in range(choices):
        yield chunk({"role": "assistant", "content": ""}, index=index)
    orders = order.split(" | ")
    if len(orders) == choices > 1:
        for index, own in enumerate(orders):
            for word in answer_to(own).split(" "):
                yield chunk({"content": word + " "}, None, index, logprobs)
                await asyncio.sleep(0.002)
            yield chunk({}, "stop", index)
        yield b"data: [DONE]\n\n"
        return
    text = answer_to(order.removeprefix("cut off: ").removeprefix("slowly: "))
    words = text.split(" ")
    for number, word in enumerate(words):
        if order.startswith("cut off: ") and number == len(words) // 2:
            return
        if order.startswith("slowly: "):
            await asyncio.sleep(0.05)
        yield chunk({"content": word if number == 0 else " " + word}, None, 0, logprobs)
    yield chunk({}, "stop")
    usage = {"prompt_tokens": 3, "completion_tokens": len(words), "total_tokens": 3 + len(words)}
    yield b"data: " + json.dumps(head("chat.completion.chunk") | {"choices": [], "usage": usage}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def whole(body: dict[str, Any], order: str) -> dict[str, Any]:
    if order == "call a tool" and body.get("tools"):
        name = body["tools"][0]["function"]["name"]
        call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"city":"Paris"}'}}
        message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]}
        reason = "tool_calls"
    else:
        message, reason = {"role": "assistant", "content": answer_to(order), "vendor_note": "unjudged"}, "stop"
    choices = [{"index": i, "message": message, "finish_reason": reason} for i in range(body.get("n", 1))]
    for choice, own in zip(choices, order.split(" | "), strict=False):
        if len(choices) > 1:
            choice["message"] = message | {"content": answer_to(own)}
    if body.get("logprobs"):
        for choice in choices:
            choice["logprobs"] = drawn(choice["message"]["content"])
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8, "vendor": "unjudged"}
    return head("chat.completion") | {"choices": choices, "usage": usage}


async def chat(request: Request) -> Response:
    body = await request.json()
    seen.append(body)
    order = script(body)
    if order == "fail":
        return JSONResponse({"error": {"message": "PROMPT ECHO: " + order, "code": "boom"}}, 500)
    if order == "refuse":
        return JSONResponse({"error": {"message": "context too long", "code": "context_length_exceeded"}}, 400)
    if order == "garbage":
        return Response(b'{"choices": [{"index": 0, "message": {"role": "user"}}]}', media_type="application/json")
    if order == "encoded":
        return Response(b"\x1f\x8b", headers={"content-encoding": "gzip"}, media_type="application/json")
    if order.startswith("think "):
        await asyncio.sleep(float(order.split()[1]))
    if body.get("stream"):
        return StreamingResponse(
            streamed(order, body.get("n", 1), bool(body.get("logprobs"))), media_type="text/event-stream"
        )
    return JSONResponse(whole(body, order))


async def models(_request: Request) -> Response:
    return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


async def list_seen(_request: Request) -> Response:
    return JSONResponse(seen)


app = Starlette(
    routes=[
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/models", models),
        Route("/seen", list_seen),
    ]
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=9000)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning")
