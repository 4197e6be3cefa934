"""The figures of repeated measurements, on ones whose answer is known."""

import math

import pytest

from bench.noise_floor import Repeat, agreement, find_repeats, session_starts, summarise
from tests.database.test_dataset import record, twice


def repeat(first_ms: float, second_ms: float, *, same: bool = True) -> Repeat:
    return Repeat("n", "f", first_ms, second_ms, same, 1.0)


def test_figures_of_known_pairs() -> None:
    figures = agreement([repeat(1.0, 1.1), repeat(1.0, 1.0), repeat(1.0, 0.9)])
    assert figures["pairs"] == 3
    assert figures["mean"] == pytest.approx((math.log(1.1) - math.log(0.9)) / 3, abs=1e-5)
    assert figures["median"] == pytest.approx(math.log(1.1), abs=1e-5)
    assert figures["mape"] == pytest.approx(100 * (0.1 / 1.1 + 0.1 / 0.9) / 3, abs=1e-4)


def test_a_session_that_is_slower_alike_is_drift_and_no_more() -> None:
    figures = agreement([repeat(latency_ms, 1.05 * latency_ms) for latency_ms in (0.5, 2.0, 30.0)])
    assert figures["drift"] == pytest.approx(math.log(1.05), abs=1e-5)
    assert figures["mean_without_drift"] == pytest.approx(0.0, abs=1e-5)


def test_bands_are_of_the_second_latency_and_an_empty_one_has_only_a_count() -> None:
    summary = summarise([repeat(1.2, 0.9), repeat(0.9, 1.0, same=False), repeat(12.0, 9.9)])
    pairs = {name: figures["pairs"] for name, figures in summary.items()}
    assert pairs == {
        "all": 3, "below 1 ms": 1, "1 to 10 ms": 2, "above 10 ms": 0, "same session": 2, "different sessions": 1,
    }  # fmt: skip
    assert summary["above 10 ms"] == {"pairs": 0}


def test_a_long_pause_begins_a_session() -> None:
    assert session_starts([0.0, 599.0, 1198.0, 1799.0, 1800.0]) == [0.0, 1799.0]
    assert session_starts([]) == []


def test_what_was_measured_once_or_is_noisy_has_no_pair() -> None:
    (found,) = find_repeats([record(), record(verdict="stable"), twice()])
    assert (found.first_ms, found.second_ms) == pytest.approx((0.01225, 0.0105615))
    assert (found.same_session, found.hours) == (False, 24.0)


def test_another_environment_is_another_session() -> None:
    near = {"measured_at": "2026-01-01T23:59:00+00:00"}
    assert find_repeats([twice(**near)])[0].same_session
    assert not find_repeats([twice(**near, fingerprint=(("cpu_model", "other"),))])[0].same_session
