"""Programs timed in turn: a drift meets all alike, short ones are run several times, the budget is for all."""

from collections.abc import Callable
from statistics import median

import pytest

from hardware_profiles import MeasurementProtocol
from tvm_narcost.measure.interleaved import take_interleaved


class Clock:
    """Time that passes only while something runs, on a machine that gets slower by ``drift`` a nanosecond."""

    def __init__(self, drift: float = 0.0) -> None:
        self.now = 0
        self.drift = drift
        self.calls: list[str] = []

    def __call__(self) -> int:
        return self.now

    def program(self, name: str, duration_us: float) -> Callable[[], None]:
        def run() -> None:
            self.calls.append(name)
            self.now += round(1e3 * duration_us * (1 + self.drift * self.now))

        return run


PROTOCOL = MeasurementProtocol(
    warmup_s=0, warmup_runs=1, min_samples=12, max_samples=12, budget_s=60.0, stable_iqr_ratio=0.1
)


def test_a_drift_meets_all_programs_alike() -> None:
    clock = Clock(drift=2e-11)
    runs = [clock.program(name, 5e5) for name in "abc"]
    found = take_interleaved(runs, clock.program("r", 100), PROTOCOL, 0, clock, clock)
    medians = [median(samples.samples_us) for samples in found]
    assert max(medians) / min(medians) < 1.06
    last, first = found[0].samples_us[-1], found[0].samples_us[0]
    assert last / first > 1.2  # the machine did drift


def test_rounds_hold_every_program_once_in_changing_order() -> None:
    clock = Clock()
    take_interleaved([clock.program(name, 5e3) for name in "abc"], clock.program("r", 1), PROTOCOL, 3, clock, clock)
    visits = [name for name in clock.calls[6:] if name != "r"]  # after warm-up and the first look at the length
    rounds = ["".join(visits[start : start + 3]) for start in range(0, len(visits), 3)]
    assert all(sorted(found) == ["a", "b", "c"] for found in rounds)
    assert len(set(rounds)) > 1


def test_short_programs_are_run_several_times_a_visit_after_one_that_is_not_counted() -> None:
    clock = Clock()
    protocol = MeasurementProtocol(warmup_s=0, warmup_runs=1, min_samples=12, max_samples=100, budget_s=60.0)
    short, long = take_interleaved(
        [clock.program("short", 50), clock.program("long", 5e3)], clock.program("r", 1), protocol, 0, clock, clock
    )
    assert len(short.samples_us) == 5 * len(long.samples_us) == 60
    assert len(short.reference_us) == 60
    assert set(short.samples_us) == {50.0}
    assert clock.calls.count("short") == 2 + 6 * len(long.samples_us)
    assert (short.verdict, long.verdict) == ("stable", "stable")


@pytest.mark.parametrize(("budget_s", "samples"), [(0.01, 3), (0.055, 6)])
def test_the_budget_is_a_program_s_own(budget_s: float, samples: int) -> None:
    clock = Clock()
    protocol = MeasurementProtocol(warmup_s=0, warmup_runs=1, min_samples=50, max_samples=50, budget_s=budget_s)
    slow, quick = take_interleaved(
        [clock.program("slow", 1e4), clock.program("quick", 5e3)], clock.program("r", 1), protocol, 0, clock, clock
    )
    assert len(slow.samples_us) == samples
    assert len(quick.samples_us) == max(3, round(budget_s / 0.005001 + 0.5))
