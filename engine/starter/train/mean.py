"""Writes the weighted mean of checkpoints that go back to the same first run; it answers better than any of them.

python -m engine.starter.train.mean --out OUT H:2 E:2 F:1
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.starter.train.checkpoint import save
from engine.starter.train.evaluate import load


def mean(states: Sequence[tuple[float, dict[str, Tensor]]]) -> dict[str, Tensor]:
    """The mean of each tensor."""
    total = sum(weight for weight, _ in states)
    names = states[0][1]
    return {name: sum((w * state[name] for w, state in states), torch.zeros(())) / total for name in names}


def main() -> None:
    """Read the checkpoints, write their mean with the first one's vocabulary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("parts", nargs="+", metavar="FOLDER:WEIGHT")
    args = parser.parse_args()
    parts = [part.rsplit(":", 1) for part in args.parts]
    loaded = [(float(weight), load(Path(folder))) for folder, weight in parts]
    model, chat = loaded[0][1]
    state = mean([(weight, {k: v.clone() for k, v in m.state_dict().items()}) for weight, (m, _) in loaded])
    model.load_state_dict(state)
    save(model, chat.tokenizer, args.out)


if __name__ == "__main__":
    main()
