"""What hold-back costs a streamed answer: judgings, characters judged again, and the time that text arrives later.

Two tables. In the first, hold-back and pace run in this process before a guard that takes a fixed time, at several
decoding speeds; all cells run at the same time, since they only wait. In the second, a real `gatehouse serve` with
rule guards stands before a scripted model server, next to a raw proxy in the same rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.load import Load, Tally, run
from bench.peers import Site, all_peers, gatehouse
from bench.percentile import percentile
from bench.processes import free_port, started
from gateway.exchange import AnswerEvent, Channel, Finish, ReleasedText, TextDelta
from gateway.holdback import Holdback, ReleaseRule, Window
from gateway.streaming import Windows
from policies.settings import CHARS_PER_TOKEN, Amount, StreamSpec

TOKENS: Final = 600
SPEEDS: Final = (20, 60, 200)
"""Tokens per second."""
JUDGE_S: Final = (0.005, 0.05, 0.4)
RAW, OURS = "raw protocol floor", "gatehouse"


def _characters(count: int) -> Amount:
    return Amount(count, "characters")


POLICIES: Final = {
    "128, 256 held": StreamSpec("window", _characters(128), _characters(256)),
    "128 to 1600, 256 held (default)": StreamSpec(
        "window", _characters(128), _characters(256), window_most=_characters(1600)
    ),
    "64 to 1600, 64 held": StreamSpec("window", _characters(64), _characters(64), window_most=_characters(1600)),
    "64 to 1600, 256 held, within 2 s": StreamSpec(
        "window", _characters(64), _characters(256), window_most=_characters(1600), max_delay_ms=2000
    ),
    "buffer": StreamSpec("buffer"),
}
HTTP_STREAM: Final = "window: {min: 32 characters, max: 512 characters}, holdback: 64 characters"


@dataclass(slots=True)
class Cell:
    """One answer through one policy. Characters of text that has come, or left, and when."""

    spec: StreamSpec
    tokens_per_s: float
    judge_s: float
    tokens: int = TOKENS
    judgings: int = 0
    judged_chars: int = 0
    came: list[tuple[int, float]] = field(default_factory=list)
    left: list[tuple[int, float]] = field(default_factory=list)

    async def run(self) -> Cell:
        held = Holdback(ReleaseRule(self.spec.mode, self.spec.window_chars, self.spec.holdback_chars, 10**9))
        windows = Windows(held, self.spec, windowed=self.spec.mode == "window")
        async for window in windows.of(self._speaks()):
            await asyncio.sleep(self.judge_s)
            windows.judged(self.judge_s)
            self._release(held, window)
        return self

    async def _speaks(self) -> AsyncGenerator[AnswerEvent]:
        began = time.monotonic()
        for number in range(self.tokens):
            await asyncio.sleep(began + number / self.tokens_per_s - time.monotonic())
            self.came.append(((number + 1) * CHARS_PER_TOKEN, time.monotonic()))
            yield TextDelta(0, Channel.CONTENT, " abc")
        yield Finish(0, "stop")

    def _release(self, held: Holdback, window: Window) -> None:
        self.judgings += 1
        self.judged_chars += sum(len(part.text) for part in window.parts)
        sizes = (len(item.text) for item in held.release(window, {0: []}) if isinstance(item, ReleasedText))
        if size := sum(sizes):
            self.left.append((size + (self.left[-1][0] if self.left else 0), time.monotonic()))

    @property
    def delays(self) -> list[float]:
        """Of each token: from its coming until all of it has left. Seconds."""
        rest, delays = iter(self.left), []
        size, at = next(rest)
        for needed, came in self.came:
            while size < needed:
                size, at = next(rest)
            delays.append(at - came)
        return delays

    def row(self, name: str) -> str:
        delays, chars = self.delays, self.tokens * CHARS_PER_TOKEN
        lasted = self.came[-1][1] - self.came[0][1]
        seen = (delays[0], statistics.median(delays), max(delays), delays[-1])
        busy = self.judgings * self.judge_s / (lasted + delays[-1])
        shown = " | ".join(f"{value:.2f}" for value in seen)
        cost = f"{self.judgings} | {self.judged_chars / chars:.1f}"
        return f"| {name} | {self.tokens_per_s:g} | {self.judge_s * 1000:g} | {cost} | {busy:.0%} | {shown} |"


async def in_process(tokens: int) -> list[str]:
    """The rows of the first table."""
    cells = [
        (name, Cell(spec, speed, judge_s, tokens))
        for name, spec in POLICIES.items()
        for speed in SPEEDS
        for judge_s in JUDGE_S
    ]
    done = await asyncio.gather(*(cell.run() for _, cell in cells))
    return [cell.row(name) for (name, _), cell in zip(cells, done, strict=True)]


@contextmanager
def _mock(pause_ms: float, directory: Path) -> Iterator[int]:
    port = free_port()
    program = str(Path(__file__).with_name("mock_upstream.py"))
    argv = [sys.executable, program, "--port", str(port), "--pause-ms", str(pause_ms)]
    with started(argv, directory, f"http://127.0.0.1:{port}/v1/models"):
        yield port


def over_http(pause_ms: float, rounds: int, connections: int, scratch: Path) -> str:
    """A row of the second table: medians, of ours and of the raw proxy in the same rounds."""
    tallies: dict[str, list[Tally]] = {RAW: [], OURS: []}
    starts = {RAW: all_peers()[RAW].start, OURS: gatehouse(HTTP_STREAM)}
    with tempfile.TemporaryDirectory(dir=scratch) as of_mock, _mock(pause_ms, Path(of_mock)) as mock:
        for _ in range(rounds):
            for name, start in starts.items():
                with tempfile.TemporaryDirectory(dir=scratch) as own, start(Site(Path(own), mock, 1)) as target:
                    run(Load(target.url, connections, 60.0, connections, stream=True, key=target.key))
                    load = Load(target.url, connections, 60.0, 4 * connections, stream=True, key=target.key)
                    tallies[name].append(run(load))
    first = {name: _median_ms(tally.first_text for tally in got) for name, got in tallies.items()}
    whole = {name: _median_ms(tally.latency for tally in got) for name, got in tallies.items()}
    errors = sum(tally.errors for got in tallies.values() for tally in got)
    return (
        f"| {pause_ms:g} | {first[RAW]:.1f} | {first[OURS]:.1f} | {whole[RAW]:.1f} | {whole[OURS]:.1f} "
        f"| {whole[OURS] / whole[RAW]:.3f} | {errors} |"
    )


def _median_ms(groups: Iterable[Sequence[int]]) -> float:
    return percentile([value for group in groups for value in group], 0.5) / 1e6


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0; 1 when an answer over HTTP was not right."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of an answer in the first table")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument(
        "--scratch", type=Path, default=Path("/var/tmp"), help="a real disk: audit logs are synced here"
    )
    args = parser.parse_args(argv)
    print("| policy, characters | tokens/s | guard ms | judgings | characters judged per character | guard busy "
          "| first text s | median | longest | last |\n|" + "---|" * 10)  # fmt: skip
    print("\n".join(asyncio.run(in_process(args.tokens))), flush=True)
    print(f"\n`{HTTP_STREAM}`, 100 pieces of 5 characters:\n")
    print("| ms between pieces | first text ms, raw proxy | Gatehouse | whole answer ms, raw proxy | Gatehouse | ratio "
          "| errors |\n|" + "---|" * 7)  # fmt: skip
    rows = [over_http(pause, args.rounds, args.connections, args.scratch) for pause in (5.0, 10.0, 25.0)]
    print("\n".join(rows))
    return 0 if all(row.endswith("| 0 |") for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
