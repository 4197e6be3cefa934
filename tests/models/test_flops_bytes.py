"""FLOPs and bytes: the line through measured networks."""

import numpy as np
import pytest

from relay_frontend.costs import graph_cost
from relay_frontend.graph import OpGraph
from tests.training.analytic import PROFILE, member, one_kernel_a_node
from tvm_narcost.models.flops_bytes import FlopsBytesModel, fit_flops_bytes

GRAPHS = [member(family, seed) for family in ("plain", "separable") for seed in range(8)]


def times_ms(graphs: list[OpGraph]) -> list[float]:
    """A power of each count, and a factor."""
    costs = [graph_cost(graph) for graph in graphs]
    return [3e-7 * cost.flops**0.4 * cost.memory_bytes**0.5 for cost in costs]


def test_a_power_law_of_both_counts_is_found() -> None:
    model = fit_flops_bytes(GRAPHS, times_ms(GRAPHS))
    assert model.intercept == pytest.approx(np.log(3e-7), rel=1e-6)
    assert model.flops_slope == pytest.approx(0.4)
    assert model.bytes_slope == pytest.approx(0.5)
    unseen = [member("mixed", seed) for seed in range(3)]
    predicted = model.predict(unseen, [one_kernel_a_node(graph) for graph in unseen], PROFILE)
    assert [prediction.latency_ms for prediction in predicted] == pytest.approx(times_ms(unseen))


def test_one_network_is_fitted_by_the_flattest_line() -> None:
    model = fit_flops_bytes(GRAPHS[:1], [2.0])
    (prediction,) = model.predict(GRAPHS[:1], [one_kernel_a_node(GRAPHS[0])], PROFILE)
    assert prediction.latency_ms == pytest.approx(2.0)


def test_a_network_of_views_costs_what_nothing_costs() -> None:
    empty = OpGraph("empty", (), (), (), ())
    model = FlopsBytesModel(0.5, 1.0, 1.0)
    (prediction,) = model.predict([empty], [one_kernel_a_node(empty)], PROFILE)
    assert prediction.latency_ms == pytest.approx(np.exp(0.5))
