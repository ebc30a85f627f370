"""`gatehouse eval` and `gatehouse calibrate`: measure guards on a labelled set, and choose a threshold by it.

Both read the set before they start anything, start a model host of their own when one is needed, and end it whatever
happens. What they print and write holds no text of the set. Exit status: 0 all rows judged, 1 the numbers are there
and something about them is wrong (said on stderr), 2 nothing was measured, 130 and 143 it was told to stop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from gateway import logs
from gateway.file_problem import file_problem
from guards.verdict import PPM
from policies.errors import FileErrors

if TYPE_CHECKING:
    from gateway.evaluate.rows import LabelledSet
    from gateway.evaluate.run import Run

OK, IN_PART, NOTHING = 0, 1, 2
INTERRUPTED, TERMINATED = 130, 143
_STATUS = "exit status: 0 every row was judged, 1 some were not (the numbers are of the others), 2 nothing was measured"


def add_evaluate_commands(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser], default_config: Callable[[], Path]
) -> None:
    """Adds `eval` and `calibrate`. Each sets `run`: (args, out) -> exit status."""
    evaluate = subparsers.add_parser(
        "eval",
        help="measure guards on a labelled set",
        description='Judge every row of a labelled set (JSON lines: {"text": …, "label": 0 or 1, …}) with guards as '
        "the gateway runs\nthem, and report how well they tell the classes apart, by group, and how fast. Prints no "
        "text of the set.",
        epilog="example: gatehouse eval set.jsonl --detector inject,harm --html report.html --out scores.jsonl\n"
        f"         gatehouse eval --scores scores.jsonl --json   # the same numbers again, without models\n{_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(evaluate, default_config)
    evaluate.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots, for a browser")
    evaluate.add_argument("--out", type=Path, metavar="FILE", help="write the scores, without texts, for `--scores`")
    evaluate.set_defaults(run=run_eval, is_for_one=False)
    calibrate = subparsers.add_parser(
        "calibrate",
        help="choose a threshold for a stated rate of false alarms",
        description="Choose the threshold on one part of a labelled set so that at most `--fpr` of texts like its rows "
        "to pass are\nflagged, with `--confidence` (an exact bound); measure it on the other part; print an entry for "
        "`detectors:` of a\npolicy. Refuses when the set has too few rows to pass to show that rate.",
        epilog="example: gatehouse calibrate set.jsonl --detector inject --fpr 0.01 --out inject.yaml\n"
        "exit status: 0 chosen, 1 chosen, but rows were not judged or the other part contradicts it, 2 nothing chosen",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(calibrate, default_config)
    calibrate.add_argument("--fpr", type=_inside, required=True, metavar="RATE", help="share of rows to pass, at most")
    calibrate.add_argument("--confidence", type=_inside, default=0.95, help="default: 0.95")
    calibrate.add_argument("--split", type=_inside, default=0.5, help="share of the set to choose on; default: 0.5")
    calibrate.add_argument("--seed", type=int, default=1, help="which rows fall into which part; default: 1")
    calibrate.add_argument("--temperature", action="store_true", help="also fit a temperature and a bias, and say what "
                           "they would change; a policy cannot hold them")  # fmt: skip
    calibrate.add_argument("--categories", action="store_true", help="a threshold for each category, too")
    calibrate.add_argument("--out", type=Path, metavar="FILE", help="write the policy entry there, too")
    calibrate.set_defaults(run=run_calibrate, is_for_one=True)


def _add_common(command: argparse.ArgumentParser, default_config: Callable[[], Path]) -> None:
    command.add_argument("set", nargs="?", type=Path, metavar="SET.jsonl", help="the labelled set")
    command.add_argument("--scores", type=Path, metavar="FILE", help="instead of a set: scores that `eval` wrote")
    command.add_argument("--detector", type=_names, default=(), metavar="NAME[,NAME]", help="of the policy; default: "
                         "every guard model that it asks")  # fmt: skip
    command.add_argument("--use", type=_names, default=(), metavar="GUARD[,GUARD]", help="guards without a policy")
    command.add_argument("--policy", type=Path, metavar="FILE", help="default: the policy of the configuration")
    command.add_argument("--config", "-c", type=Path, default=default_config(), help="default: the built-in quickstart")
    command.add_argument("--threshold", type=_ppm, metavar="T", help="instead of the detector's own, 0 to 1")
    command.add_argument("--concurrency", type=_count, default=8, metavar="N", help="rows at a time; default: 8")
    command.add_argument("--alone", type=_count, default=200, metavar="N", help="rows judged one at a time, for the "
                         "latency; default: 200, at most half of the set")  # fmt: skip
    command.add_argument("--timeout", type=_seconds, default=60.0, metavar="S", help="for one row; default: 60")
    command.add_argument("--json", action="store_true", help="one JSON object")


def run_eval(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. Reports on `out`, standard output by default."""

    def report(run: Run) -> int:
        from gateway.evaluate.page import as_html
        from gateway.evaluate.report import as_json, measure_all
        from gateway.evaluate.scores import write_scores
        from gateway.evaluate.text import as_text
        from gateway.jsonstrict import dumps

        run = _chosen(run, args)
        if args.out:
            write_scores(run, args.out)
        measured = measure_all(run)
        if args.html:
            args.html.write_text(as_html(run, measured), encoding="utf-8")
        print(dumps(as_json(run, measured)).decode() if args.json else as_text(run, measured), file=out or sys.stdout)
        return _status(run)

    return _guarded("eval", args, report)


