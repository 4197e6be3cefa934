"""Metrics, by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_narcost.errors import TrainingError
from tvm_narcost.training.metrics import compute_metrics

milliseconds = st.floats(0.01, 1e4)


def test_figures_by_hand() -> None:
    # Errors of 4, 5, 10, 50 and 100 percent.
    metrics = compute_metrics([104.0, 9.5, 22.0, 2.0, 6.0], [100.0, 10.0, 20.0, 4.0, 3.0])
    assert metrics.networks == 5
    assert metrics.mape == pytest.approx((4 + 5 + 10 + 50 + 100) / 5)
    assert metrics.acc_5 == pytest.approx(40.0)
    assert metrics.acc_10 == pytest.approx(60.0)
    assert metrics.rmse_ms == pytest.approx(math.sqrt((16 + 0.25 + 4 + 4 + 9) / 5))
    # Of the ten pairs only (4, 3) is ordered the other way: predicted 2 and 6.
    assert metrics.kendall_tau == pytest.approx((9 - 1) / 10)


@pytest.mark.parametrize(("predicted", "tau"), [([1, 2, 3], 1.0), ([3, 2, 1], -1.0), ([2, 2, 2], 0.0)])
def test_rank_correlation_of_orders(predicted: list[float], tau: float) -> None:
    assert compute_metrics(predicted, [10, 20, 30]).kendall_tau == pytest.approx(tau)


def test_one_network_has_no_order() -> None:
    metrics = compute_metrics([1.0], [2.0])
    assert (metrics.mape, metrics.kendall_tau) == (50.0, 0.0)


@given(st.lists(milliseconds, min_size=2, max_size=20, unique=True), st.floats(0.5, 2.0))
def test_a_constant_factor_is_that_much_error_and_no_disorder(measured: list[float], factor: float) -> None:
    metrics = compute_metrics([value * factor for value in measured], measured)
    assert metrics.mape == pytest.approx(abs(factor - 1) * 100, abs=1e-9)
    assert metrics.kendall_tau == pytest.approx(1.0, abs=1e-6)
    assert metrics.acc_5 <= metrics.acc_10


@pytest.mark.parametrize(
    ("predicted", "measured"),
    [
        ([1.0], [0.0]),
        ([1.0], [-1.0]),
        ([1.0], [math.nan]),
        ([math.nan], [1.0]),
        ([math.inf], [1.0]),
        ([1.0], [math.inf]),
        ([1.0, 2.0], [1.0]),
        ([], []),
    ],
)
def test_what_is_no_comparison_is_refused(predicted: list[float], measured: list[float]) -> None:
    with pytest.raises(TrainingError, match="metrics: .*expected"):
        compute_metrics(predicted, measured)
