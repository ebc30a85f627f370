"""Small stand-ins for the seams of the system. They script behaviour; they never patch it."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import selectors
import string
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import httpx
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from gateway.audit.errors import AuditUnavailable
from gateway.audit.record import canonical
from gateway.audit.writer import Receipt
from gateway.errors import Unavailable
from gateway.exchange import AnswerEvent
from gateway.steps import Place
from guards.errors import ErrorKind, GuardError
from guards.profiles.profile import Profile
from guards.verdict import NO_CONTEXT, Context, GuardIdentity, Part, Verdict

P = ParamSpec("P")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_tokenizer(words: Sequence[str] = ()) -> Tokenizer:
    """A WordPiece tokenizer of the shipped guards' kind that knows letters, digits, punctuation and a few words."""
    pieces = [*SPECIAL, *string.ascii_lowercase, *string.digits, *string.punctuation]
    pieces += [f"##{char}" for char in string.ascii_lowercase + string.digits]
    vocab = {piece: id_ for id_, piece in enumerate(dict.fromkeys([*pieces, *words]))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def write_model(directory: Path, profile: Profile, words: Sequence[str] = (), **changed: object) -> Path:
    """A model directory as the front reads it, with a true manifest. `changed` overrides entries of config.json."""
    sigmoid = {"problem_type": "multi_label_classification"} if profile.activation == "sigmoid" else {}
    config = {
        "architectures": [profile.architecture],
        "id2label": {str(i): label for i, label in enumerate(profile.labels)},
        "max_position_embeddings": 512,
        **sigmoid,
        **changed,
    }
    thresholds = {"score": 0.5, "fpr": 0.01, "categories": dict.fromkeys(profile.categories, 0.25)}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "thresholds.json").write_text(json.dumps(thresholds))
    (directory / "tokenizer.json").write_text(tiny_tokenizer(words).to_str())
    write_manifest(directory)
    return directory


def write_manifest(directory: Path) -> str:
    """List what lies in the directory; returns the digest under which answers name it."""
    files: Mapping[str, object] = {
        path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
        for path in sorted(directory.iterdir())
        if path.name != "manifest.json"
    }
    manifest = {"format": "gatehouse-manifest/v1", "name": directory.name, "license": "Apache-2.0", "files": files}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    canonical = json.dumps(files, sort_keys=True, separators=(",", ":")).encode()
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


class ClassifyHost:
    """A model host that scores rows with a function and keeps what it was asked."""

    def __init__(self, model: str, weights: str, score: Callable[[Sequence[int]], Sequence[float]]) -> None:
        self.model, self.weights, self.score = model, weights, score
        self.calls: list[list[list[int]]] = []
        self.error: Exception | None = None
        self.status = 200
        self.body: object = None
        """When set, the answer whatever the question."""

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def answer(self, rows: Sequence[Sequence[int]]) -> dict[str, object]:
        """What a healthy host says."""
        data = [
            {"index": i, "label": "x", "probs": list(probs), "num_classes": len(probs)}
            for i, probs in enumerate(map(self.score, rows))
        ]
        return {"object": "list", "model": self.model, "weights": self.weights, "data": data}

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/classify"
        if self.error is not None:
            raise self.error
        question = json.loads(request.content)
        assert question["model"] == self.model
        self.calls.append(question["input"])
        body = self.answer(question["input"]) if self.body is None else self.body
        return httpx.Response(self.status, content=body if isinstance(body, bytes) else json.dumps(body).encode())