def run_calibrate(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command, for one detector."""

    from gateway.evaluate.calibrate import Target, calibrate, check_size

    target = Target(args.fpr, args.confidence, args.split, args.seed, args.temperature, args.categories)

    def report(run: Run) -> int:
        from gateway.evaluate.errors import EvaluationError
        from gateway.evaluate.report import calibration_as_json
        from gateway.evaluate.snippet import snippet
        from gateway.evaluate.text import calibration_as_text
        from gateway.jsonstrict import dumps

        run = _chosen(run, args)
        if len(run.subjects) != 1:
            raise EvaluationError(f"there are {len(run.subjects)} detectors, expected one: name it with `--detector`")
        found = calibrate(run, run.subjects[0].name, target)
        entry = snippet(run, found)
        if args.out:
            args.out.write_text(entry, encoding="utf-8")
        told = calibration_as_json(run, found, entry) if args.json else None
        print(dumps(told).decode() if told else calibration_as_text(run, found, entry), file=out or sys.stdout)
        contradicted = any(chosen.is_contradicted for chosen in (found.score, *found.categories))
        return IN_PART if contradicted else _status(run)

    return _guarded("calibrate", args, report, lambda labelled: check_size(labelled, target))


def _guarded(
    command: str,
    args: argparse.Namespace,
    report: Callable[[Run], int],
    check: Callable[[LabelledSet], None] = lambda _labelled: None,
) -> int:
    """Every way in which nothing is measured, as a line on stderr and a status."""
    from gateway.evaluate.errors import EvaluationError

    logs.set_up(command)
    try:
        _check_places(args)
        return report(_run(args, check))
    except (EvaluationError, FileErrors) as exc:
        print(f"gatehouse {command}: {exc}" if not _has_places(exc) else exc, file=sys.stderr)
    except BrokenPipeError:
        # The reader of our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as exc:
        print(f"gatehouse {command}: {file_problem(exc)}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"gatehouse {command}: interrupted; nothing was measured", file=sys.stderr)
        return INTERRUPTED
    except asyncio.CancelledError:
        print(f"gatehouse {command}: told to stop; nothing was measured", file=sys.stderr)
        return TERMINATED
    return NOTHING


def _has_places(exc: Exception) -> bool:
    """Whether its lines begin with `file:line`, as editors want them."""
    from gateway.evaluate.errors import LinesRefused

    return isinstance(exc, LinesRefused | FileErrors)


def _check_places(args: argparse.Namespace) -> None:
    """Wrong usage and unwritable places are found before an hour of judging, not after it."""
    from gateway.evaluate.errors import EvaluationError

    if (args.set is None) == (args.scores is None):
        raise EvaluationError("expected a set or `--scores`, and not both")
    for place in (getattr(args, "html", None), args.out):
        if place and (place.is_dir() or not place.absolute().parent.is_dir()):
            raise EvaluationError(f"`{place}` cannot be written: it is a folder, or its folder does not exist")


def _run(args: argparse.Namespace, check: Callable[[LabelledSet], None]) -> Run:
    """Read back, or judged now."""
    from gateway.evaluate.runner import Pace
    from gateway.evaluate.scores import read_scores
    from gateway.evaluate.session import Asked, evaluate

    if args.scores:
        return read_scores(args.scores)
    pace = Pace(args.concurrency, args.alone, args.timeout)
    asked = Asked(
        set_file=args.set,
        config=args.config,
        policy=args.policy,
        detectors=args.detector,
        uses=args.use,
        threshold_ppm=args.threshold,
        pace=pace,
        is_for_one=args.is_for_one,
    )
    return asyncio.run(evaluate(asked, _show_progress if sys.stderr.isatty() else _say_nothing, check))


def _chosen(run: Run, args: argparse.Namespace) -> Run:
    """Of a scores file, the detectors that were asked for, at the threshold that was asked for."""
    from gateway.evaluate.scores import narrowed

    return narrowed(run, (*args.detector, *args.use), args.threshold) if args.scores else run


def _status(run: Run) -> int:
    if run.errors:
        print(f"{run.errors} verdicts are missing: the numbers are of the other rows", file=sys.stderr)
    return IN_PART if run.errors else OK


def _show_progress(detector: str, done: int, of: int) -> None:
    if done == of or done % max(1, of // 200) == 0:
        end = "\n" if done == of else ""
        print(f"\r{detector}: {done} of {of} rows", end=end, file=sys.stderr, flush=True)


def _say_nothing(_detector: str, _done: int, _of: int) -> None:
    """Nobody watches a pipe."""


def _names(value: str) -> tuple[str, ...]:
    names = tuple(value.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"`{value}` is not a list of different names with commas between them")
    return names


def _inside(value: str) -> float:
    number = _number(value)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"`{value}` is not a number between 0 and 1")
    return float(number)


def _ppm(value: str) -> int:
    scaled = _number(value) * PPM
    if not 0 <= scaled <= PPM or scaled != scaled.to_integral_value():
        raise argparse.ArgumentTypeError(f"`{value}` is not a number 0 to 1 with at most 6 decimals")
    return int(scaled)


def _seconds(value: str) -> float:
    number = _number(value)
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError(f"`{value}` is not a number of seconds up to 3600")
    return float(number)


def _number(value: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise argparse.ArgumentTypeError(f"`{value}` is not a number")
    return number


def _count(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"`{value}` is not a whole number from 1 to 1000000")
    return int(value)
