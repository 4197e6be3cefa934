"""What bench/fusion.py makes of predictions, and the graphs that it is about."""

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bench.fusion import (
    HELD_OUT_FAMILIES,
    HELD_OUT_MICRO_SEEDS,
    Judged,
    held_out_sources,
    judge_network,
    measured_once,
    summarise,
)
from bench.fusion_cases import exp_chain, max_pool_add
from bench.fusion_passes import judged_us, last_two, noise_floor, passes_of
from bench.fusion_predictors import PREDICTORS, Choose, Rules, Training, by_all, fastest, surely_faster
from tests.training.analytic import examples, record
from tvm_narcost.zoo import FAMILIES, MICRO_FAMILIES


def judged(family: str, predicted: list[float], measured: list[float], rule: Choose = fastest) -> Judged:
    return judge_network("n", family, np.array([predicted]), measured, rule)


MEASURED = [100.0, 80.0, 120.0, 90.0]


def test_a_predictor_that_knows_chooses_the_best() -> None:
    right = judged("vit", [10.0, 8.0, 12.0, 9.0], MEASURED)
    assert (right.tau, right.regret, right.plans) == (1.0, 0.0, 4)
    assert right.speedup == right.best_speedup == pytest.approx(1.25)
    assert right.default_error == pytest.approx(-0.9)


def test_a_wrong_choice_is_regret_and_a_loss_against_the_default() -> None:
    wrong = judged("vit", [3.0, 4.0, 1.0, 2.0], MEASURED)
    assert wrong.regret == pytest.approx(0.5)
    assert wrong.speedup == pytest.approx(100 / 120)
    assert wrong.tau < 0
    assert judged("vit", [1.0] * 4, MEASURED).speedup == 1.0  # ties go to the default
    assert judged("vit", [1.0] * 4, MEASURED).tau == 0.0


def test_what_one_member_doubts_is_not_chosen() -> None:
    members = np.array([[100.0, 80.0, 120.0, 90.0], [100.0, 99.0, 70.0, 90.0]])
    assert judge_network("n", "vit", members, MEASURED, surely_faster).speedup == pytest.approx(100 / 90)
    assert judge_network("n", "vit", members[:, :3], MEASURED[:3], surely_faster).speedup == 1.0


def test_of_the_chosen_plan_and_other_ways_to_write_the_network_one_is_chosen() -> None:
    rules = Rules(by_all, fastest, surely_faster)
    predicted = np.array([[100.0, 90.0, 95.0, 80.0], [100.0, 90.0, 95.0, 89.5]])  # two plans, then two other ways
    choose = rules.in_two_steps(2)
    assert choose(predicted) == 1  # the last is faster, and not surely
    assert choose(predicted[:, :2]) == 1
    assert choose(np.array([[100.0, 90.0, 95.0, 80.0]])) == 3


def test_figures_over_networks() -> None:
    rows = [
        judged("vit", [100.0, 80.0, 120.0, 90.0], MEASURED),
        judged("micro_softmax", [150.0, 1.0], [100.0, 200.0]),
    ]
    figures = summarise(rows)
    assert figures["kendall_tau"] == 1.0  # of two plans a rank says little
    assert figures["mean_regret"] == pytest.approx(0.5)
    assert figures["speedup"] == pytest.approx((1.25 * 0.5) ** 0.5)
    assert figures["smallest_speedup"] == 0.5
    assert figures["default_mape"] == pytest.approx(25.0)
    assert figures["default_mape_of_families"] == pytest.approx(0.0, abs=1e-9)


def test_noise_is_how_far_passes_differ() -> None:
    floor = noise_floor([{"1": 100.0, "2": 110.0, "3": 99.0}, {"1": 50.0}, {"1": 10.0, "2": 10.0}])
    assert floor["pairs"] == 3
    assert floor["median"] == pytest.approx(0.1)
    assert noise_floor([{"1": 1.0}]) == {}


def test_plans_are_compared_within_passes() -> None:
    default = {"1": 100.0, "2": 121.0}  # the second pass is slower, for all plans alike
    assert judged_us(default, default) == pytest.approx(110.5)
    assert judged_us({"1": 90.0}, default) == pytest.approx(0.9 * 110.5)
    assert judged_us({"2": 108.9}, default) == pytest.approx(0.9 * 110.5)
    assert judged_us({"1": 80.0, "2": 121.0}, default) == pytest.approx(0.8**0.5 * 110.5)
    assert judged_us({"3": 90.0}, default) is None


def test_the_last_two_passes_of_the_plans_that_both_have() -> None:
    default = {"1": 5.0, "2": 6.0, "3": 7.0}
    assert last_two([default, {"2": 1.0, "3": 2.0}, {"3": 9.0}]) == ([6.0, 1.0], [7.0, 2.0])
    assert last_two([default, {"1": 1.0}]) is None
    assert last_two([{"1": 5.0}, {"1": 6.0}]) is None


def test_what_is_timed_twice_in_a_pass_counts_once() -> None:
    first, second = record("plain", 0), record("plain", 0).measurement
    times = [("1", 10.0), ("1", 30.0), ("2", 50.0)]
    measured = [dataclasses.replace(second, measured_at=when, samples_us=(us,)) for when, us in times]
    together = dataclasses.replace(first, earlier=tuple(measured[:2]), measurement=measured[2])
    assert passes_of(together) == {"1": 20.0, "2": 50.0}


def test_what_measuring_once_would_choose() -> None:
    found = measured_once([("vit", [100.0, 80.0, 90.0], [100.0, 90.0, 80.0])])
    assert found["networks"] == 1
    assert found["mean_regret"] == pytest.approx(90 / 80 - 1)  # either pass chooses what is second in the other
    assert found["speedup"] == pytest.approx(100 / 90)
    assert found["best_speedup"] == pytest.approx(100 / 80)
    apart = measured_once([("vit", [100.0, 80.0], [125.0, 80.0]), ("micro_softmax", [10.0, 8.0], [10.0, 8.0])])
    assert apart["default_mape_of_families"] == pytest.approx((25 + 20) / 2)
    assert apart["default_mape"] == pytest.approx((25 + 20) / 4)
    assert measured_once([]) == {}


def test_what_is_held_out(tmp_path: Path) -> None:
    sources = held_out_sources(tmp_path)
    assert len({source.name for source in sources}) == len(sources) >= 38
    assert set(HELD_OUT_FAMILIES) < set(FAMILIES)
    assert {source.family for source in sources} == {"file", *MICRO_FAMILIES, *HELD_OUT_FAMILIES}
    assert sum(source.family == "micro_broadcast" for source in sources) == len(HELD_OUT_MICRO_SEEDS)
    assert [source.document() for source in sources] == [source.document() for source in held_out_sources(tmp_path)]


@pytest.mark.parametrize(("model", "shape"), [(exp_chain(8), (1024, 1024)), (max_pool_add(3), (1, 64, 112, 112))])
def test_the_graphs_of_the_issues_run(model: object, shape: tuple[int, ...]) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])  # type: ignore[attr-defined]
    feed = {value.name: np.full(value.shape, 0.25, np.float32) for value in session.get_inputs()}
    (found,) = session.run(None, feed)
    assert found.shape == shape
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["kernel_sum", "flops_bytes"])
def test_baselines_predict_microseconds(name: str) -> None:
    measured = examples(["plain", "narrow"], 12)
    (predicted,) = PREDICTORS[name][0](Training(measured), measured, 0)
    truth = np.array([example.latency_us for example in measured])
    assert np.median(np.abs(predicted / truth - 1)) < 0.5
