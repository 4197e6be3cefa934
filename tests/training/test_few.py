"""Intervals from few networks: wide where little is known, and true."""

import dataclasses
import math

import numpy as np
import pytest

from tests.models.untrained import INTERVAL
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.interval import ErrorSigns
from tvm_narcost.training.few import fit_interval_to_few, predictive_quantile
from tvm_narcost.training.intervals import HeldOut, fit_interval

SIGNS = ErrorSigns(slack=1.0, disagreement=-2.0, concentration=-1.0, far_share=0.0)


def held_out(errors: dict[str, list[float]], signs: ErrorSigns = SIGNS) -> list[HeldOut]:
    """Networks whose logarithm is off by so much."""
    return [
        HeldOut(f"{family}-{place}", family, math.exp(error), 1.0, signs, False)
        for family, found in errors.items()
        for place, error in enumerate(found)
    ]


def drawn(families: int, count: int, seed: int, mean: float = 0.1) -> list[HeldOut]:
    random = np.random.default_rng(seed)
    return held_out({f"f{place:02}": random.exponential(mean, count).tolist() for place in range(families)})


def test_the_weights_are_the_sources() -> None:
    model = fit_interval_to_few(drawn(6, 2, 0), INTERVAL).model
    assert dataclasses.replace(model, quantile=INTERVAL.quantile) == INTERVAL


def test_fewer_families_widen() -> None:
    """Of the same errors in each."""
    errors = [0.05, 0.1, 0.2]
    widths = [
        fit_interval_to_few(held_out({f"f{place}": errors for place in range(count)}), INTERVAL).model.quantile
        for count in (2, 3, 5, 8)
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 1.5 * widths[-1]


def test_no_error_seen_lies_outside_where_families_are_few() -> None:
    networks = held_out({"a": [0.01], "b": [0.02], "c": [0.9], "d": [0.02], "e": [0.01]})
    model = fit_interval_to_few(networks, INTERVAL).model
    widest = max(networks, key=lambda network: network.log_error)
    assert model.log_ratio(widest.signs) >= widest.log_error * (1 - 1e-9)


def test_a_family_counts_once_however_many_networks_it_has() -> None:
    few = held_out({"a": [0.1, 0.1], "b": [0.2, 0.2], "c": [0.3, 0.3]})
    many = held_out({"a": [0.1, 0.1] * 20, "b": [0.2, 0.2], "c": [0.3, 0.3]})
    assert fit_interval_to_few(many, INTERVAL).model.quantile == pytest.approx(
        fit_interval_to_few(few, INTERVAL).model.quantile
    )


@pytest.mark.parametrize("families", [3, 8, 20])
def test_covers_the_next_family_as_often_as_it_says(families: int) -> None:
    covered = []
    for seed in range(200):
        model = fit_interval_to_few(drawn(families, 1, seed), INTERVAL).model
        following = drawn(1, 20, 1000 + seed)
        covered += [network.log_error <= model.log_ratio(network.signs) for network in following]
    assert 0.87 <= np.mean(covered) <= 0.97


def test_many_networks_get_an_interval_of_their_own() -> None:
    networks = drawn(12, 10, 0)
    assert fit_interval_to_few(networks, INTERVAL) == fit_interval(networks)


def test_predictive_quantile_tends_to_the_exponentials() -> None:
    assert predictive_quantile(0.5, 10**7, 0.9) == pytest.approx(0.5 * math.log(10), rel=1e-5)
    assert predictive_quantile(1.0, 1, 0.9) == pytest.approx(9.0)


def test_enormous_errors_stay_a_valid_interval() -> None:
    model = fit_interval_to_few(held_out({"a": [80.0], "b": [90.0]}), INTERVAL).model
    assert model.quantile * model.error_range[1] == pytest.approx(20.0)


def test_one_family() -> None:
    with pytest.raises(TrainingError, match=r"families \['a'\], expected two or more"):
        fit_interval_to_few(held_out({"a": [0.1, 0.2]}), INTERVAL)
