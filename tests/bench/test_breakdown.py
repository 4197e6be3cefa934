"""Errors of kernels by kind, on ones whose answer is known."""

import numpy as np
import pytest
import torch

from bench.breakdown import compare_kernels, kernel_kinds, predict_family, summarise
from tests.training.analytic import examples, member, one_kernel_a_node
from tvm_narcost.tokens.facts import kernel_facts


def test_convolutions_are_told_apart() -> None:
    plan = one_kernel_a_node(member("mixed", 0))
    kinds = dict(zip((node.name for node in plan.graph.nodes), kernel_kinds(kernel_facts(plan)), strict=True))
    assert kinds == {
        "conv3": "Conv", "depthwise": "Conv, depthwise", "relu": "Relu", "conv1": "Conv, 1x1", "add": "Add",
    }  # fmt: skip


def test_errors_of_kinds_are_weighted_by_share_and_add_up_to_the_network() -> None:
    networks = examples(("mixed",), 3)
    factors = {"Conv": 1.1, "Conv, depthwise": 0.8, "Conv, 1x1": 1.0, "Relu": 3.0, "Add": 1.0}
    predicted = [
        network.kernels_us * np.array([factors[kind] for kind in kernel_kinds(kernel_facts(network.plan))])
        for network in networks
    ]
    exact = [network.kernels_us for network in networks]
    row = {"family": "mixed", "seed": 0, **compare_kernels(networks, {"narformer": predicted, "kernel_sum": exact})}
    summary = summarise([row])
    kinds = summary["kinds"]
    assert summary["networks"] == 3
    for kind, factor in factors.items():
        assert kinds[kind]["narformer"]["error"] == pytest.approx(100 * abs(factor - 1), abs=0.01)
        assert kinds[kind]["narformer"]["bias"] == pytest.approx(100 * (factor - 1), abs=0.01)
        assert kinds[kind]["kernel_sum"]["error"] == 0
    assert kinds["all"]["share"] == pytest.approx(100)
    assert sum(kinds[kind]["share"] for kind in factors) == pytest.approx(100, abs=0.01)
    assert sum(kinds[kind]["share"] * kinds[kind]["narformer"]["bias"] for kind in factors) / 100 == pytest.approx(
        kinds["all"]["narformer"]["bias"], abs=0.02
    )
    assert summary["network"]["narformer"]["error"] <= kinds["all"]["narformer"]["error"]
    assert next(iter(kinds)) == "all"
    shares = [kinds[kind]["share"] for kind in kinds]
    assert shares == sorted(shares, reverse=True)


def test_seeds_are_averaged_and_families_pooled() -> None:
    def row(family: str, seed: int, error: float, networks: int) -> dict[str, object]:
        sums = {"kernels": 2, "share": float(networks), "narformer": [error, -error], "kernel_sum": [0.0, 0.0]}
        mape = {"narformer": error, "kernel_sum": 0.0}
        return {"family": family, "seed": seed, "networks": networks, "network_mape": mape, "kinds": {"Conv": sums}}

    summary = summarise([row("a", 0, 0.1, 1), row("b", 0, 0.3, 3), row("a", 1, 0.2, 1), row("b", 1, 0.6, 3)])
    conv = summary["kinds"]["Conv"]
    assert (summary["networks"], conv["kernels"], conv["share"]) == (4, 4, 100.0)
    assert (conv["narformer"]["error"], conv["narformer"]["bias"]) == (15.0, -15.0)  # 0.4 / 4 and 0.8 / 4
    assert conv["narformer"]["error_std"] == pytest.approx(7.07)
    assert summary["network"]["narformer"]["error"] == pytest.approx((0.25 + 0.5) / 2, abs=0.01)


def test_both_predictors_are_trained_without_the_family() -> None:
    torch.set_num_threads(1)
    row = predict_family(examples(("plain", "bottleneck", "separable"), 6), "separable", 0, 1)
    assert row["networks"] == 6
    assert set(row["kinds"]) == {"Conv", "Conv, 1x1", "Conv, depthwise", "Relu"}
    assert sum(sums["share"] for sums in row["kinds"].values()) == pytest.approx(6)
    assert row["network_mape"]["kernel_sum"] > 0
    assert row["network_mape"]["narformer"] != row["network_mape"]["kernel_sum"]