async def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that other tasks bring about."""
    until = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < until, "the condition did not come true in time"
        await asyncio.sleep(0.005)


class ScriptedGuard:
    """A guard that knows some phrases: text holding one scores as told, everything else scores 0."""

    def __init__(self, use: str, phrases: Mapping[str, Verdict | ErrorKind] | None = None, slow_s: float = 0.0) -> None:
        self.identity = GuardIdentity(use, f"{use}/scripted", "sha256:" + "0" * 64)
        self.phrases, self.slow_s = dict(phrases or {}), slow_s
        self.judged: list[str] = []
        self.contexts: list[Context] = []

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        await asyncio.sleep(self.slow_s)
        self.contexts.append(context)
        verdicts = []
        for part in parts:
            self.judged.append(part.text)
            found = [outcome for phrase, outcome in self.phrases.items() if phrase in part.text]
            for outcome in found:
                if isinstance(outcome, ErrorKind):
                    raise GuardError(self.identity.use, outcome, "scripted")
            verdicts.append(next((v for v in found if isinstance(v, Verdict)), Verdict(0)))
        return verdicts


class MemoryAudit:
    """Keeps records in a list; `fail_from` makes the log unavailable from that record number on.

    `slow_s` is how long a record takes to become durable; it becomes so even when its caller no longer waits.
    """

    def __init__(self, fail_from: int | None = None, slow_s: float = 0.0) -> None:
        self.records: list[dict[str, Any]] = []
        self.fail_from, self.slow_s = fail_from, slow_s
        self.state = "ok"

    async def append(self, record: Mapping[str, Any]) -> int:
        if self.fail_from is not None and len(self.records) >= self.fail_from:
            raise Unavailable("audit_unavailable", "scripted")
        return await asyncio.shield(asyncio.ensure_future(self._write(json.dumps(record))))

    async def _write(self, line: str) -> int:
        await asyncio.sleep(self.slow_s)
        self.records.append(json.loads(line))
        return len(self.records) - 1

    def types(self) -> list[str]:
        return [record["type"] for record in self.records]


class MemoryLog:
    """The audit log below gateway/records.py: refuses what the real one refuses, and fails when told to.

    `slow_s` is how long a record takes to become durable; it becomes so even when its caller no longer waits.
    """

    def __init__(self, fail_from: int | None = None, slow_s: float = 0.0) -> None:
        self.records: list[dict[str, Any]] = []
        self.fail_from, self.slow_s = fail_from, slow_s

    @property
    def healthy(self) -> bool:
        return self.fail_from is None or len(self.records) < self.fail_from

    @property
    def state(self) -> str:
        return "ok" if self.healthy else "audit_unavailable"

    async def append(self, record: Mapping[str, Any]) -> Receipt:
        line = canonical(record)
        if not self.healthy:
            raise AuditUnavailable("scripted")
        return await asyncio.shield(asyncio.ensure_future(self._write(line)))

    async def _write(self, line: bytes) -> Receipt:
        await asyncio.sleep(self.slow_s)
        self.records.append(json.loads(line))
        return Receipt(len(self.records) - 1, hashlib.sha256(line).digest())

    def sign_receipt(self, receipt: Receipt) -> str:
        return f"memory; i={receipt.seq}"


class ScriptedServer:
    """A model server that sends the events it was given, and keeps the bodies it was sent.

    An exception among the events is raised there; a number is a pause in seconds.
    """

    def __init__(self, *events: AnswerEvent | Exception | float) -> None:
        self.events, self.closed = events, False
        self.bodies: list[dict[str, Any]] = []

    async def served_as(self, model: str) -> str:
        return f"served/{model}"

    async def place(self, model: str, engine: str = "") -> Place:
        return Place(self, await self.served_as(model))

    async def answer(self, body: bytes, *, stream: bool, choices: int) -> AsyncGenerator[AnswerEvent]:
        self.bodies.append(json.loads(body))
        try:
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                if isinstance(event, float):
                    await asyncio.sleep(event)
                else:
                    yield event
        finally:
            self.closed = True


class HandClock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait until the next thing is due, but says that it is."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(timeout if timeout is None else 0)
        self.now += 0 if found or timeout is None else max(0.0, timeout)
        return found


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop on which time passes only while everybody waits for it, and then at once. Not for threads or peers."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def jumping(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs a test on a JumpingLoop: its waits are exact and take no time, however busy the machine is."""

    @functools.wraps(test)
    def run(*args: P.args, **options: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            runner.run(test(*args, **options))

    return run
