"""Errors of kernels by kind, on ones whose answer is known."""

from typing import Any

import numpy as np
import pytest

from bench.accuracy import _one
from bench.breakdown import PREDICTORS, summarise
from bench.kernel_kinds import errors_by_kind, kernel_kinds
from tests.training.analytic import examples, member, one_kernel_a_node
from tvm_narcost.tokens.facts import kernel_facts


def row(predictor: str, family: str, seed: int, kernels: dict[str, Any], mape: float, networks: int) -> dict[str, Any]:
    return {
        "predictor": predictor, "family": family, "seed": seed, "kernels": kernels, "metrics": {"mape": mape},
        "measured_ms": [1.0] * networks,
    }  # fmt: skip


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
    mape = 100 * float(
        np.mean([abs(times.sum() / one.latency_us - 1) for times, one in zip(predicted, networks, strict=True)])
    )
    summary = summarise(
        [
            row("narformer", "mixed", 0, errors_by_kind(networks, predicted), mape, 3),
            row("kernel_sum", "mixed", 0, errors_by_kind(networks, exact), 0.0, 3),
        ]
    )
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
    def conv(error: float, networks: int) -> dict[str, Any]:
        return {"Conv": {"kernels": 2, "share": float(networks), "absolute": error, "signed": -error}}

    errors = {("a", 0): (0.1, 1), ("b", 0): (0.3, 3), ("a", 1): (0.2, 1), ("b", 1): (0.6, 3), ("a", 2): (9.0, 1)}
    summary = summarise(
        [
            row(predictor, family, seed, conv(scale * error, networks), scale * error, networks)
            for (family, seed), (error, networks) in errors.items()
            for predictor, scale in zip(PREDICTORS, (1.0, 0.0), strict=True)
        ]
    )
    found = summary["kinds"]["Conv"]
    assert summary["seeds"] == [0, 1]  # the third was not run on every family
    assert (summary["networks"], found["kernels"], found["share"]) == (4, 4, 100.0)
    assert (found["narformer"]["error"], found["narformer"]["bias"]) == (15.0, -15.0)  # 0.4 / 4 and 0.8 / 4
    assert found["narformer"]["error_std"] == pytest.approx(7.07)
    assert found["kernel_sum"]["error"] == 0
    assert summary["network"]["narformer"]["error"] == pytest.approx((0.25 + 0.5) / 2, abs=0.01)


def test_a_training_keeps_the_errors_of_its_kernels_family_by_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.accuracy.examples", examples(("plain", "bottleneck", "separable"), 6))
    found, other = _one("kernel_sum", ("separable", "bottleneck"), 0, "epyc-zen5.onnxruntime", None)
    assert (found["family"], other["family"]) == ("separable", "bottleneck")
    assert set(found["kernels"]) == {"Conv", "Conv, 1x1", "Conv, depthwise", "Relu"}
    assert "Conv, depthwise" not in other["kernels"]
    for row_ in (found, other):
        share = sum(sums["share"] for sums in row_["kernels"].values())
        assert share == pytest.approx(len(row_["measured_ms"])) == 6
    (without,) = _one("flops", ("separable",), 0, "epyc-zen5.onnxruntime", None)
    assert without["kernels"] == {}
