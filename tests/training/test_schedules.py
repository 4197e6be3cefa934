"""Training of the ranker: order is learned and carried to workloads never seen; failures are slow; seeds repeat."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.training.schedules import formula_schedules
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.schedule_ranker import ScheduleRanker, new_ranker, predict_log_us
from tvm_narcost.training import fit_schedules
from tvm_narcost.training.fine_tune import FineTuneSettings, MeasuredSoFar
from tvm_narcost.training.fit_schedules import fit_ranker, pairwise_accuracy, ranking_figures
from tvm_narcost.training.schedules import (
    MeasuredSchedules,
    RankerSettings,
    log_targets,
    schedule_loss,
    train_ranker,
)

QUICK = RankerSettings(epochs=30, averaging=0.9)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_learned_order_holds_on_workloads_never_seen() -> None:
    measured = formula_schedules(20, 24)
    train, test = measured.of(list(range(16))), measured.of(list(range(16, 20)))
    before = ranking_figures(predict_log_us(new_ranker(0), test.tokens), test)
    after = ranking_figures(predict_log_us(train_ranker(train, QUICK, 0), test.tokens), test)
    assert after.pairwise_accuracy > 0.77 > before.pairwise_accuracy + 0.02
    assert after.speedup_over_random > 1.5
    assert 1 <= after.slowdown_from_best < before.slowdown_from_best


def test_the_same_seed_gives_the_same_weights() -> None:
    measured = formula_schedules(3, 8)
    brief = dataclasses.replace(QUICK, epochs=2)
    one, same, other = (train_ranker(measured, brief, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_parts_of_the_candidates_keep_their_own_tokens() -> None:
    measured = formula_schedules(3, 4)
    rows = np.array([7, 2])
    part = measured.take(rows)
    starts = np.cumsum(measured.tokens.counts) - measured.tokens.counts
    expected = [measured.tokens.values[starts[row] : starts[row] + measured.tokens.counts[row]] for row in rows]
    assert np.array_equal(part.tokens.values, np.concatenate(expected))
    assert np.array_equal(part.latency_us, measured.latency_us[rows])
    assert measured.of([1]).workload.tolist() == [1] * 4


def test_failed_candidates_are_slower_than_the_slowest_of_their_workload() -> None:
    measured = formula_schedules(2, 4)
    latency = measured.latency_us.copy()
    latency[[1, 4, 5, 6, 7]] = np.inf  # one of the first workload, all of the second
    target = log_targets(dataclasses.replace(measured, latency_us=latency))
    assert np.isfinite(target).all()
    assert target[1] > max(target[[0, 2, 3]])


def test_loss_falls_with_the_right_order_and_rises_with_the_wrong_one() -> None:
    target = torch.tensor([[1.0, 2.0, 3.0]])
    right, wrong = (float(schedule_loss(sign * target, target, RankerSettings())) for sign in (1.0, -1.0))
    assert right < float(schedule_loss(torch.zeros(1, 3), target, RankerSettings())) < wrong


def test_rounds_of_a_new_workload_are_learned_without_changing_the_ranker_given() -> None:
    measured = formula_schedules(1, 32, seed=3)
    so_far, ranker = MeasuredSoFar(), new_ranker(0)
    so_far.add("one", measured.tokens, measured.latency_us)
    before = predict_log_us(ranker, measured.tokens)
    learned = so_far.learn(ranker, FineTuneSettings(scratch_steps=40), 0, pretrained=False)
    assert np.array_equal(predict_log_us(ranker, measured.tokens), before)
    truth = np.log(measured.latency_us)
    assert pairwise_accuracy(predict_log_us(learned, measured.tokens), truth) > 0.85
    assert pairwise_accuracy(before, truth) < 0.78


def test_fit_says_how_unseen_workloads_are_ranked() -> None:
    measured = formula_schedules(6, 8)
    brief = dataclasses.replace(QUICK, epochs=2)
    ranker, facts = fit_ranker(measured, "epyc-zen5.tvm", seeds=(0, 1), folds=2, settings=brief, command="made here")
    assert facts.dataset["candidates"] == 48 and facts.dataset["workloads"] == 6
    assert facts.metrics["seeds"] == 2
    assert 0 < facts.metrics["workloads_held_out_pairwise_accuracy"] < 1
    assert facts.metrics["workloads_held_out_pairwise_accuracy_std"] >= 0
    assert facts.command == "made here" and facts.config["model_width"] == ranker.config.model_width


def test_what_is_held_out_is_held_out_of_other_devices_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, set[int]]] = []

    def note(measured: MeasuredSchedules, settings: RankerSettings, seed: int) -> ScheduleRanker:
        seen.append((len(measured), {index % 6 for index in measured.workload.tolist()}))
        return new_ranker(seed)

    monkeypatch.setattr(fit_schedules, "train_ranker", note)
    here, there = formula_schedules(6, 8), formula_schedules(6, 4, seed=1)
    _, facts = fit_ranker(here, "epyc-zen5.tvm", beside={"other.tvm": there}, seeds=(0,), folds=3)
    *folds, everything = seen
    assert [len(workloads) for _, workloads in folds] == [4, 4, 4]
    assert [candidates for candidates, _ in folds] == [4 * 8 + 4 * 4] * 3
    assert everything == (6 * 8 + 6 * 4, set(range(6)))
    assert facts.dataset["candidates"] == 48 and facts.dataset["beside"]["other.tvm"]["candidates"] == 24


def test_joined_candidates_keep_their_tokens_and_groups() -> None:
    one, other = formula_schedules(2, 3), formula_schedules(3, 2, seed=1)
    joined = one.joined([other])
    assert joined.names == one.names + other.names
    assert joined.workload.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4]
    last = joined.take(np.arange(6, 12))
    assert np.array_equal(last.tokens.values, other.tokens.values) and np.array_equal(last.latency_us, other.latency_us)
    assert len(joined.of_names({"workload-1"})) == 3 + 2


def test_too_few_workloads_are_refused() -> None:
    with pytest.raises(TrainingError, match="got 3 workloads"):
        fit_ranker(formula_schedules(3, 4), "epyc-zen5.tvm")
    with pytest.raises(TrainingError, match="got 1 measured candidates"):
        train_ranker(formula_schedules(1, 1))
