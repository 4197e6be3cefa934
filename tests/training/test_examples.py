"""Examples: the end-to-end latency is shared out over kernels, and only what was timed whole is encoded."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.analytic import PROFILE, examples, record
from tvm_narcost.database import KernelTime, LatencyRecord
from tvm_narcost.errors import TrainingError
from tvm_narcost.tokens import default
from tvm_narcost.training.examples import (
    encode_record,
    encode_records,
    measured_latency_us,
    share_latency,
    undisturbed_mean,
)

times_us = st.lists(st.floats(0.0, 1e5), min_size=1, max_size=40).filter(lambda values: sum(values) > 1.0)


@given(times_us, st.floats(0.01, 10.0))
def test_shares_sum_to_the_latency(raw: list[float], ratio: float) -> None:
    raw_us, latency_us = np.array(raw), sum(raw) * ratio
    shared = share_latency(raw_us, latency_us)
    assert shared.sum() == pytest.approx(latency_us)
    assert (shared > 0).all()


@given(times_us, st.floats(0.01, 10.0))
def test_longer_kernel_keeps_the_longer_share(raw: list[float], ratio: float) -> None:
    raw_us = np.array(sorted(raw))
    shared = share_latency(raw_us, float(raw_us.sum()) * ratio)
    assert (np.diff(shared) >= -1e-9 * shared.max()).all()


@given(times_us, st.floats(0.01, 10.0))
def test_no_kernel_loses_more_than_half_to_the_profiler(raw: list[float], ratio: float) -> None:
    raw_us = np.array(raw)
    latency_us = float(raw_us.sum()) * ratio
    share = share_latency(raw_us, latency_us) / latency_us
    assert (share >= 0.5 * raw_us / (raw_us.sum() + 0.05 * len(raw_us)) * (1 - 1e-9)).all()


def test_profilers_time_is_taken_off_each_kernel_alike() -> None:
    # 130 us profiled, 100 us end to end: the profiler took 10 us a kernel.
    shared = share_latency(np.array([20.0, 40.0, 70.0]), 100.0)
    np.testing.assert_allclose(shared, [10.0, 30.0, 60.0], rtol=0.01)


def test_profiled_times_below_the_latency_are_scaled_up() -> None:
    np.testing.assert_allclose(share_latency(np.array([20.0, 60.0]), 160.0), [40.0, 120.0], rtol=0.01)


def test_example_has_a_token_a_bound_and_a_time_for_each_kernel() -> None:
    (example,) = examples(["separable"], 1)
    kernels = len(example.plan.kernels)
    assert example.tokens.shape == (kernels, default.WIDTH)
    assert example.tokens.dtype == np.float32
    for values in (example.roofline_us, example.yardstick_us, example.kernels_us, example.log_efficiency):
        assert values.shape == (kernels,)
        assert np.isfinite(values).all()
    assert example.kernels_us.sum() == pytest.approx(example.latency_us)
    assert example.share.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(example.yardstick_us * np.exp(example.log_efficiency), example.kernels_us)
    # The formula of the measurement: a depthwise convolution takes nine times its yardstick.
    depthwise = [index for index, node in enumerate(example.graph.nodes) if node.name == "depthwise"]
    np.testing.assert_allclose(np.exp(example.log_efficiency[depthwise]), 9.0, rtol=0.02)


def test_latency_is_the_median_of_the_samples() -> None:
    measured = dataclasses.replace(record("plain", 0).measurement, samples_us=(30.0, 10.0, 500.0))
    assert measured_latency_us(measured) == 30.0


@pytest.mark.parametrize("kernels", ["some", "empty"])
def test_kernel_that_was_not_timed_is_an_error(kernels: str) -> None:
    whole = record("plain", 0)
    times = list(whole.measurement.kernels)
    times[2:3] = [] if kernels == "some" else [KernelTime(2, ())]
    broken = dataclasses.replace(whole.measurement, kernels=tuple(times))
    with pytest.raises(TrainingError, match=r"'plain-0': no time of kernels \[2\].*measure it again"):
        encode_record(dataclasses.replace(whole, measurement=broken), PROFILE)


def test_noisy_failed_and_unprofiled_networks_are_left_out() -> None:
    def changed(seed: int, **change: object) -> LatencyRecord:
        whole = record("plain", seed)
        return dataclasses.replace(whole, measurement=dataclasses.replace(whole.measurement, **change))  # type: ignore[arg-type]

    records = [record("plain", 0), changed(1, verdict="noisy"), changed(2, verdict="failed"), changed(3, kernels=())]
    assert [example.name for example in encode_records(records, PROFILE)] == ["plain-0"]


@pytest.mark.parametrize(
    ("samples_us", "expected_us"),
    [([5.0, 6.0, 7.0], 6.0), ([2.0, 2.1, 1600.0, 1.9, 2.0], 2.0), ([0.0, 1.0, 1.0, 0.0, 0.0], 0.4), ([3.0], 3.0)],
    ids=["quiet", "one interrupted", "whole microseconds", "one alone"],
)
def test_a_sample_in_which_something_else_ran_does_not_count(samples_us: list[float], expected_us: float) -> None:
    assert undisturbed_mean(np.array(samples_us)) == pytest.approx(expected_us)
