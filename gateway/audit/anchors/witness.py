"""Heads cosigned by a witness (C2SP tlog-witness, add-checkpoint).

The witness gets each head with the proof that it continues the last one it saw, and signs it with its own key and the
time. Only a signature that verifies against the configured key counts. Which head it saw last it knows itself: where
our guess is wrong it says so (409), and is asked once more. If that head is larger than ours, or does not lead to
ours, this log was set back or is not the one it saw: an alarm, and nothing that trying again will mend.
"""

from __future__ import annotations

import re
import time
from base64 import b64encode
from pathlib import Path

from gateway.audit.anchors.anchor import HeadNote
from gateway.audit.anchors.errors import AnchorError
from gateway.audit.anchors.http import AnchorClient, Answer
from gateway.audit.anchors.settings import WitnessAt
from gateway.audit.errors import TileError
from gateway.audit.note import Checkpoint
from gateway.audit.record import Json
from gateway.audit.tile_cache import tree_of

CERTIFICATE_HEADER = "Gatehouse-Epoch-Certificate"
SIZE_TYPE = "text/x.tlog.size"
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,15})\n")
_AHEAD_S = 300
"""A witness whose clock is further ahead than this says nothing that an auditor could use."""
_TRIES = 3


class WitnessAnchor:
    """One witness."""

    def __init__(self, settings: WitnessAt, directory: Path, known: int = 0) -> None:
        """`known`: the size that it cosigned last, as far as we know."""
        self._settings, self._directory, self._known = settings, directory, known
        self._url = settings.url.rstrip("/") + "/add-checkpoint"
        self._client = AnchorClient(settings.timeout_s, settings.ca)

    def put(self, head: HeadNote) -> dict[str, Json]:
        old = min(self._known, head.head.size)
        for _ in range(_TRIES):
            answer = self._ask(old, head)
            if answer.status == 200:
                cosignatures = self._verified(answer, head)
                self._known = head.head.size
                return {"note": head.note.decode(), "cosignatures": [*cosignatures]}
            if answer.status != 409:
                raise _refusal(answer, self._url)
            old = self._seen(answer, head.head)
        told = f"`{self._url}` saw another size with each answer: does somebody else send it heads of this log?"
        raise AnchorError("anchor_refused", told)

    def close(self) -> None:
        self._client.close()

    def _ask(self, old: int, head: HeadNote) -> Answer:
        lines = [f"old {old}", *(b64encode(node).decode() for node in self._proof(old, head.head)), "", ""]
        headers = {"content-type": "text/plain; charset=utf-8"}
        if head.certificate:
            headers[CERTIFICATE_HEADER] = b64encode(head.certificate).decode()
        return self._client.post(self._url, "\n".join(lines).encode() + head.note, headers)

    def _proof(self, old: int, head: Checkpoint) -> tuple[bytes, ...]:
        if not 0 < old < head.size:
            return ()
        try:
            return tree_of(self._directory, head.size, head.root).consistency(old, head.size)
        except (TileError, LookupError, OSError) as exc:
            raise AnchorError("anchor_not_ready", f"there are no tiles to make the proof from yet: {exc}") from exc

    def _seen(self, answer: Answer, head: Checkpoint) -> int:
        match = _SIZE.fullmatch(answer.body)
        if match is None or answer.media_type != SIZE_TYPE:
            raise AnchorError("anchor_refused", f"`{self._url}` answered 409 without the size it saw")
        seen = int(match[1])
        if seen > head.size:
            told = f"`{self._url}` cosigned {seen} records, this log has a head of {head.size}: it was set back"
            raise AnchorError("anchor_ahead", told)
        return seen

    def _verified(self, answer: Answer, head: HeadNote) -> list[str]:
        """Lines by the configured key. Others are skipped: nobody here can say whose they are."""
        text, lines = head.head.text(), answer.body.decode(errors="replace").split("\n")
        key = self._settings.key
        own = [line for line in lines if (seen_s := key.seen_at(line, text)) and seen_s <= time.time() + _AHEAD_S]
        if not own:
            told = f"`{self._url}` answered without a valid signature by `{key.name}+{key.key_id.hex()}`"
            raise AnchorError("anchor_unverified", told)
        return own


def _refusal(answer: Answer, url: str) -> AnchorError:
    if answer.status == 422:
        return AnchorError("anchor_fork", f"`{url}`: this head does not continue the one that the witness saw")
    reasons = {403: "it does not know the key that signed the head", 404: "it does not know this log"}
    return AnchorError("anchor_refused", f"`{url}` answered {answer.status}: {reasons.get(answer.status, 'refused')}")
