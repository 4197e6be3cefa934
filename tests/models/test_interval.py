"""IntervalModel and the signs that it reads."""

import dataclasses
import json
import math

import numpy as np
import pytest

from tests.models.untrained import INTERVAL
from tvm_narcost.models.interval import SIGNS, ErrorSigns, IntervalModel, error_signs, interval_from_json

NEAR = np.zeros(4, bool)
EVEN = np.full(4, 25.0)


def signs_of(
    kernels_us: object = EVEN, bound_us: object = EVEN, member_logs: object = np.zeros((2, 4)), far: object = NEAR
) -> ErrorSigns:
    return error_signs(*(np.asarray(value) for value in (kernels_us, bound_us, member_logs, far)))


def test_signs_by_hand() -> None:
    signs = signs_of(
        [10.0, 10.0, 20.0, 60.0], [5.0, 5.0, 10.0, 5.0], [[0, 0, 0, 0], [1, 0, 0, 0.5]], [True, False, False, True]
    )
    assert signs.slack == pytest.approx(math.log(100 / 25))
    assert signs.disagreement == pytest.approx(math.log(0.1 * 0.5 + 0.6 * 0.25 + 0.01))
    assert signs.concentration == pytest.approx(math.log(0.01 + 0.01 + 0.04 + 0.36))
    assert signs.far_share == pytest.approx(0.7)


def test_a_network_without_kernels_has_no_signs() -> None:
    nothing = np.zeros(0)
    assert error_signs(nothing, nothing, np.zeros((2, 0)), nothing > 0) == ErrorSigns(0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("worse", "sign"),
    [
        ({"kernels_us": 3 * EVEN}, "slack"),
        ({"member_logs": [[0, 0, 0, 0.2], [0, 0, 0, 0]]}, "disagreement"),
        ({"kernels_us": [97, 1, 1, 1]}, "concentration"),
        ({"far": [True, False, False, False]}, "far_share"),
    ],
)
def test_what_is_worse_has_a_larger_sign_and_no_other(worse: dict[str, object], sign: str) -> None:
    usual, found = dataclasses.asdict(signs_of()), dataclasses.asdict(signs_of(**worse))
    assert found[sign] > usual[sign]
    assert {name: found[name] for name in SIGNS if name != sign} == pytest.approx(
        {name: usual[name] for name in SIGNS if name != sign}
    )


def test_expected_error_by_hand() -> None:
    signs = ErrorSigns(slack=0.4, disagreement=-2.0, concentration=-3.0, far_share=0.1)
    expected = math.exp(-2.5 + 0.5 * 0.4 + 0.25 * -2.0 + 0.1)
    assert INTERVAL.expected_error(signs) == pytest.approx(expected)
    assert INTERVAL.log_ratio(signs) == pytest.approx(2 * expected)


def test_expected_error_stays_within_what_calibration_met() -> None:
    certain, hopeless = ErrorSigns(-9.0, -9.0, -9.0, 0.0), ErrorSigns(99.0, 9.0, 0.0, 1.0)
    assert INTERVAL.expected_error(certain) == pytest.approx(0.01)
    assert INTERVAL.expected_error(hopeless) == pytest.approx(0.5)


def test_round_trip_through_json() -> None:
    read = interval_from_json(json.loads(json.dumps(dataclasses.asdict(INTERVAL))))
    assert read == INTERVAL
    assert isinstance(read, IntervalModel)
