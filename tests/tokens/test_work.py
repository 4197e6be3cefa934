"""What kernels do, in quantities that add up: two plans differ in what their kernels differ in."""

import numpy as np

from hardware_profiles import load_profile
from relay_frontend.plan import FusionPlan
from tests.fusion.networks import network
from tvm_narcost.tokens.work import WORK, PlanWork

PROFILE = load_profile("epyc-zen5.tvm")
GRAPH = network(("MaxPool",), ("Relu", 0), ("Transpose", 1), ("MaxPool", 2))


def work(*kernels: tuple[int, ...]) -> dict[str, float]:
    found = PlanWork(GRAPH, PROFILE).of(FusionPlan(GRAPH, kernels, "test"))
    assert found.shape == (len(kernels), len(WORK))
    return dict(zip(WORK, found.sum(axis=0), strict=True))


def test_work_of_operators_is_the_same_whatever_the_plan() -> None:
    apart, together = work((0,), (1,), (2,), (3,)), work((0, 1), (2,), (3,))
    for name in WORK:
        if name.startswith(("flops_", "elements_", "parameter_bytes")):
            assert apart[name] == together[name], name
    assert apart["elements_pooling"] == 2 * apart["elements_activation"] > 0


def test_a_joined_edge_saves_a_call_and_what_it_passes_through_memory() -> None:
    apart, together = work((0,), (1,), (2,), (3,)), work((0, 1), (2,), (3,))
    passed = GRAPH.nodes[0].outputs[0].bytes
    assert (apart["calls"], together["calls"]) == (4, 3)
    assert (apart["taken_in"], together["taken_in"]) == (0, 1)
    for moved in ("input", "output"):
        of = [
            sum(value for name, value in found.items() if name.startswith(f"{moved}_bytes"))
            for found in (apart, together)
        ]
        assert of[0] - of[1] == passed


def test_two_windows_in_one_kernel_are_told() -> None:
    assert work((0, 1, 2, 3))["heavy_taken_in"] == 1
    assert work((0, 1), (2, 3))["heavy_taken_in"] == 0


def test_equal_kernels_are_described_once_and_alike() -> None:
    describer = PlanWork(GRAPH, PROFILE)
    plan = FusionPlan(GRAPH, ((0, 1), (2,), (3,)), "test")
    np.testing.assert_array_equal(describer.of(plan), describer.of(plan))
    np.testing.assert_array_equal(describer.of(plan), PlanWork(GRAPH, PROFILE).of(plan))


def test_a_transpose_is_told_where_a_window_reads_it_across_rows() -> None:
    elements = GRAPH.nodes[2].outputs[0].elements
    assert work((0,), (1,), (2, 3))["turned_elements"] == elements
    assert work((0,), (1, 2), (3,))["turned_elements"] == 0
    turned_then_activated = network(("MaxPool",), ("Transpose", 0), ("Relu", 1), ("MaxPool", 2))
    of = PlanWork(turned_then_activated, PROFILE)
    kernels = FusionPlan(turned_then_activated, ((0,), (1, 2, 3)), "test")
    assert of.of(kernels)[1, WORK.index("turned_elements")] == elements


def test_concatenations_that_compute_what_they_join_are_told() -> None:
    graph = network(("MaxPool",), ("Relu", 0), ("Concat", 0, 1))
    column = WORK.index("joined_elements")
    together, apart = (
        PlanWork(graph, PROFILE).of(FusionPlan(graph, kernels, "test"))[:, column].sum()
        for kernels in (((0,), (1, 2)), ((0,), (1,), (2,)))
    )
    assert (together, apart) == (graph.nodes[2].outputs[0].elements, 0)
