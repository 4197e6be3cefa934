"""The stop rule, on scripted times."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles import MeasurementProtocol
from tvm_narcost.measure.protocol import Samples, iqr_ratio, take_samples, warm_up

MICROSECOND = 1_000
REFERENCE_US = 100.0


class Machine:
    """A clock that moves only when something runs: the network as scripted, the reference always 100 us."""

    def __init__(self, durations_us: Sequence[float], core_share: float = 1.0) -> None:
        self.now_ns = 0
        self.core_share = core_share
        self.runs = 0
        self._durations: Iterator[float] = iter(durations_us)
        self._last = durations_us[-1]

    def run(self) -> None:
        self.runs += 1
        self._last = next(self._durations, self._last)
        self.now_ns += round(self._last * MICROSECOND)

    def reference(self) -> None:
        self.now_ns += round(REFERENCE_US * MICROSECOND)

    def clock(self) -> int:
        return self.now_ns

    def cpu_clock(self) -> int:
        return round(self.now_ns * self.core_share)

    def take(self, protocol: MeasurementProtocol) -> Samples:
        return take_samples(self.run, self.reference, protocol, self.clock, self.cpu_clock)


def protocol(**changes: float) -> MeasurementProtocol:
    numbers: dict[str, float] = {
        "warmup_s": 0.0,
        "warmup_runs": 1,
        "min_samples": 10,
        "max_samples": 50,
        "budget_s": 1.0,
    }
    return MeasurementProtocol(**{**numbers, **changes})  # type: ignore[arg-type]  # ints are floats here


def test_stops_at_min_samples_when_they_agree() -> None:
    samples = Machine([1000.0]).take(protocol())
    assert samples == Samples((1000.0,) * 10, (REFERENCE_US,) * 10, "stable", "")


def test_goes_on_until_the_samples_agree() -> None:
    wild = [1000.0, 2000.0] * 6
    samples = Machine([1000.0, *wild, *[1500.0] * 100]).take(protocol())
    assert samples.verdict == "stable"
    assert samples.samples_us[:12] == tuple(wild)  # raw samples stay
    assert iqr_ratio(samples.samples_us) < 0.10 <= iqr_ratio(samples.samples_us[:-1])


def test_stops_at_max_samples_between_stable_and_noisy() -> None:
    samples = Machine([1000.0, 1200.0] * 100).take(protocol(max_samples=30))
    assert len(samples.samples_us) == 30
    assert samples.verdict == "stable"  # IQR/median of 18 % lies between the two limits


def test_budget_ends_it_before_min_samples() -> None:
    samples = Machine([300_000.0]).take(protocol(budget_s=1.0))
    assert len(samples.samples_us) == 4  # 4 x 0.3001 s is the first that passes one second
    assert samples.verdict == "stable"


def test_noisy_says_why() -> None:
    samples = Machine([1000.0, 2000.0] * 100).take(protocol())
    assert samples.verdict == "noisy"
    assert "67%" in samples.reason and "25%" in samples.reason


def test_two_samples_are_too_few_to_judge() -> None:
    samples = Machine([800_000.0]).take(protocol(budget_s=1.0))
    assert len(samples.samples_us) == 2
    assert (samples.verdict, samples.reason[:9]) == ("noisy", "2 samples")


def test_a_shared_core_is_noisy_although_the_samples_agree() -> None:
    samples = Machine([1000.0], core_share=0.5).take(protocol())
    assert samples.verdict == "noisy"
    assert "50% of a core" in samples.reason


def test_two_busy_threads_are_not_a_shared_core() -> None:
    assert Machine([1000.0], core_share=2.0).take(protocol()).verdict == "stable"


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"warmup_runs": 7}, 7),  # by count
        ({"warmup_runs": 3, "warmup_s": 0.1}, 100),  # by time: 100 runs of 1 ms
        ({"warmup_runs": 5000, "budget_s": 0.5}, 500),  # never longer than the budget
    ],
)
def test_warm_up_by_count_and_time(numbers: dict[str, float], expected: int) -> None:
    machine = Machine([1000.0])
    assert warm_up(machine.run, protocol(**numbers), machine.clock) == expected == machine.runs


def test_warm_up_runs_are_no_samples() -> None:
    machine = Machine([9000.0, 8000.0, 7000.0, *[1000.0] * 100])
    samples = machine.take(protocol(warmup_runs=3))
    assert samples.samples_us == (1000.0,) * 10
    assert machine.runs == 13


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=80))
def test_any_machine_ends_within_the_limits(durations_us: list[float]) -> None:
    machine = Machine(durations_us)
    samples = machine.take(protocol())
    assert 1 <= len(samples.samples_us) <= 50
    assert len(samples.samples_us) == len(samples.reference_us)
    assert (samples.verdict == "stable") == (samples.reason == "")
    without_last_s = sum(samples.samples_us[:-1]) / 1e6 + sum(samples.reference_us[:-1]) / 1e6
    assert without_last_s < 1.0 + 1e-6


def test_iqr_ratio_of_two_samples_is_infinite() -> None:
    assert iqr_ratio([1.0, 1.0]) == float("inf")
    assert iqr_ratio([1.0, 2.0, 3.0]) == 0.5
