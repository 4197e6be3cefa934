"""An interval from few networks: the source's notion of which are hard, and a factor from what was left out.

Normalised conformal prediction as in ``intervals.py``. Few families bear neither weights of their own nor the quantile
of their scores: below nine there is none at 90 % that the next family is promised to keep. There the factor is what an
exponential error keeps when its mean is only known from so many families, which widens as they get fewer.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.models.interval import IntervalModel
from tvm_narcost.training.intervals import (
    CalibratedInterval,
    HeldOut,
    families_of,
    fit_interval,
    rank_correlation,
    weighted_quantile,
)

__all__ = ["fit_interval_to_few", "predictive_quantile"]

_ENOUGH_NETWORKS = 100  # for weights of their own,
_ENOUGH_FAMILIES = 10  # of so many families
_WIDEST = 20.0  # a half interval in logarithms, before any device is called that unpredictable


def fit_interval_to_few(held_out: Sequence[HeldOut], source: IntervalModel) -> CalibratedInterval:
    """Calibrate an interval on few networks, each predicted without its family.

    With a hundred networks of ten families it is :func:`tvm_narcost.training.intervals.fit_interval`. With fewer the
    expected error is the source's, and one factor is fitted: a quantile of the scores in which families count alike,
    at a level that allows for how few they are, and :func:`predictive_quantile` at least.

    Args:
        held_out: predictions of the adapted models.
        source: the interval of the artifact that they come from.

    Raises:
        TrainingError: fewer than two families.
    """
    families = families_of(held_out)
    if len(held_out) >= _ENOUGH_NETWORKS and len(families) >= _ENOUGH_FAMILIES:
        return fit_interval(held_out, source.coverage)
    errors = np.array([network.log_error for network in held_out])
    expected = np.array([source.expected_error(network.signs) for network in held_out])
    scores, member = errors / expected, np.array([families.index(network.family) for network in held_out])
    coverage = {}
    for place, family in enumerate(families):
        own = member == place
        coverage[family] = float(np.mean(scores[own] <= _factor(scores[~own], member[~own], source.coverage)))
    most = _WIDEST / source.error_range[1]
    model = replace(source, quantile=min(_factor(scores, member, source.coverage), most))
    return CalibratedInterval(
        model, _level(len(families), source.coverage), coverage, rank_correlation(expected, errors)
    )


def predictive_quantile(mean: float, families: int, coverage: float) -> float:
    """What the next of exponential scores stays under, when their mean was taken over so many.

    The predictive distribution under the scale-free prior, a Pareto distribution; for many families -log(1 - coverage)
    times the mean.
    """
    return mean * families * float(np.expm1(-np.log1p(-coverage) / families))


def _level(families: int, coverage: float) -> float:
    """The quantile of so many scores that one more stays under; 1 where there are too few of them for any."""
    return min(coverage * (families + 1) / families, 1.0)


def _factor(scores: NDArray[np.float64], member: NDArray[np.intp], coverage: float) -> float:
    """The larger of the two quantiles; families are weighed alike.

    Args:
        scores: error over what the source's interval expects, [networks].
        member: which family each is of, [networks].
        coverage: of the next family.
    """
    places, counts = np.unique(member, return_counts=True)
    weight = 1.0 / counts[np.searchsorted(places, member)] / len(places)
    quantile = weighted_quantile(scores, weight, _level(len(places), coverage))
    return max(quantile, predictive_quantile(float(weight @ scores), len(places), coverage))
