"""What the tuning benchmark makes of its rows."""

import math
from typing import Any

import pytest

pytest.importorskip("tvm")

from bench.tuning import best_after, pairwise_accuracy, summarize


def row(model: str, kernel: str, seed: int, latencies_us: list[float], zero: tuple[float, float]) -> dict[str, Any]:
    return {
        "model": model,
        "kernel": kernel,
        "seed": seed,
        "trials": len(latencies_us),
        "best_us": {
            str(point): best_after(latencies_us, point) for point in (8, 32, 128) if point <= len(latencies_us)
        },
        "zero": {"chosen_us": zero[0], "random_us": zero[1], "kendall": 0.5, "spearman": 0.6, "pairwise": 0.8},
        "split_s": {"build": 1.0},
        "features_s": 0.1,
    }


def test_best_after_counts_from_the_first() -> None:
    assert best_after([9.0, math.inf, 7.0, 3.0], 3) == 7.0
    assert best_after([9.0, 5.0], 8) == 5.0


def test_pairwise_accuracy_leaves_out_what_cannot_be_told_apart() -> None:
    assert pairwise_accuracy([1.0, 2.0, 3.0], [10.0, 20.0, 20.1]) == 1.0
    assert pairwise_accuracy([3.0, 2.0, 1.0], [10.0, 20.0, 40.0]) == 0.0
    assert pairwise_accuracy([1.0, 1.0], [10.0, 20.0]) == 0.5
    assert pairwise_accuracy([1.0, 3.0, 2.0], [10.0, 20.0, 40.0]) == pytest.approx(2 / 3)


def test_models_are_compared_on_the_kernels_and_seeds_that_both_have() -> None:
    fast, slow = [8.0] * 32, [16.0] * 127 + [4.0]
    rows = [
        {"model": "fixed", "kernel": "a", "seed": 1000},
        row("narcost", "a", 0, [], (10.0, 30.0)),
        row("narcost", "a", 0, fast, (10.0, 30.0)),
        row("narcost", "b", 0, fast, (10.0, 10.0)),
        row("narcost", "a", 1, [2.0] * 32, (10.0, 30.0)),
        row("xgb", "a", 0, slow, (20.0, 30.0)),
        row("xgb", "a", 1, slow, (20.0, 30.0)),
    ]
    summary = summarize(rows)
    found = summary["comparisons"]["narcost@32 over xgb@128"]
    assert found["pairs"] == 2
    assert found["ratio"] == pytest.approx(math.sqrt(8 / 4 * 2 / 4))
    assert (found["least"], found["most"]) == (0.5, 2.0)
    assert found["deviation_over_seeds"] == pytest.approx(1.06, abs=0.005)
    narcost = summary["models"]["narcost"]
    assert narcost["zero_trials_speedup"] == pytest.approx((3 * 3 * 1) ** (1 / 3))
    assert narcost["best_us"]["32"] == pytest.approx((8 * 8 * 2) ** (1 / 3))
    assert "128" not in narcost["best_us"]
