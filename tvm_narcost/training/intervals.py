"""Intervals from held-out predictions: fit what error to expect, then calibrate the factor on families held out.

The family is what is exchangeable, not the network: networks of one family err alike, so that a thousand of them say
little more than one of what an unseen family will do. Families count alike, however many networks they have.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.errors import TrainingError
from tvm_narcost.models.estimate import estimate_networks
from tvm_narcost.models.interval import SIGNS, ErrorSigns, IntervalModel
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.training_kernels import TrainingKernels
from tvm_narcost.training.examples import Example

__all__ = [
    "COVERAGE", "CalibratedInterval", "HeldOut", "families_of", "fit_interval", "predict_held_out", "rank_correlation",
    "weighted_quantile",
]  # fmt: skip

COVERAGE = 0.90
_LEVELS = 21  # from COVERAGE to 1, that are tried
_RIDGE = 1e-3
_LEAST_ERROR = 1e-4  # a prediction that hits to the last digit is luck


@dataclass(frozen=True)
class HeldOut:
    """One network, predicted by an ensemble that saw none of its family."""

    name: str
    family: str
    predicted_ms: float
    measured_ms: float
    signs: ErrorSigns
    out_of_distribution: bool

    @property
    def log_error(self) -> float:
        """|log(predicted / measured)|."""
        return max(abs(float(np.log(self.predicted_ms / self.measured_ms))), _LEAST_ERROR)


@dataclass(frozen=True)
class CalibratedInterval:
    """An interval model with what calibration says of it.

    Attributes:
        model: fitted on all families.
        level: quantile of the other families' scores that the factor is.
        family_coverage: for each family, the share of its networks that an interval calibrated without it covers.
        rank_correlation: Spearman's, of the error and what a model fitted without the family expected of it.
    """

    model: IntervalModel
    level: float
    family_coverage: dict[str, float]
    rank_correlation: float

    @property
    def coverage(self) -> float:
        """Mean over families."""
        return float(np.mean(list(self.family_coverage.values())))


def predict_held_out(
    ensemble: KernelEnsemble, training_kernels: TrainingKernels, examples: Sequence[Example]
) -> list[HeldOut]:
    """Predict measured networks; it is the caller's to have trained without their families."""
    return [
        HeldOut(
            name=example.name,
            family=example.family,
            predicted_ms=float(estimate.kernels_us.sum()) / 1e3,
            measured_ms=example.latency_us / 1e3,
            signs=estimate.signs,
            out_of_distribution=estimate.out_of_distribution,
        )
        for example, estimate in zip(examples, estimate_networks(ensemble, training_kernels, examples), strict=True)
    ]


def fit_interval(held_out: Sequence[HeldOut], coverage: float = COVERAGE) -> CalibratedInterval:
    """Fit the expected error and calibrate the interval.

    A score is an error over what a model fitted on the other families expected of it. The factor is a quantile of the
    scores with families weighed alike, at the lowest level from ``coverage`` on at which the quantile over the other
    families covers ``coverage`` of a family, in the mean over families. With few families no level may reach it;
    then the factor is the largest score, and ``family_coverage`` tells.

    Raises:
        TrainingError: fewer than two families.
    """
    families = families_of(held_out)
    errors = np.array([network.log_error for network in held_out])
    member = np.array([families.index(network.family) for network in held_out])
    weight = 1.0 / np.bincount(member)[member] / len(families)
    expected = np.empty_like(errors)
    for family in range(len(families)):
        others = _fit_expected_error([held_out[row] for row in np.flatnonzero(member != family).tolist()], coverage)
        for row in np.flatnonzero(member == family).tolist():
            expected[row] = others.expected_error(held_out[row].signs)
    scores = errors / expected
    level, covered = _lowest_level(scores, member, weight, coverage)
    model = replace(_fit_expected_error(held_out, coverage), quantile=weighted_quantile(scores, weight, level))
    return CalibratedInterval(
        model, level, dict(zip(families, covered.tolist(), strict=True)), rank_correlation(expected, errors)
    )


def families_of(held_out: Sequence[HeldOut]) -> list[str]:
    """The families that there are predictions of, sorted.

    Raises:
        TrainingError: fewer than two.
    """
    families = sorted({network.family for network in held_out})
    if len(families) < 2:
        raise TrainingError(
            f"interval: got held-out predictions of families {families}, expected two or more; measure other families"
        )
    return families


def _fit_expected_error(held_out: Sequence[HeldOut], coverage: float) -> IntervalModel:
    """An interval model whose factor is still to be found.

    Most likely intercept and weights, errors taken as exponential about what is expected; that is convex. A sign can
    only widen: one that the data say narrows gets weight 0.
    """
    from scipy.optimize import minimize

    signs = np.array([astuple(network.signs) for network in held_out])
    errors = np.array([network.log_error for network in held_out])
    counts = Counter(network.family for network in held_out)
    weight = np.array([1.0 / counts[network.family] for network in held_out]) / len(counts)
    centre, deviation = signs.mean(axis=0), signs.std(axis=0)
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    standard = (signs - centre) / deviation

    def loss(unknown: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logs = unknown[0] + standard @ unknown[1:]
        ratio = errors * np.exp(-logs)
        slope = weight * (1.0 - ratio)
        gradient = np.concatenate([[slope.sum()], slope @ standard + 2 * _RIDGE * unknown[1:]])
        return float(weight @ (logs + ratio) + _RIDGE * unknown[1:] @ unknown[1:]), gradient

    start = np.concatenate([[np.log(weight @ errors)], np.zeros(len(SIGNS))])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None)] + [(0.0, None)] * len(SIGNS)).x
    weights = found[1:] / deviation
    fitted = np.exp(found[0] + standard @ found[1:])
    return IntervalModel(
        coverage=coverage,
        intercept=float(found[0] - centre @ weights),
        weights=dict(zip(SIGNS, weights.tolist(), strict=True)),
        error_range=(float(fitted.min()), float(fitted.max())),
        quantile=1.0,
    )


def _lowest_level(
    scores: NDArray[np.float64], member: NDArray[np.intp], weight: NDArray[np.float64], coverage: float
) -> tuple[float, NDArray[np.float64]]:
    """The level, and the share of each family that the other families' quantile at it covers, [families]."""
    level, covered = coverage, np.zeros(member.max() + 1)
    for level in np.linspace(coverage, 1.0, _LEVELS).tolist():
        for family in range(len(covered)):
            own = member == family
            covered[family] = np.mean(scores[own] <= weighted_quantile(scores[~own], weight[~own], level))
        if covered.mean() >= coverage:
            break
    return level, covered


def weighted_quantile(values: NDArray[np.float64], weight: NDArray[np.float64], level: float) -> float:
    """The smallest value that at least ``level`` of the weight lies at or under."""
    order = np.argsort(values)
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][min(int(np.searchsorted(reached, level - 1e-9)), len(values) - 1)])


def rank_correlation(expected: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """Spearman's; 0 where either never varies."""
    from scipy.stats import spearmanr

    if np.ptp(expected) == 0 or np.ptp(errors) == 0:
        return 0.0
    return float(spearmanr(expected, errors).statistic)
