"""Sets the thresholds of the shipped guards on ordinary text of sources that training never saw.

    python -m guards.starter.train.calibrate --data DATA --texts guards/starter/train/texts --models guards/starter

A threshold taken from a seen source is too low elsewhere, so dev is not used. Our own text that was kept aside is,
because it holds the hard negatives. The file says which rate was asked for and what it was measured on.
Category thresholds are stricter: there are fourteen chances to be wrong.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from guards.starter.train.data import Row, own_rows, unseen_rows
from guards.starter.train.scores import threshold_at
from guards.starter.train.shipped import load

CATEGORY_RATE = 0.002
CATEGORY_FLOOR, CATEGORY_CEILING = 0.3, 0.95


def rounded_up(score: float) -> float:
    """Three digits, never below the score: the rate that was asked for still holds."""
    return min(0.999, math.ceil(score * 1000) / 1000)


def thresholds(found: Tensor, labels: Sequence[str], column: int, rate: float, measured_on: str) -> dict[str, object]:
    """thresholds.json from the probabilities of ordinary texts."""
    categories = {
        label: min(CATEGORY_CEILING, max(CATEGORY_FLOOR, rounded_up(threshold_at(found[:, n], CATEGORY_RATE))))
        for n, label in enumerate(labels)
        if label.startswith("S")
    }
    score = rounded_up(threshold_at(found[:, column], rate))
    return {"score": score, "fpr": rate, "measured_on": measured_on, "categories": categories}


def ordinary(rows: Sequence[Row], task: str) -> list[Row]:
    """Rows of the unseen sources that the task's guard should let through."""
    return [
        row for row in rows if (row.attack if task == "injection" else row.unsafe) is False and row.side == "ordinary"
    ]


def main() -> None:
    """Write thresholds.json beside the weights of both guards."""
    parser = argparse.ArgumentParser(description="Set the thresholds of the starter guards.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--injection-fpr", type=float, default=0.02)
    parser.add_argument("--hazard-fpr", type=float, default=0.035)
    parser.add_argument("--task", choices=("injection", "hazard"), action="append", help="only this guard")
    asked = parser.parse_args()
    unseen = [*unseen_rows(asked.data), *own_rows(asked.texts, kept_aside=True)]
    for task, column, rate in (("injection", 1, asked.injection_fpr), ("hazard", 0, asked.hazard_fpr)):
        if asked.task and task not in asked.task:
            continue
        guard, rows = load(asked.models / task), ordinary(unseen, task)
        sources = ", ".join(sorted({row.source for row in rows}))
        measured_on = f"{len(rows)} ordinary texts never trained on, from: {sources}"
        values = thresholds(guard.probabilities([r.text for r in rows]), guard.labels, column, rate, measured_on)
        (asked.models / task / "thresholds.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        print(task, json.dumps(values))


if __name__ == "__main__":
    main()
