"""Costs are found again from latencies that were made of them, also where the rest of a latency hides them."""

import dataclasses

import numpy as np
import pytest

from hardware_profiles import load_profile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tests.fusion.networks import network
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.plan_costs import PlanCosts
from tvm_narcost.models.plan_times import PlanTimes
from tvm_narcost.tokens.work import PlanWork
from tvm_narcost.training.examples import Example
from tvm_narcost.training.plan_costs import fit_plan_costs

PROFILE = load_profile("epyc-zen5.tvm")
TRUTH = PlanCosts({"calls": 2.0, "input_bytes_l1": 0.01})
NETWORKS = [network(("MaxPool",), *(("Relu", place) for place in range(length))) for length in (3, 4, 6)]


def example(graph: OpGraph, kernels: tuple[tuple[int, ...], ...], planner: str, more_us: float = 0.0) -> Example:
    plan = FusionPlan(graph, kernels, planner)
    kernels_us = TRUTH.kernels_us(PlanWork(graph, PROFILE).of(plan))
    none, latency_us = np.zeros(0), more_us + float(kernels_us.sum())
    return Example(
        "net", "family", graph, plan, (), np.zeros((0, 0), np.float32), none, none, kernels_us, latency_us, "box.tvm"
    )


def plans(graph: OpGraph, more_us: float = 0.0) -> list[Example]:
    count = len(graph.nodes)
    apart = tuple((place,) for place in range(count))
    pairs = ((0, 1), *((place,) for place in range(2, count)))
    return [example(graph, pairs, "tvm", more_us), example(graph, (tuple(range(count)),), "random", more_us),
            example(graph, apart, "none", more_us)]  # fmt: skip


def test_costs_are_found_again() -> None:
    found = fit_plan_costs([one for graph in NETWORKS for one in plans(graph)], PROFILE)
    for one in plans(NETWORKS[1]):
        work = PlanWork(NETWORKS[1], PROFILE).of(one.plan)
        assert found.kernels_us(work).sum() == pytest.approx(one.latency_us, rel=1e-3)


def test_differences_are_right_where_latencies_cannot_be() -> None:
    """Each network takes as much longer as no work explains."""
    examples = [one for graph, more_us in zip(NETWORKS, (0.0, 40.0, 5.0), strict=True) for one in plans(graph, more_us)]
    found = fit_plan_costs(examples, PROFILE)
    for graph in NETWORKS:
        fused, _, apart = plans(graph)
        describer = PlanWork(graph, PROFILE)
        ours = [float(found.kernels_us(describer.of(one.plan)).sum()) for one in (fused, apart)]
        assert ours[1] - ours[0] == pytest.approx(apart.latency_us - fused.latency_us, rel=0.35)
        assert ours[1] > ours[0]


def slower_where_all_is_fused(one: Example) -> Example:
    """A kernel of more than two operators takes five times what its work costs: a schedule fails on it."""
    kernels_us = one.kernels_us * [5.0 if len(members) > 2 else 1.0 for members in one.plan.kernels]
    return dataclasses.replace(one, kernels_us=kernels_us, latency_us=float(kernels_us.sum()))


def test_what_no_work_explains_is_learned_from_fused_kernels() -> None:
    lengths = range(3, 15)
    networks = [network(("MaxPool",), *(("Relu", place) for place in range(length))) for length in lengths]
    measured = [[slower_where_all_is_fused(one) for one in plans(graph)] for graph in networks]
    costs = fit_plan_costs([one for group in measured[::2] for one in group], PROFILE)
    for graph, (pairs, fused, apart) in zip(networks[3:-2:2], measured[3:-2:2], strict=True):
        times = PlanTimes(graph, PROFILE, costs)
        ours = [float(times.kernels_us(one.plan).sum()) for one in (pairs, fused, apart)]
        assert ours[1] / ours[2] == pytest.approx(fused.latency_us / apart.latency_us, rel=0.3)
        assert sorted(ours) == [ours[0], ours[2], ours[1]] or fused.latency_us < apart.latency_us


def test_without_a_plan_of_operators_apart_costs_are_all_there_is() -> None:
    examples = [one for graph in NETWORKS for one in plans(graph) if one.plan.planner != "none"]
    costs = fit_plan_costs(examples, PROFILE)
    assert costs.gains is None
    times = PlanTimes(NETWORKS[0], PROFILE, costs)
    plan = examples[0].plan
    np.testing.assert_array_equal(times.kernels_us(plan), times.by_cost_us(plan))


def test_networks_under_one_plan_tell_nothing() -> None:
    with pytest.raises(TrainingError, match="no network was measured under several plans"):
        fit_plan_costs([plans(graph)[0] for graph in NETWORKS], PROFILE)
    with pytest.raises(TrainingError, match="no network was measured under several plans"):
        first = plans(NETWORKS[0])[0]
        fit_plan_costs([first, plans(NETWORKS[1])[0]], PROFILE)
