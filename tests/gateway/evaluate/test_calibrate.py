"""The promise of a threshold: kept as often as stated, refused when it cannot be made, checked on other rows."""

from __future__ import annotations

import random
from types import MappingProxyType

import pytest

from gateway.evaluate.calibrate import Target, calibrate, check_size, part
from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.rows import LabelledSet, Row
from gateway.evaluate.run import Judged, Run, ScoredRow
from tests.gateway.evaluate.made import DIGEST, row, run, subject

PPM = 1_000_000


def drawn(benign: int, attacks: int, seed: int = 1) -> Run:
    """Scores of ordinary rows uniform, those of attacks high."""
    source = random.Random(seed)
    rows = [row(n, False, source.randrange(PPM)) for n in range(benign)]
    rows += [row(benign + n, True, source.randrange(900_000, PPM + 1)) for n in range(attacks)]
    return run(rows)


def test_the_threshold_keeps_the_rate_on_the_rows_it_was_chosen_on() -> None:
    found = calibrate(drawn(2000, 200), "inject", Target(0.05))
    assert found.score.fitted.of == 1000
    assert found.score.fitted.count / 1000 < 0.05
    assert found.score.fitted.high <= 0.05
    assert (found.fit_rows, found.check_rows, found.errors) == (1100, 1100, 0)


def test_the_promise_is_kept_as_often_as_it_says() -> None:
    """200 times a threshold is chosen on 300 rows with 90 % confidence; scores are uniform, so the true rate of each is
    known exactly. With a promise that holds, more than 32 of 200 broken ones has a chance of 0.4 %."""
    source = random.Random(5)
    broken = 0
    for _ in range(200):
        rows = [row(n, False, source.randrange(PPM)) for n in range(600)]
        found = calibrate(run(rows), "inject", Target(0.05, confidence=0.9))
        broken += (PPM - found.score.threshold_ppm) / PPM > 0.05
    assert 5 <= broken <= 32


def test_ties_are_never_flagged_in_part() -> None:
    """Half of the benign rows share the highest score: the threshold goes above them all."""
    rows = [row(n, False, 700_000 if n % 2 else 1000) for n in range(400)] + [row(999, True, 700_001)]
    found = calibrate(run(rows), "inject", Target(0.1))
    assert found.score.threshold_ppm == 700_001
    assert found.score.false_alarms.count == 0


def test_too_few_rows_are_refused_with_the_number_that_is_needed() -> None:
    with pytest.raises(
        EvaluationError, match=r"has 298, and .* 0\.01 with 0\.95 confidence need 299 there, about 598 in"
    ):
        calibrate(drawn(596, 10), "inject", Target(0.01))
    assert calibrate(drawn(598, 10), "inject", Target(0.01)).score.fitted.count == 0


def test_too_few_rows_are_refused_before_anything_is_judged() -> None:
    rows = [Row(n, f"text {n}", False) for n in range(596)]
    with pytest.raises(EvaluationError, match="need 299 there"):
        check_size(LabelledSet("s", DIGEST, tuple(rows)), Target(0.01))
    check_size(LabelledSet("s", DIGEST, (*rows, Row(597, "a", False), Row(598, "b", False))), Target(0.01))


def test_benign_rows_that_score_one_leave_no_threshold() -> None:
    rows = [row(n, False, PPM) for n in range(100)]
    with pytest.raises(EvaluationError, match=r"scores at least 2 of 50 rows to pass with 1\.0: no threshold keeps"):
        calibrate(run(rows), "inject", Target(0.1))


def test_a_rule_has_no_threshold_to_choose() -> None:
    with pytest.raises(EvaluationError, match="`inject` is a rule"):
        calibrate(run([row(1, False, 0)], subject(is_model=False)), "inject", Target(0.1))


def test_equal_texts_fall_into_one_part_and_both_parts_have_both_labels() -> None:
    judged = Judged(1)
    pairs = [(row(n, n % 8 < 2, judged, id=f"{n // 2 * 2:024x}"), judged) for n in range(400)]
    fit, check = part(pairs, 0.5, seed=3)
    assert len(fit) + len(check) == 400
    assert {one.id for one, _ in fit}.isdisjoint(one.id for one, _ in check)
    assert abs(sum(one.label for one, _ in fit) - sum(one.label for one, _ in check)) <= 2
    assert part(pairs, 0.5, seed=3) == (fit, check)
    assert part(pairs, 0.5, seed=4) != (fit, check)


def test_rows_without_a_verdict_are_left_out_and_counted() -> None:
    found = drawn(800, 20)
    failed = [row(10_000 + n, False, Judged(None, "timeout")) for n in range(7)]
    both = calibrate(run([*found.rows, *failed]), "inject", Target(0.05))
    assert both.errors == 7
    assert both.score == calibrate(found, "inject", Target(0.05)).score


def test_the_other_part_can_contradict_the_promise() -> None:
    """The fit part is clean by construction of the ids; the check part is not of one piece with it."""
    clean = drawn(800, 0)
    fit = {one.line for one, _ in part([(one, one.judged["inject"]) for one in clean.rows], 0.5, 1)[0]}
    rows = [row(one.line, False, 1000 if one.line in fit else 900_000, id=one.id) for one in clean.rows]
    assert calibrate(run(rows), "inject", Target(0.05)).score.is_contradicted
    assert not calibrate(clean, "inject", Target(0.05)).score.is_contradicted


def categorised(rows: int) -> list[ScoredRow]:
    source, found = random.Random(2), []
    for n in range(rows):
        scores = MappingProxyType({"S1": source.randrange(500_000), "S10": source.randrange(100_000)})
        found.append(row(n, False, Judged(source.randrange(400_000), categories=scores)))
    for n in range(20):
        scores = MappingProxyType({"S1": 900_000, "S10": 5})
        found.append(row(rows + n, True, Judged(950_000, categories=scores), categories=("S1",)))
    return found


def test_each_category_gets_a_threshold_and_all_together_are_counted() -> None:
    found = calibrate(run(categorised(600)), "inject", Target(0.05, categories=True))
    first, second = found.categories
    assert (first.code, second.code) == ("S1", "S10")
    assert (first.recall.count, first.recall.of) == (10, 10)
    assert second.recall.of == 0
    assert found.together is not None
    assert found.together.count >= max(chosen.false_alarms.count for chosen in (found.score, first, second))


def test_categories_need_a_guard_that_scores_them() -> None:
    with pytest.raises(EvaluationError, match="scores no categories"):
        calibrate(drawn(400, 5), "inject", Target(0.05, categories=True))


def test_a_fitted_temperature_is_measured_on_rows_it_never_saw() -> None:
    source = random.Random(3)
    rows = []
    for n in range(3000):
        score = source.randrange(1, PPM)
        rows.append(row(n, source.random() < (score / PPM) ** 3, score))
    found = calibrate(run(rows), "inject", Target(0.2, temperature=True)).fitted
    assert found is not None
    assert found.after is not None
    assert found.before.log_loss is not None
    assert found.after.log_loss is not None
    assert found.after.log_loss < found.before.log_loss
    assert calibrate(run(rows), "inject", Target(0.2)).fitted is None
