"""fit_interval: intervals hold for families that calibration did not see, and the wide ones are where errors are."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.untrained import untrained_narformer
from tests.training.analytic import PROFILE, examples
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.interval import SIGNS, ErrorSigns, IntervalModel
from tvm_narcost.training import intervals
from tvm_narcost.training.intervals import HeldOut, fit_interval, predict_held_out


def network(family: str, log_error: float, signs: ErrorSigns) -> HeldOut:
    return HeldOut(f"{family}-x", family, math.exp(log_error), 1.0, signs, False)


def family(
    name: str, random: np.random.Generator, *, networks: int = 60, spread: float = 0.0, slope: float = 0.0
) -> list[HeldOut]:
    """Networks whose errors are of scale 0.1 x exp(slope x slack), times a factor of the family's own."""
    scale = 0.1 * math.exp(spread * random.normal())
    found = []
    for _ in range(networks):
        slack, disagreement, concentration = random.uniform(0, 2, 3).tolist()
        signs = ErrorSigns(slack, disagreement, concentration, far_share=0.0)
        found.append(network(name, scale * math.exp(slope * signs.slack) * random.normal(), signs))
    return found


def many(count: int, seed: int, spread: float = 0.0, slope: float = 0.0) -> list[HeldOut]:
    random = np.random.default_rng(seed)
    return [found for index in range(count) for found in family(f"f{index}", random, spread=spread, slope=slope)]


def covered(model: IntervalModel, held_out: Sequence[HeldOut]) -> NDArray[np.bool_]:
    return np.array([found.log_error <= model.log_ratio(found.signs) for found in held_out])


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.6])
def test_nine_of_ten_networks_of_families_never_seen_are_covered(spread: float) -> None:
    """Twenty-one families to calibrate on, whether they err alike or not; the mean over ten such calibrations."""
    unseen = many(100, seed=1000, spread=spread, slope=0.5)
    found = [covered(fit_interval(many(21, seed, spread=spread, slope=0.5)).model, unseen).mean() for seed in range(10)]
    assert 0.87 <= np.mean(found) <= 0.93


def test_families_that_err_each_in_its_own_way_take_wider_intervals() -> None:
    alike, unlike = (fit_interval(many(21, 0, spread=spread)) for spread in (0.0, 0.8))
    assert alike.level < unlike.level
    assert alike.model.quantile < unlike.model.quantile


def test_width_follows_the_errors() -> None:
    held_out = many(21, 0, slope=1.0)
    calibrated = fit_interval(held_out)
    assert calibrated.rank_correlation > 0.4
    assert calibrated.model.weights["slack"] == pytest.approx(1.0, abs=0.1)
    assert max(calibrated.model.weights[name] for name in SIGNS if name != "slack") < 0.15
    # Both halves are covered alike, where one width for all would cover one half always and the other too seldom.
    slack = np.array([found.signs.slack for found in held_out])
    holds = covered(calibrated.model, held_out)
    assert holds[slack < 1].mean() == pytest.approx(0.9, abs=0.03)
    assert holds[slack > 1].mean() == pytest.approx(0.9, abs=0.03)


def test_a_sign_never_narrows() -> None:
    assert fit_interval(many(21, 0, slope=-1.0)).model.weights["slack"] == 0.0


def test_signs_that_say_nothing_give_one_width() -> None:
    constant = ErrorSigns(0.5, -2.0, -3.0, 0.0)
    random = np.random.default_rng(0)
    held_out = [network(f"f{index % 7}", 0.1 * random.normal(), constant) for index in range(700)]
    calibrated = fit_interval(held_out)
    assert calibrated.model.log_ratio(constant) == pytest.approx(0.1645, rel=0.1)  # of a normal, 1.645 deviations
    assert calibrated.rank_correlation == pytest.approx(0, abs=0.1)
    assert calibrated.model.error_range[0] == pytest.approx(calibrated.model.error_range[1])


def test_families_weigh_alike_however_large() -> None:
    random = np.random.default_rng(0)
    nine = [found for index in range(9) for found in family(f"f{index}", random, networks=20)]
    small, huge = family("g", random, networks=20), family("g", random, networks=2000)
    for found in (small, huge):
        found[:] = [network("g", 10 * math.log(one.predicted_ms), one.signs) for one in found]
    with_small, with_huge = fit_interval([*nine, *small]), fit_interval([*nine, *huge])
    assert with_huge.model.quantile == pytest.approx(with_small.model.quantile, rel=0.25)
    assert with_huge.coverage < 0.95  # the large family is one of ten


def test_two_families_give_the_largest_score_and_say_what_it_covers() -> None:
    random = np.random.default_rng(0)
    calm, wild = family("calm", random, networks=10), family("wild", random, networks=10)
    wild = [network("wild", 30 * math.log(one.predicted_ms), one.signs) for one in wild]
    calibrated = fit_interval([*calm, *wild])
    assert calibrated.level == 1.0
    assert calibrated.family_coverage["calm"] == 1.0
    assert calibrated.family_coverage["wild"] < 0.5
    assert calibrated.coverage == pytest.approx(np.mean(list(calibrated.family_coverage.values())))
    assert covered(calibrated.model, calm).all()


@pytest.mark.parametrize("held_out", [[], many(1, 0)])
def test_one_family_is_too_few(held_out: list[HeldOut]) -> None:
    with pytest.raises(TrainingError, match="expected two or more"):
        fit_interval(held_out)


def test_order_does_not_matter() -> None:
    held_out = many(5, 0, spread=0.3, slope=0.5)
    first, second = fit_interval(held_out).model, fit_interval(held_out[::-1]).model
    assert second.quantile == pytest.approx(first.quantile, rel=1e-3)
    assert second.weights == pytest.approx(first.weights, abs=1e-3)


@pytest.mark.parametrize(
    ("level", "expected"), [(0.1, 1.0), (0.5, 1.0), (0.51, 2.0), (0.75, 2.0), (0.9, 3.0), (1.0, 3.0)]
)
def test_weighted_quantile(level: float, expected: float) -> None:
    assert intervals.weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0]), level) == expected


def test_a_perfect_prediction_still_has_an_error() -> None:
    assert network("f", 0.0, ErrorSigns(0, 0, 0, 0)).log_error == 1e-4
    assert network("f", -0.5, ErrorSigns(0, 0, 0, 0)).log_error == pytest.approx(0.5)


def test_held_out_networks_are_predicted_as_by_the_artifact() -> None:
    model, measured = untrained_narformer(), examples(("mixed", "plain"), 2)
    held_out = predict_held_out(model.ensemble, model.training_kernels, measured)
    told = model.predict([example.graph for example in measured], [example.plan for example in measured], PROFILE)
    for example, found, prediction in zip(measured, held_out, told, strict=True):
        assert (found.name, found.family) == (example.name, example.family)
        assert found.measured_ms == example.latency_us / 1e3
        assert found.predicted_ms == pytest.approx(prediction.latency_ms, rel=1e-4)
        assert found.out_of_distribution is prediction.out_of_distribution
        ratio = math.exp(model.facts.interval.log_ratio(found.signs))
        assert prediction.interval_ms[1] / prediction.latency_ms == pytest.approx(ratio, rel=1e-3)
