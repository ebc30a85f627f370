"""A guard on a server, as vLLM serves it: texts as ids under `/v1/completions`, pictures under `/v1/chat/completions`.

What it thinks of a picture it reads from the pixels that it was sent, so that a test sees whose bytes were judged: red
ones are unsafe. A text is unsafe that says so. It can be told to be a server that does not look at pictures.
"""

from __future__ import annotations

import base64
import io
import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image
from tokenizers import Tokenizer

MODEL = "org/guard-that-sees"
LIKELY, RARE = math.log(0.9), math.log(0.02)


def is_red(picture: bytes) -> bool:
    red, green, blue = Image.open(io.BytesIO(picture)).convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    return bool(red > 2 * max(green, blue))


class SeeingServer(ThreadingHTTPServer):
    """One model, whose tokenizer is that of the checkpoint at hand."""

    daemon_threads = True

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
        self.pictures: list[bytes] = []
        """Those it was shown, the newest last."""
        self.sees = True
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def completions(self, body: dict[str, Any]) -> dict[str, Any]:
        choices = [{"index": i, "text": "", **self._next(ids)} for i, ids in enumerate(body["prompt"])]
        return {"model": MODEL, "choices": choices, "usage": {"prompt_tokens": sum(map(len, body["prompt"]))}}

    def _next(self, ids: list[int]) -> dict[str, Any]:
        text = self.tokenizer.decode(ids, skip_special_tokens=False)
        if text.endswith("unsafe"):
            words: tuple[tuple[str, float], ...] = (("<|eot|>", LIKELY),)
        else:
            words = self._words("unsafe" if "hit him" in text else "safe")
        told = {f"token_id:{self.tokenizer.token_to_id(word)}": value for word, value in words}
        return {"logprobs": {"top_logprobs": [told]}}

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        pieces = [piece for message in body["messages"] for piece in message["content"]]
        urls = [piece["image_url"]["url"] for piece in pieces if piece["type"] == "image_url"]
        assert len(urls) == 1
        self.pictures += [base64.b64decode(url.partition(",")[2]) for url in urls]
        # The template says the whole policy around these texts, which is more tokens than the stand-in's few letters.
        texts = len("".join(piece["text"] for piece in pieces if piece["type"] == "text")) + 8_000
        verdict = "unsafe" if self.sees and is_red(self.pictures[-1]) else "safe"
        written = "unsafe\nS9" if verdict == "unsafe" else "safe"
        words = self._words(verdict)
        top = [{"token": word, "logprob": value} for word, value in words]
        choice = {"index": 0, "message": {"role": "assistant", "content": written}, "finish_reason": "stop"}
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return {"model": MODEL, "choices": [choice], "usage": {"prompt_tokens": texts if self.sees else 20}}

    def _words(self, verdict: str) -> tuple[tuple[str, float], ...]:
        return ((verdict, LIKELY), ("safe" if verdict == "unsafe" else "unsafe", RARE))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SeeingServer

    def do_GET(self) -> None:
        self.close_connection = True  # so that a server that ends has no connection left to answer on
        self._say({"data": [{"id": MODEL}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._say(
            {"/v1/completions": self.server.completions, "/v1/chat/completions": self.server.chat}[self.path](body)
        )

    def _say(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...
