"""Writes the model card from the measurements, so that no number in it is typed by hand, and renews the manifest.

python -m engine.starter.train.card --model engine/starter/model
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from engine.manifest import write
from engine.starter.train.checkpoint import LICENSE, NAME
from engine.starter.train.corpus import FALLBACK, HERE

ROWS = (
    ("held_out", "held-out ways to ask, whole answer right", "≥ 95 %"),
    ("held_out_with_system", "the same below a system prompt", "≥ 95 %"),
    ("held_out_later", "ways to ask held out of text written later, in other moods", "none"),
    ("off_topic_own", "own off-topic prompts, honest fallback", "≥ 98 %"),
    ("off_topic_unseen_source", "Self-Instruct prompts (a source never trained on), honest fallback", "≥ 98 %"),
    ("tool_calls", "calls of the three trained tools with a known argument", "none"),
    ("tool_arguments_unknown", "the same tools with an unknown argument, honest fallback", "none"),
    ("after_tool_result", "turn after a tool's result, the fixed sentence", "none"),
)


def card(measured: dict[str, Any], size: int) -> str:
    """The card's text."""
    rows = [
        f"| {label} | {measured[key]['share']:.1%} | {measured[key]['of']} | {bar} |"
        for key, label, bar in ROWS
        if key in measured
    ]
    fuzz = measured["fuzz"]
    return (
        (HERE / "card.md")
        .read_text()
        .format(
            fallback=FALLBACK,
            parameters=measured["parameters"],
            megabytes=size / 1e6,
            intents=measured["intents"],
            rows="\n".join(rows),
            refused=measured["off_topic_unseen_source"]["refused"],
            fuzz_prompts=fuzz["prompts"],
            foreign=fuzz["foreign_words"],
            mixed=fuzz["not_a_trained_sentence"],
            fuzz_fallback=fuzz["fallback"],
            experts=", ".join(f"{min(layer):.0%}–{max(layer):.0%}" for layer in measured["experts"]),
        )
    )


def main() -> None:
    """Write README.md and the manifest of a model folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    args = parser.parse_args()
    measured = json.loads((HERE / "measured.json").read_text())
    size = (args.model / "model.safetensors").stat().st_size
    (args.model / "README.md").write_text(card(measured, size))
    write(args.model, NAME, LICENSE)


if __name__ == "__main__":
    main()
