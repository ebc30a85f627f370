"""How fast `gatehouse audit export` writes each form, on one core, and what memory that takes.

    python -m bench.audit_export --records 100000

Records are those of bench/audit_search.py, written to nowhere. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.audit_search import record
from gateway.audit.export.formats import FORMATS, export
from gateway.audit.record import canonical


def lines(number: int) -> Iterator[bytes]:
    """Stored lines, a thousand of them over and over, so that making them is not measured."""
    rng = random.Random(1)
    made = [canonical(record(seq, rng)) for seq in range(1000)]
    for seq in range(number):
        yield made[seq % len(made)]


def measured(name: str, number: int, scratch: Path) -> dict[str, float]:
    with (scratch / "out").open("wb") as out:
        begun = time.process_time()
        export(lines(number), name, out)
        took = time.process_time() - begun
        size = out.tell()
    return {"records_per_s": round(number / took), "bytes_per_record": round(size / number)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000)
    number = parser.parse_args().records
    with TemporaryDirectory(prefix="gatehouse-bench-") as name:
        found = {form: measured(form, number, Path(name)) for form in FORMATS}
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"records": number, "formats": found, "most_memory_kib": most}, indent=2))


if __name__ == "__main__":
    main()
