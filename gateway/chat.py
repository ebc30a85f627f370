"""POST /v1/chat/completions: one exchange from bytes to bytes.

The response is not begun before the first judged text exists. So everything that can go wrong before that has a real
status code, streamed or not, and nothing is sent that would have to be taken back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway import sse
from gateway.dialects import is_error
from gateway.disconnect import Client, ClientGone, unless_gone
from gateway.entries import Exchange
from gateway.errors import GatewayError, InternalError
from gateway.exchange import ChatRequest
from gateway.ledger import RECEIPT, Ledger
from gateway.logs import log_bug
from gateway.pipeline import Admitted, Blocked, InForce, Pipeline, Step
from gateway.render import StreamedAnswer, UnaryAnswer, blocked_request, error_body
from policies.model import GUARD_UNAVAILABLE

Ending = Callable[[str, str], None]
"""Told once how the exchange ended: (`allow` | `block` | `error`, code)."""


class Conversation:
    """One chat exchange and the response it becomes."""

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        exchange: Exchange,
        in_force: InForce,
        request: ChatRequest,
        ended: Ending,
    ) -> None:
        self._ledger, self._exchange, self._request, self._ended = ledger, exchange, request, ended
        self._client = Client()
        self._steps = pipeline.run(ledger, exchange, in_force, request, self._client)
        self._record = -1
        self._outcome = ("allow", "")
        self._is_whole = True
        """Whether the stream ends as one that is complete."""

    async def respond(self, http: Request) -> Response:
        """The response; for a stream, one whose body is still to come. Raises GatewayError and ClientGone."""
        if not self._request.stream:
            return await unless_gone(http.receive, self._unary(), self._client)
        first = await unless_gone(http.receive, self._first(), self._client)
        if isinstance(first, Response):
            return first
        return _Streaming(self._steps, self._events(first), self._headers(), self._ended, self._client)

    async def _first(self) -> Step | Response:
        """The step that decides the status: a block, or the first release."""
        try:
            async for step in self._steps:
                if isinstance(step, Admitted):
                    self._admitted(step)
                    continue
                if isinstance(step, Blocked) and is_error(step):
                    await self._steps.aclose()
                    return self._refused(step)
                self._record = step.record if isinstance(step, Blocked) and not step.on_answer else self._record
                return step
            raise AssertionError("an admitted exchange ends in a release or a block")
        # Also a client that hangs up: the exchange writes its closing record when its steps are closed.
        except BaseException:
            await self._steps.aclose()
            raise

    def _admitted(self, step: Admitted) -> None:
        """From here on the answer is that of the model which a rule may have chosen, and says so."""
        self._record = step.record
        if step.decision.route is not None:
            self._request = replace(self._request, model=step.decision.route)

    async def _unary(self) -> Response:
        answer = UnaryAnswer(self._exchange, self._request)
        async with aclosing(self._steps) as steps:
            async for step in steps:
                if isinstance(step, Admitted):
                    self._admitted(step)
                    answer = UnaryAnswer(self._exchange, self._request)
                elif isinstance(step, Blocked):
                    if is_error(step):
                        return self._refused(step)
                    self._record = self._record if step.on_answer else step.record
                    answer.block(step)
                    self._outcome = ("block", step.decision.code or "")
                else:
                    answer.add(step)
        self._ended(*self._outcome)
        return self._json(200, answer.body())

    async def _events(self, first: Step) -> AsyncGenerator[bytes]:
        answer = StreamedAnswer(self._exchange, self._request)
        async with aclosing(self._steps) as steps:
            try:
                step: Step | None = first
                while step is not None:
                    for data in self._event_bytes(answer, step):
                        yield data
                    is_over = isinstance(step, Blocked) and is_error(step)
                    step = None if is_over else await anext(steps, None)
                self._ended(*self._outcome)
            except GatewayError as exc:
                # The status line is out. An error event makes every OpenAI SDK raise, and no [DONE] follows it.
                yield self._failed(exc)
            # A bug gets the same ending; let through, it would be a traceback in the server's log.
            except Exception as exc:  # noqa: BLE001
                log_bug(self._exchange.id, exc)
                yield self._failed(InternalError())
        if self._ledger.receipt:
            yield sse.comment(f"{RECEIPT} {self._ledger.receipt}")
        if self._is_whole:
            yield sse.DONE

    def _failed(self, exc: GatewayError) -> bytes:
        """The event that ends a stream that cannot go on."""
        self._outcome, self._is_whole = ("error", exc.code), False
        self._ended(*self._outcome)
        return sse.event(error_body(exc, self._exchange.id))

    def _event_bytes(self, answer: StreamedAnswer, step: Step) -> list[bytes]:
        if isinstance(step, Admitted):
            return []
        if not isinstance(step, Blocked):
            return list(answer.events(step))
        is_failure = step.decision.code == GUARD_UNAVAILABLE
        self._outcome = ("error" if is_failure else "block", step.decision.code or "")
        if is_error(step):
            self._is_whole = False
            return [sse.event(blocked_request(self._exchange, step)[1])]
        return list(answer.blocked(step))

    def _refused(self, step: Blocked) -> Response:
        self._record = step.record
        self._ended("error" if step.decision.code == GUARD_UNAVAILABLE else "block", step.decision.code or "")
        status, body = blocked_request(self._exchange, step)
        response = self._json(status, body)
        if step.decision.code == GUARD_UNAVAILABLE:
            response.headers["retry-after"] = "1"
        return response

    def _json(self, status: int, body: bytes) -> Response:
        return Response(body, status, self._headers(), "application/json")

    def _headers(self) -> dict[str, str]:
        headers = {"x-request-id": self._exchange.id, "gatehouse-record": str(self._record)}
        return headers | ({RECEIPT: self._ledger.receipt} if self._ledger.receipt else {})


class _Streaming(Response):
    """Sends events as they come and stops the exchange when the client hangs up."""

    def __init__(
        self,
        steps: AsyncGenerator[Step],
        events: AsyncGenerator[bytes],
        headers: dict[str, str],
        ended: Ending,
        client: Client,
    ) -> None:
        """`events` are made of `steps`."""
        super().__init__(None, 200, {**headers, "cache-control": "no-store"}, "text/event-stream")
        del self.headers["content-length"]
        self._steps, self._events, self._ended, self._client = steps, events, ended, client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._send_all(send), self._client)
        except ClientGone:
            self._ended("error", "client_gone")

    async def _send_all(self, send: Send) -> None:
        # Events that nobody has begun to read do not close their steps, which have the closing record to write.
        async with aclosing(self._steps), aclosing(self._events) as events:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for data in events:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
