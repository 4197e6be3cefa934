"""Figures of intervals and flags on families held out, and what calibrates them."""

import dataclasses
import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from bench import uncertainty
from bench.uncertainty import JudgedNetwork, false_alarms, judge_family, risk_coverage, summarise
from tests.training.analytic import FAMILIES, examples
from tvm_narcost.models.interval import ErrorSigns
from tvm_narcost.training.intervals import HeldOut

SETUP = {"digest": "d", "members": 1, "epochs": 2}


def held_out(family: str, error: float, slack: float = 0.0, *, flagged: bool = False, name: str = "x") -> HeldOut:
    return HeldOut(name, family, math.exp(error), 1.0, ErrorSigns(slack, -2.0, -3.0, 0.0), flagged)


def judged(family: str, error: float, log_ratio: float, *, covered: bool, flagged: bool = False) -> JudgedNetwork:
    return JudgedNetwork(family, error, log_ratio, covered, 0.2, error < 0.2, flagged)


FOLDS = [("a", "b"), ("c", "d"), ("e",)]


def test_calibration_is_of_every_other_fold_by_ensembles_that_saw_neither() -> None:
    done = {
        (first + second, 0): [
            held_out(family, 0.1, name=f"{family} without {first + second}") for family in first + second
        ]
        for first, second in combinations(FOLDS, 2)
    }
    found = uncertainty._calibration(FOLDS[1], FOLDS, done, 0)
    assert [network.name for network in found] == [
        "a without ('a', 'b', 'c', 'd')", "b without ('a', 'b', 'c', 'd')", "e without ('c', 'd', 'e')",
    ]  # fmt: skip


def test_tasks_are_the_folds_and_every_two_of_them() -> None:
    tasks = uncertainty._tasks(FOLDS, 2)
    assert len(tasks) == len(set(tasks)) == 2 * (3 + 3)
    assert {left_out for left_out, seed in tasks if seed == 1} == {
        *FOLDS, ("a", "b", "c", "d"), ("a", "b", "e"), ("c", "d", "e"),
    }  # fmt: skip


def test_held_out_networks_are_predicted_without_their_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty, "examples", examples(("plain", "separable", "narrow"), 4))
    task, networks = uncertainty._predict((("narrow", "plain"), 3), 1, 1)
    assert task == (("narrow", "plain"), 3)
    assert sorted({network.family for network in networks}) == ["narrow", "plain"]
    assert len(networks) == 8
    assert all(network.out_of_distribution for network in networks if network.family == "narrow")  # Add is unknown


def test_scratch_gives_back_what_was_done_with_the_same_setup(tmp_path: Path) -> None:
    network = held_out("a", 0.1, 0.3)
    row = {"setup": SETUP, "left_out": ["a", "b"], "seed": 1, "networks": [dataclasses.asdict(network)]}
    other = {**row, "setup": {**SETUP, "epochs": 3}, "seed": 2}
    path = tmp_path / "scratch.jsonl"
    path.write_text(f"{json.dumps(row)}\n{json.dumps(other)}\n")
    assert uncertainty._read_scratch(path, SETUP) == {(("a", "b"), 1): [network]}
    assert uncertainty._read_scratch(tmp_path / "nowhere", SETUP) == {}


def test_width_follows_the_signs_and_the_constant_one_does_not() -> None:
    random = np.random.default_rng(0)

    def networks(family: str) -> list[HeldOut]:
        slacks = random.uniform(0, 3, 80)
        return [held_out(family, 0.03 * math.exp(slack) * random.normal(), slack) for slack in slacks]

    found = judge_family(networks("test"), [network for index in range(12) for network in networks(f"f{index}")])
    summary = summarise([found])
    assert len({network.constant_log_ratio for network in found}) == 1
    assert 84 <= summary["average"]["coverage"] <= 96
    assert 84 <= summary["average"]["constant_coverage"] <= 96
    assert summary["width_error_spearman"] > 0.4
    assert summary["risk_coverage"][1]["mape"] < 0.5 * summary["risk_coverage"][-1]["mape"]


def test_risk_coverage_by_hand() -> None:
    networks = [judged("f", 0.1 * rank, rank, covered=True) for rank in (10, 3, 5, 1, 2, 4, 6, 7, 8, 9)]
    curve = risk_coverage(networks)
    assert [point["most_certain"] for point in curve] == list(range(10, 101, 10))
    assert [point["mape"] for point in curve] == pytest.approx([10 * (count + 1) / 2 for count in range(1, 11)])


def test_summary_by_hand() -> None:
    runs = [
        [judged("a", 0.1, 0.1, covered=True), judged("a", 0.3, 0.2, covered=False, flagged=True)],
        [judged("b", 0.1, 0.3, covered=True)],
    ]
    summary = summarise(runs)
    assert summary["average"]["coverage"] == 75.0
    assert summary["all_networks"]["coverage"] == 66.67
    assert summary["lowest_coverage"] == "a"
    assert summary["families"]["a"] == {
        "networks": 2, "mape": 20.0, "coverage": 50.0,
        "width": pytest.approx(50 * (2 * math.sinh(0.1) + 2 * math.sinh(0.2)), abs=0.01),
        "constant_coverage": 50.0, "constant_width": pytest.approx(200 * math.sinh(0.2), abs=0.01),
        "out_of_distribution": 50.0,
    }  # fmt: skip
    assert summary["all_networks"]["out_of_distribution"] == 33.33
    assert summary["flagged"]["mape"] == 30.0
    assert summary["not_flagged"]["coverage"] == 100.0


def test_nothing_flagged_has_no_figures() -> None:
    runs = [[judged("a", 0.1, 0.1, covered=True), judged("a", 0.2, 0.2, covered=True)]]
    assert summarise(runs)["flagged"] is None


def test_false_alarms_are_few_where_training_has_the_family() -> None:
    rates = false_alarms(examples(tuple(FAMILIES), 25))
    assert set(rates) == {*FAMILIES, "all"}
    assert rates["all"] <= 4.0


def test_a_network_of_its_own_kind_is_an_alarm() -> None:
    alone = [dataclasses.replace(example, family="alone") for example in examples(("narrow",), 1)]  # has Add
    assert false_alarms([*examples(("plain",), 20), *alone])["alone"] == 100.0
