"""The field's figures for latency predictors (NNLQP, ICPP 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvm_narcost.errors import TrainingError

__all__ = ["Metrics", "compute_metrics"]


@dataclass(frozen=True)
class Metrics:
    """Figures over a set of networks.

    Attributes:
        networks: how many.
        mape: mean absolute percentage error, percent.
        acc_5, acc_10: percent of networks within 5 and 10 percent.
        rmse_ms: root of the mean squared error, milliseconds.
        kendall_tau: rank correlation, -1 to 1; 0 for fewer than two networks.
    """

    networks: int
    mape: float
    acc_5: float
    acc_10: float
    rmse_ms: float
    kendall_tau: float


def compute_metrics(predicted_ms: Sequence[float], measured_ms: Sequence[float]) -> Metrics:
    """Compare predictions with measurements, both in milliseconds.

    Raises:
        TrainingError: no networks, unequal lengths, or a value that is not finite and positive.
    """
    from scipy.stats import kendalltau

    predicted, measured = np.asarray(predicted_ms, float), np.asarray(measured_ms, float)
    if predicted.shape != measured.shape or predicted.size == 0:
        raise TrainingError(
            f"metrics: got {predicted.size} predictions for {measured.size} measurements, expected one each, at least 1"
        )
    if not (np.isfinite(predicted).all() and np.isfinite(measured).all() and (measured > 0).all()):
        raise TrainingError("metrics: a prediction is not finite or a measurement not positive, expected milliseconds")
    error = np.abs(predicted - measured) / measured
    tau = kendalltau(predicted, measured).statistic if predicted.size > 1 else 0.0
    return Metrics(
        networks=int(predicted.size),
        mape=float(error.mean() * 100),
        acc_5=float((error <= 0.05).mean() * 100),
        acc_10=float((error <= 0.10).mean() * 100),
        rmse_ms=float(np.sqrt(np.mean((predicted - measured) ** 2))),
        kendall_tau=float(np.nan_to_num(tau)),
    )
