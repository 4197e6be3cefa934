"""What the tuning benchmark makes of its rows."""

import math
from typing import Any

import pytest

pytest.importorskip("tvm")

from bench.tuning import schedules_to_time, shown
from bench.tuning_figures import best_after, pairwise_accuracy, place_after, summarize


def row(model: str, kernel: str, seed: int, latencies_us: list[float], zero: tuple[float, float]) -> dict[str, Any]:
    return {
        "model": model,
        "kernel": kernel,
        "seed": seed,
        "trials": len(latencies_us),
        "latencies_us": latencies_us,
        "best_us": {
            str(point): best_after(latencies_us, point) for point in (8, 32, 128) if point <= len(latencies_us)
        },
        "best": {str(point): f"{model} {seed} {point}" for point in (8, 32, 128) if point <= len(latencies_us)},
        "traces": {f"{model} {seed} {point}": "[]" for point in (8, 32, 128) if point <= len(latencies_us)},
        "zero": {"chosen_us": zero[0], "random_us": zero[1], "kendall": 0.5, "spearman": 0.6, "pairwise": 0.8},
        "split_s": {"build": 1.0},
        "features_s": 0.1,
    }


def test_best_after_counts_from_the_first() -> None:
    assert best_after([9.0, math.inf, 7.0, 3.0], 3) == 7.0
    assert best_after([9.0, 5.0], 8) == 5.0
    assert place_after([9.0, math.inf, 7.0, 3.0], 3) == 2


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


def test_what_was_timed_again_is_what_counts() -> None:
    rows = [row("narcost", "a", 0, [8.0] * 32, (10.0, 30.0)), row("xgb", "a", 0, [9.0] * 127 + [4.0], (20.0, 30.0))]
    before = summarize(rows)
    assert before["comparisons"]["narcost@32 over xgb@128"]["ratio"] == pytest.approx(8 / 4)
    wanted = schedules_to_time(rows)
    assert set(wanted["a"]) == {"narcost 0 8", "narcost 0 32", "xgb 0 8", "xgb 0 32", "xgb 0 128"}
    times = {key: [10.0, 10.0, 11.0] for key in wanted["a"]} | {"xgb 0 128": [8.0, 8.0, 30.0]}
    again = {"kernel": "a", "model": "again", "seed": 0, "trials": 0, "us": times}
    assert schedules_to_time([*rows, again]) == {}
    summary = summarize([*rows, again])
    assert summary["comparisons"]["narcost@32 over xgb@128"]["ratio"] == pytest.approx(10 / 8)
    assert summary["models"]["xgb"]["best_us"] == pytest.approx({"8": 10.0, "32": 10.0, "128": 8.0})
    assert summary["timed_again"]["rounds_apart_median"] == pytest.approx(0.1)
    assert summary["timed_again"]["over_in_run"] == pytest.approx((10 / 8 * 10 / 8 * 10 / 9 * 10 / 9 * 8 / 4) ** 0.2)


def test_a_longer_run_asks_for_its_schedules_to_be_timed() -> None:
    short, long = row("xgb", "a", 0, [9.0] * 32, (1.0, 1.0)), row("xgb", "a", 0, [9.0] * 128, (1.0, 1.0))
    again = {"kernel": "a", "model": "again", "seed": 0, "trials": 0, "us": {key: [9.0] for key in short["traces"]}}
    assert schedules_to_time([short, again]) == {}
    assert "xgb 0 128" in schedules_to_time([short, again, long])["a"]
    assert "traces" not in shown(long)
    failed = shown(row("xgb", "a", 0, [9.0, math.inf], (1.0, 1.0)))
    assert (failed["latencies_us"], failed["best_us"]) == ([9.0, None], {})
