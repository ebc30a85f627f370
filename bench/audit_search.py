"""How long `gatehouse audit search` takes on a large log.

    python -m bench.audit_search --records 1000000

Writes a log of that many records into a temporary directory (about 700 bytes each; links are not computed, as a search
does not look at them), builds the index, and asks questions of the kinds that the command has. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from gateway.audit.index import open_index, read_line
from gateway.audit.search import Query, count, find, tally

PER_SEGMENT = 250_000
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
        "ts": str(1_790_000_000 * 10**9 + number * 10**7),
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
    late = 1_790_000_000 * 10**9 + (records - records // 50) * 10**7
    return {
        "one request": Query(exact=(("req", f"{records // 2:032x}"),)),
        "a tenant's blocks": Query(exact=(("tenant", "tenant-7"), ("action", "block"))),
        "a rule and a code by word": Query(words=("rule-11", "hazard")),
        "words that hardly occur": Query(words=("tenant-7", "rule-11", "prompt_attack")),
        "high scores of one detector": Query(detector="harm", least_ppm=995_000),
        "blocks since some time": Query(exact=(("action", "block"),), since_ns=late),
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
    number = count(index, query)
    counting = (time.perf_counter() - begun) * 1000
    return {"first_ms": round(times[0], 1), "median_ms": round(statistics.median(times), 1),
            "matches": number, "count_ms": round(counting, 1)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    records = parser.parse_args().records
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as name:
        log, file = Path(name) / "audit", Path(name) / "index.sqlite"
        size = write_log(log, records)
        begun = time.perf_counter()
        open_index(file, log).close()
        built = time.perf_counter() - begun
        begun = time.perf_counter()
        with closing(open_index(file, log)) as index:
            opened = time.perf_counter() - begun
            found = {name: asked(index, log, query) for name, query in questions(records).items()}
            begun = time.perf_counter()
            list(tally(index, Query(), "code"))
            by_code = time.perf_counter() - begun
        result = {
            "records": records,
            "log_bytes": size,
            "index_bytes": file.stat().st_size,
            "build_records_per_s": round(records / built),
            "open_ms": round(opened * 1000, 1),
            "stats_by_code_ms": round(by_code * 1000, 1),
            "search": found,
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
