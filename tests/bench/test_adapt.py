"""bench.adapt: what is left out, what is drawn, and the figures."""

import dataclasses
from collections import Counter
from typing import Any

import pytest

from bench.adapt import LEFT_OUT, METHODS, draw_networks, split_networks, summarise
from tests.models.untrained import untrained_narformer
from tests.training.analytic import FAMILIES, PROFILE, examples
from tvm_narcost.models.flops import FlopsModel
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.training.ensemble import fit_context_trees
from tvm_narcost.training.evaluate import fit_kernel_sum_to
from tvm_narcost.training.fit import FittedModels


def row(method: str, count: int, seed: int, mape: dict[str, float], **more: object) -> dict[str, Any]:
    same = dict.fromkeys(mape, 50.0)
    return {
        "method": method, "count": count, "seed": seed, "mape": mape, "acc_10": same, "kendall_tau": same, **more,
    }  # fmt: skip


def test_families_to_judge_on_are_fixed() -> None:
    assert LEFT_OUT == ("densenet", "gpt", "mobilenet_v2", "repvgg", "swin", "xception")


def test_graphs_of_families_left_out_are_not_drawn() -> None:
    plain, other = examples(("plain",), 2), examples(("mixed",), 1)
    measured = [dataclasses.replace(plain[0], family="gpt"), *plain, *other]
    test, rest = split_networks(measured)
    assert [example.family for example in test] == ["gpt"]
    assert [example.name for example in rest] == ["plain-1", "mixed-0"]


def test_a_draw_takes_families_in_turn_and_holds_the_smaller_ones() -> None:
    measured = examples(tuple(FAMILIES), 4)
    draws = [draw_networks(measured, count, 0) for count in (3, 10, 50)]
    assert [len(draw) for draw in draws] == [3, 10, 20]
    assert set(Counter(example.family for example in draws[1]).values()) == {2}
    assert draws[1][:3] == draws[0]
    assert draw_networks(measured, 10, 1) != draws[1]
    assert draw_networks([], 10, 0) == []


def test_every_way_predicts_the_networks_left_out() -> None:
    known, test = examples(("plain", "bottleneck", "separable"), 3), examples(("mixed",), 2)
    untrained = untrained_narformer("box.tvm")
    ensemble = KernelEnsemble(untrained.ensemble.networks[:1], fit_context_trees(known, 0))
    source = FittedModels(
        NarFormerLatency(ensemble, untrained.training_kernels, untrained.facts),
        fit_kernel_sum_to(known, 0),
        FlopsModel(0.0, 0.5),
    )
    for method in ("adapted", "one factor"):
        found = METHODS[method](source, known, test, PROFILE, 0)
        assert len(found["predicted_ms"]) == 2
        assert all(0 < predicted_ms < 1e3 for predicted_ms in found["predicted_ms"])
    found = METHODS["adapted"](source, known, test, PROFILE, 0)
    assert set(found["covered"]) <= {0.0, 1.0}
    assert found["interval_factor"] > 1


def test_figures_weigh_families_alike_and_spread_over_draws() -> None:
    rows = [
        row("adapted", 10, 0, {"a": 10.0, "b": 20.0}, coverage={"a": 100.0, "b": 80.0}, interval_factor=1.5),
        row("adapted", 10, 1, {"a": 10.0, "b": 24.0}, coverage={"a": 90.0, "b": 80.0}, interval_factor=1.7),
        row("from scratch", 10, 0, {"a": 40.0, "b": 50.0}),
        row("adapted", 30, 0, {"a": 8.0, "b": 8.0}, coverage={"a": 90.0, "b": 90.0}, interval_factor=1.4),
    ]
    summary = summarise(rows)
    assert list(summary) == ["10", "30"]
    assert summary["10"]["adapted"] == {
        "mape_mean": 16.0, "mape_std": pytest.approx(1.41), "acc_10": 50.0, "kendall_tau": 50.0, "draws": 2,
        "coverage": 87.5, "interval_factor": 1.6,
    }  # fmt: skip
    assert summary["10"]["from scratch"]["mape_mean"] == 45.0
    assert "coverage" not in summary["10"]["from scratch"]
    assert summary["30"]["adapted"]["mape_std"] == 0.0
