"""How long `gatehouse audit search` takes on a large log.

    python -m bench.audit_search --records 1000000

Writes a log of that many records into a temporary directory (about 700 bytes each; links are not computed, as a search
does not look at them), builds the index, and asks questions of the kinds that the command has. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from gateway.audit.index import open_index, read_line
from gateway.audit.search import Query, count, daily, find

PER_SEGMENT = 250_000
BAR_MS = 1_000
"""A first answer and its count within this, even from the disk: exit status 1 if any question takes longer."""
COUNTED = 1_000
"""Counting ends here, as it does in the command."""
DAY = 86_400 * 10**9
START = 1_790_035_200 * 10**9
STEP = DAY // 350_000
"""Ten million records are a month."""
TENANTS = [f"tenant-{n}" for n in range(40)]
RULES = [f"rule-{n}" for n in range(60)]


def record(number: int, rng: random.Random) -> dict[str, object]:
    blocked = rng.random() < 0.02
    harm = {"name": "harm", "use": "starter_hazard", "threshold_ppm": 825_000, "weights_digest": "sha256:" + "0" * 64}
    row = {"part": "/messages/0/content", "scope": "user", "outcome": "ok", "score_ppm": int(rng.random() ** 6 * 10**6)}
    return {
        "type": "request.refuse" if blocked else "request.admit",
        "stage": "complete",
        "seq": number,
        "ts": str(START + number * STEP),
        "origin": "bench/one",
        "req": f"{number:032x}",
        "tenant": rng.choice(TENANTS),
        "app": "app",
        "actor": {"type": "key", "key_id": "k"},
        "decision": {
            "action": "block" if blocked else "allow",
            "rules": [rng.choice(RULES)],
            "code": rng.choice(("hazard", "prompt_attack")) if blocked else None,
        },
        "guards": [{**harm, "rows": [row]}],
        "target": {"model_req": "scout"},
        "policy": {"name": "default", "compiled_digest": "sha256:" + "1" * 64},
    }


def write_log(directory: Path, records: int) -> int:
    rng, size = random.Random(1), 0
    (directory / "seg").mkdir(parents=True)
    for first in range(0, records, PER_SEGMENT):
        with (directory / "seg" / f"{first:016d}.jsonl").open("w") as file:
            for number in range(first, min(first + PER_SEGMENT, records)):
                size += file.write(json.dumps(record(number, rng), separators=(",", ":"), sort_keys=True) + "\n")
    return size


def questions(records: int) -> dict[str, Query]:
    late = START + (records - records // 50) * STEP
    return {
        "one request": Query(exact=(("req", f"{records // 2:032x}"),)),
        "a tenant's blocks": Query(exact=(("tenant", "tenant-7"), ("action", "block"))),
        "a rule and a code by word": Query(words=("rule-11", "hazard")),
        "words that hardly occur": Query(words=("tenant-7", "rule-11", "prompt_attack")),
        "high scores of one detector": Query(detector="harm", least_ppm=995_000),
        "blocks since some time": Query(exact=(("action", "block"),), since_ns=late),
        "what nearly every record is": Query(exact=(("action", "allow"),)),
        "a common word and a rare one": Query(words=("allow", "rule-11"), exact=(("tenant", "tenant-7"),)),
        "any score of one detector, one tenant": Query(detector="harm", exact=(("tenant", "tenant-7"),)),
        "nothing": Query(words=("no-such-thing",)),
    }


def asked(index: sqlite3.Connection, directory: Path, query: Query) -> dict[str, object]:
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        places = find(index, query, 50)
        for segment, offset in places:
            read_line(directory, segment, offset)
        times.append((time.perf_counter() - begun) * 1000)
    begun = time.perf_counter()
    number = count(index, query, most=COUNTED)
    counting = (time.perf_counter() - begun) * 1000
    return {"first_ms": round(times[0], 1), "median_ms": round(statistics.median(times), 1),
            "matches": number, "count_ms": round(counting, 1)}  # fmt: skip


def forget(*paths: Path) -> None:
    """Drop these files from the page cache: what a question costs when nothing of them is in memory."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def asked_cold(file: Path, directory: Path, query: Query) -> float:
    """Milliseconds from a file that is not in memory to the newest 50 lines and their count, as the command does it."""
    forget(file, *(directory / "seg").iterdir())
    begun = time.perf_counter()
    with closing(open_index(file, directory)) as index:
        for segment, offset in find(index, query, 50):
            read_line(directory, segment, offset)
        count(index, query, most=COUNTED)
    return round((time.perf_counter() - begun) * 1000, 1)


def counted(index: sqlite3.Connection) -> dict[str, float]:
    """Milliseconds for what `audit stats` asks."""
    days = {
        "everything by code": Query(),
        "10 days by tenant": Query(since_ns=START + 5 * DAY, until_ns=START + 15 * DAY),
    }
    asked = {name: (query, name.rsplit(" ", 1)[1]) for name, query in days.items()}
    asked["a tenant's blocks by rule"] = (Query(exact=(("tenant", "tenant-7"), ("action", "block"))), "rule")
    found = {}
    for name, (query, group) in asked.items():
        begun = time.perf_counter()
        list(daily(index, query, group))
        found[name] = round((time.perf_counter() - begun) * 1000, 1)
    return found


def measured(scratch: Path, records: int) -> dict[str, object]:
    log, file = scratch / "audit", scratch / "index.sqlite"
    size = write_log(log, records)
    begun = time.perf_counter()
    open_index(file, log, lambda done: print(f"{done} indexed", file=sys.stderr, flush=True)).close()
    built = time.perf_counter() - begun
    begun = time.perf_counter()
    with closing(open_index(file, log)) as index:
        opened = time.perf_counter() - begun
        found = {name: asked(index, log, query) for name, query in questions(records).items()}
        stats = counted(index)
    for name, query in questions(records).items():
        found[name]["cold_ms"] = asked_cold(file, log, query)
    return {
        "records": records,
        "log_bytes": size,
        "index_bytes": file.stat().st_size,
        "build_s": round(built, 1),
        "build_records_per_s": round(records / built),
        "most_memory_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "open_ms": round(opened * 1000, 1),
        "stats_ms": stats,
        "search": found,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--scratch", type=Path, help="where to write log and index (default: a temporary directory)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-", dir=arguments.scratch) as name:
        result = measured(Path(name), arguments.records)
    print(json.dumps(result, indent=2))
    slowest = max(max(row["first_ms"] + row["count_ms"], row["cold_ms"]) for row in result["search"].values())
    return 0 if slowest < BAR_MS else 1


if __name__ == "__main__":
    sys.exit(main())
