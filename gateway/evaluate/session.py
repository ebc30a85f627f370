"""From a set and the names of detectors to a Run: configuration and policy read, models started, judged, stopped.

Everything that can be wrong is found before a model is started. Whatever ends the judging (an error, Ctrl-C, SIGTERM)
ends the model host, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from gateway.bundles.errors import BundleError
from gateway.config import Config, load_config
from gateway.evaluate.detectors import Wanted, bench, of_policy, of_uses
from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.host import model_host
from gateway.evaluate.rows import LabelledSet, read_set
from gateway.evaluate.run import Run, ScoredRow, Subject
from gateway.evaluate.runner import Pace, Progress, hardware, judge_set, no_progress
from gateway.guard_settings import facts
from gateway.guard_sources import check_directories, host_models, open_sources
from guards.registry import RULES, ModelSource
from policies.load import load_policy
from policies.model import Policy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says. Empty `detectors` and `uses`: every guard model of the policy."""

    set_file: Path
    config: Path
    policy: Path | None = None
    detectors: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    threshold_ppm: int | None = None
    pace: Pace = field(default_factory=Pace)
    program: tuple[str, ...] | None = None
    """What runs the model host; None for our own."""
    is_for_one: bool = False
    """Whether more than one detector is a mistake."""


def any_set(_labelled: LabelledSet) -> None:
    """Every set will do."""


async def evaluate(
    asked: Asked, progress: Progress = no_progress, check: Callable[[LabelledSet], None] = any_set
) -> Run:
    """Judges the set, unless `check` refuses it before anything is started.

    Raises EvaluationError or FileErrors when nothing was measured, CancelledError when it was told to stop.
    """
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    labelled = read_set(asked.set_file)
    check(labelled)
    config = _load(load_config, asked.config)
    policy, wanted = _wanted(asked, config)
    if asked.is_for_one and len(wanted) > 1:
        raise EvaluationError(f"there are {len(wanted)} detectors, expected one: name it with `--detector`")
    async with model_sources([one.use for one in wanted], config, asked.program) as sources:
        benches = [bench(one, sources, asked.threshold_ppm) for one in wanted]
        subjects, rows = await judge_set(labelled, benches, asked.pace, progress)
    _refuse_silence(subjects, rows)
    return Run(
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        version=version("gatehouse"),
        hardware=hardware(),
        set_name=_printable(labelled.name),
        set_digest=labelled.digest,
        policy=f"{policy.name} {policy.version} {policy.digest}" if policy else "",
        subjects=subjects,
        rows=rows,
        ignored=labelled.ignored,
    )


def _refuse_silence(subjects: Sequence[Subject], rows: Sequence[ScoredRow]) -> None:
    """A report on no verdict at all would be a page of dashes."""
    for subject in subjects:
        kinds = Counter(row.judged[subject.name].error for row in rows)
        if not kinds[""]:
            told = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common() if kind)
            raise EvaluationError(f"detector `{subject.name}` judged none of {len(rows)} rows: {told}")


def _wanted(asked: Asked, config: Config) -> tuple[Policy | None, list[Wanted]]:
    """The detectors in the order they were asked for, and the policy if one of them is from it."""
    direct = of_uses(asked.uses)
    if direct and not asked.detectors:
        return None, direct
    policy = _policy(asked, config)
    names = asked.detectors or tuple(one.name for one in of_policy(policy, tuple(policy.detectors)) if one.is_model)
    if not names:
        raise EvaluationError(f"policy `{policy.name}` asks no guard model; name detectors with `--detector`")
    wanted = [*of_policy(policy, names), *direct]
    if len({one.name for one in wanted}) != len(wanted):
        raise EvaluationError("a detector is named twice")
    return policy, wanted


def _policy(asked: Asked, config: Config) -> Policy:
    """The one that was asked for, or the one that the gateway would start with."""
    known = facts(config.guards)
    if asked.policy is not None:
        return _load(lambda path: load_policy(path, known), asked.policy)
    source = config.policy.source(config.approvers, config.state, origin=config.origin)
    try:
        return _load(lambda _: source.first(known).policy, config.policy.path)
    except BundleError as exc:
        raise EvaluationError(f"`{config.policy.path}`: {exc}") from exc


@contextlib.asynccontextmanager
async def model_sources(
    uses: Sequence[str], config: Config, program: Sequence[str] | None
) -> AsyncGenerator[Mapping[str, ModelSource]]:
    """Where the models of these guards are asked. A host is started only if one of them has to run here."""
    models = [config.guards[use] for use in sorted(set(uses) - set(RULES)) if use in config.guards]
    check_directories(models)
    async with contextlib.AsyncExitStack() as stack:
        local = host_models(models)
        host = await stack.enter_async_context(model_host(local, config.host_threads, program)) if local else None
        yield await open_sources({guard.use: guard for guard in models}, host, stack)


def _load(load: Callable[[Path], T], path: Path) -> T:
    """FileErrors pass: they carry every problem with its place."""
    try:
        return load(path)
    except OSError as exc:
        raise EvaluationError(f"`{path}` cannot be read: {(exc.strerror or 'unreadable').lower()}") from exc


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name)
