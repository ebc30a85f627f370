"""Whether steps of a few rows run in compiled loops: on processors, where numba is installed. It is an extra."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.form import Form
    from engine.runner import Runner
    from engine.shape import ModelConfig
    from engine.weights import Weights


@cache
def is_available() -> bool:
    """False, too, where it cannot be imported."""
    try:
        import_module("numba")
    except ImportError:
        return False
    return True


def form_on_processors(precision: str, in_loops: bool) -> Form:
    """What becomes of weights there."""
    from engine.form import Form
    from engine.matrix import LAYS

    if not in_loops:
        return Form(LAYS[precision])
    from engine.fused.form import loop_form

    return loop_form(precision)


def fused(config: ModelConfig, weights: Weights, runner: Runner, in_loops: bool) -> Runner:
    """The runner of a model in one process on a processor, with another way for steps of a few rows if wanted."""
    if not in_loops:
        return runner
    from engine.fused.runner import FusedRunner

    return FusedRunner(config, weights, runner)
