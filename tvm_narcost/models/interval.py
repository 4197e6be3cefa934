"""Interval: how far off a prediction is expected to be, from signs that are known before anything is measured.

Normalised conformal prediction (Papadopoulos et al., 2008): a small model expects an error for each network, and one
factor, calibrated on families held out, makes intervals of it. The factor sets how often the intervals hold, whatever
the small model is worth; the small model sets which networks get the wide ones.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIGNS", "ErrorSigns", "IntervalModel", "error_signs", "interval_from_json"]

_LARGEST_LOG_RATIO = 100.0  # exp of it is still a float, and no device is that unpredictable
_AGREED = 0.01  # disagreement below a hundredth says nothing more


@dataclass(frozen=True, slots=True)
class ErrorSigns:
    """What speaks for a large error of one network; the larger, the worse.

    Attributes:
        slack: logarithm of the predicted latency over the roofline's bound. What peak and bandwidth explain is easy.
        disagreement: logarithm of the deviation of the members' logarithms of a kernel's time, the mean over the
            predicted time.
        concentration: logarithm of the sum of squared shares of the kernels: errors of many kernels cancel.
        far_share: share of the predicted time in kernels unlike those in training.
    """

    slack: float
    disagreement: float
    concentration: float
    far_share: float


SIGNS = tuple(field.name for field in fields(ErrorSigns))


def error_signs(
    kernels_us: NDArray[np.float64],
    bound_us: NDArray[np.float64],
    member_logs: NDArray[np.float64],
    far: NDArray[np.bool_],
) -> ErrorSigns:
    """The signs of one network; of one without kernels all are 0.

    Args:
        kernels_us: predicted time of each kernel, [kernels].
        bound_us: roofline of each kernel, [kernels].
        member_logs: logarithm of each kernel's time, or of the multiple of its yardstick, [members, kernels].
        far: which kernels are unlike those in training, [kernels].
    """
    if not len(kernels_us):
        return ErrorSigns(0.0, 0.0, 0.0, 0.0)
    share = kernels_us / kernels_us.sum()
    return ErrorSigns(
        slack=float(np.log(kernels_us.sum() / bound_us.sum())),
        disagreement=float(np.log(share @ member_logs.std(axis=0) + _AGREED)),
        concentration=float(np.log(share @ share)),
        far_share=float(share[far].sum()),
    )


@dataclass(frozen=True)
class IntervalModel:
    """The expected error is exp(intercept + sum of weight x sign), held within what calibration met.

    Attributes:
        coverage: share of the networks of an unseen family that intervals are meant to hold for.
        intercept: of the logarithm of the expected error.
        weights: of each sign, none negative.
        error_range: smallest and largest expected error, as |log(predicted / measured)|.
        quantile: half an interval, in logarithms, is this many times the expected error.
    """

    coverage: float
    intercept: float
    weights: Mapping[str, float]
    error_range: tuple[float, float]
    quantile: float

    def expected_error(self, signs: ErrorSigns) -> float:
        """|log(predicted / measured)| that a network of these signs is expected to have."""
        log_error = self.intercept + sum(self.weights[name] * getattr(signs, name) for name in SIGNS)
        low, high = (math.log(limit) for limit in self.error_range)
        return math.exp(min(max(log_error, low), high))

    def log_ratio(self, signs: ErrorSigns) -> float:
        """The interval is from latency x exp(-this) to latency x exp(this)."""
        return self.quantile * self.expected_error(signs)

    @property
    def widest_log_ratio(self) -> float:
        """The same of the largest error that calibration met: for networks of which the signs cannot tell enough."""
        return self.quantile * self.error_range[1]


def interval_from_json(document: Mapping[str, Any]) -> IntervalModel:
    """Read what ``dataclasses.asdict`` makes of an :class:`IntervalModel`.

    Raises:
        TypeError, ValueError: a field is missing, unknown, or of the wrong kind or range.
    """
    names = {field.name for field in fields(IntervalModel)}
    if not isinstance(document, Mapping) or set(document) != names:
        raise ValueError(f"interval has not the fields {sorted(names)}")
    weights = document["weights"]
    if not isinstance(weights, Mapping) or set(weights) != set(SIGNS):
        raise ValueError(f"interval has not a weight of each of {list(SIGNS)}")
    low, high = (float(limit) for limit in document["error_range"])
    model = IntervalModel(
        coverage=float(document["coverage"]),
        intercept=float(document["intercept"]),
        weights={name: float(weights[name]) for name in SIGNS},
        error_range=(low, high),
        quantile=float(document["quantile"]),
    )
    numbers = (model.intercept, *model.weights.values())
    if not all(map(math.isfinite, numbers)) or min(model.weights.values()) < 0:
        raise ValueError(f"interval: intercept and weights {numbers} are not finite, or a weight is negative")
    if not (0 < model.coverage < 1 and 0 < low <= high and 0 <= model.quantile * high <= _LARGEST_LOG_RATIO):
        raise ValueError(
            f"interval: coverage {model.coverage}, errors from {low} to {high}, quantile {model.quantile}; expected "
            f"a coverage between 0 and 1, positive errors, and a product of at most {_LARGEST_LOG_RATIO}"
        )
    return model
