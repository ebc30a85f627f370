"""Prints the quality tables of the model cards from the shipped weights and thresholds.

    python -m guards.starter.train.evaluate --data DATA --texts guards/starter/train/texts --models guards/starter

First the sources that training never saw, which is what counts; then our own text that was kept aside; then dev,
whose sources it did see, for comparison.
Runs on a CPU in a few minutes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from guards.starter.train.data import Row, own_rows, public_rows, unseen_rows
from guards.starter.train.recipe import UNSEEN
from guards.starter.train.scores import auc, recall_at
from guards.starter.train.shipped import load


@dataclass(frozen=True, slots=True)
class Scored:
    """A row with the guard's score and the label of the task."""

    row: Row
    score: float
    label: bool


def line(name: str, scored: Sequence[Scored], threshold: float) -> str:
    """A table row: how many of each label lie above the threshold."""
    cells = []
    for label in (True, False):
        of_label = [one.score >= threshold for one in scored if one.label is label]
        cells.append(f"{sum(of_label)}/{len(of_label)} ({sum(of_label) / len(of_label):.0%})" if of_label else "–")
    return f"| {name} | {cells[0]} | {cells[1]} |"


def grouped(scored: Iterable[Scored], key: Callable[[Row], str]) -> dict[str, list[Scored]]:
    """By source, or by language."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        groups[key(one.row)].append(one)
    return dict(sorted(groups.items()))


def summary(scored: Sequence[Scored]) -> str:
    """Ranked quality over all rows."""
    positive = Tensor([one.score for one in scored if one.label])
    negative = Tensor([one.score for one in scored if not one.label])
    at = ", ".join(f"recall {recall_at(positive, negative, rate):.2f} at {rate:.0%}" for rate in (0.01, 0.02, 0.05))
    return (
        f"AUC {auc(positive, negative):.3f}; {at} false positives ({len(positive)} positive, {len(negative)} negative)"
    )


def table(title: str, scored: Sequence[Scored], threshold: float, key: Callable[[Row], str]) -> None:
    """Print one table."""
    print(f"\n{title}: {summary(scored)}\n\n| | stopped, should be | stopped, should not be |\n|---|---|---|")
    for name, group in grouped(scored, key).items():
        print(line(name, group, threshold))
    print(line("all", scored, threshold))


def category_table(rows: Sequence[Row], found: Tensor, labels: Sequence[str], at: dict[str, float]) -> None:
    """Print, for rows whose source names the category itself, how often the head names it, too."""
    print("\n| category | named, should be | named, should not be |\n|---|---|---|")
    for column, name in enumerate(labels):
        if name.startswith("S"):
            known = [(n, row) for n, row in enumerate(rows) if row.categories is not None]
            hits = [(float(found[n, column]) >= at[name], name in (row.categories or ())) for n, row in known]
            right, wrong = [said for said, is_so in hits if is_so], [said for said, is_so in hits if not is_so]
            print(f"| {name} | {sum(right)}/{len(right)} | {sum(wrong)}/{len(wrong)} |")


def main() -> None:
    """All tables of both guards."""
    parser = argparse.ArgumentParser(description="Print the quality tables of the starter guards.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--task", choices=("injection", "hazard"), action="append", help="only this guard")
    asked = parser.parse_args()
    unseen, own = unseen_rows(asked.data), own_rows(asked.texts, kept_aside=True)
    dev = [row for row in public_rows(asked.data, "dev") if row.source not in UNSEEN]
    for task, column in (("injection", 1), ("hazard", 0)):
        if asked.task and task not in asked.task:
            continue
        guard = load(asked.models / task)
        at = json.loads((asked.models / task / "thresholds.json").read_text(encoding="utf-8"))
        print(f"\n## {task}, threshold {at['score']}")
        for title, rows in (("Unseen sources", unseen), ("Own text kept aside", own), ("Dev, seen sources", dev)):
            known = [(row, row.attack if task == "injection" else row.unsafe) for row in rows]
            judged = [(row, label) for row, label in known if label is not None]
            found = guard.probabilities([row.text for row, _ in judged])
            scored = [Scored(row, float(found[n, column]), label) for n, (row, label) in enumerate(judged)]
            table(f"{title}, by source", scored, at["score"], lambda row: row.source)
            table(f"{title}, by language", scored, at["score"], lambda row: row.lang)
            if task == "hazard":
                category_table([row for row, _ in judged], found, guard.labels, at["categories"])


if __name__ == "__main__":
    main()
