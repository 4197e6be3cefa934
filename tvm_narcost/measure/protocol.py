"""The timing protocol: warm up, take raw samples with a reference beside each, stop when they agree."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from hardware_profiles import MeasurementProtocol
from tvm_narcost.database.measurement import Verdict

__all__ = ["FEWEST_TO_JUDGE", "Samples", "iqr_ratio", "judged", "take_samples", "warm_up"]

FEWEST_TO_JUDGE = 3  # below this an interquartile range says nothing
_LEAST_CORE_SHARE = 0.90


@dataclass(frozen=True, slots=True)
class Samples:
    """Raw samples of one network, microseconds, in the order in which they were taken.

    Attributes:
        samples_us: end-to-end latency of each timed run.
        reference_us: the reference kernel right before each of them; same length.
        verdict: ``stable`` or ``noisy``.
        reason: why, when noisy; empty otherwise.
    """

    samples_us: tuple[float, ...]
    reference_us: tuple[float, ...]
    verdict: Verdict
    reason: str


def iqr_ratio(samples_us: Sequence[float]) -> float:
    """Interquartile range over median, as a fraction; infinite below three samples."""
    if len(samples_us) < FEWEST_TO_JUDGE:
        return float("inf")
    low, middle, high = quantiles(samples_us, n=4, method="inclusive")
    return (high - low) / middle if middle > 0 else float("inf")


def warm_up(
    run: Callable[[], object], protocol: MeasurementProtocol, clock: Callable[[], int] = time.perf_counter_ns
) -> int:
    """Run at least ``warmup_runs`` times and ``warmup_s`` long, but no longer than ``budget_s``; returns the count."""
    started = clock()
    count = 0
    while True:
        run()
        count += 1
        elapsed_s = (clock() - started) / 1e9
        enough = count >= protocol.warmup_runs and elapsed_s >= protocol.warmup_s
        if enough or elapsed_s >= protocol.budget_s:
            return count


def take_samples(
    run: Callable[[], object],
    reference: Callable[[], object],
    protocol: MeasurementProtocol,
    clock: Callable[[], int] = time.perf_counter_ns,
    cpu_clock: Callable[[], int] = time.process_time_ns,
) -> Samples:
    """Warm up, then time ``run`` until its samples agree or the budget is spent.

    The reference runs right before each timed run, so that a drift of the machine can be divided out later. Every
    sample is kept. Sampling ends when there are ``min_samples`` whose IQR/median is below ``stable_iqr_ratio``, at
    ``max_samples``, or when ``budget_s`` is spent (counted from after the warm-up; the first sample is always taken).

    Samples are noisy when IQR/median ends above ``noisy_iqr_ratio``, when there are fewer than three, or when this
    process had less than 90 % of one core meanwhile: two processes that share a core evenly give samples that agree
    and are twice too long.

    Args:
        run: one run of the network.
        reference: one run of the reference kernel, see reference.py.
        protocol: the numbers.
        clock: nanoseconds, monotonic.
        cpu_clock: nanoseconds of CPU time of this process, all threads.
    """
    warm_up(run, protocol, clock)
    reference()
    samples_us: list[float] = []
    reference_us: list[float] = []
    cpu_started, started = cpu_clock(), clock()
    while True:
        before = clock()
        reference()
        between = clock()
        run()
        after = clock()
        reference_us.append((between - before) / 1e3)
        samples_us.append((after - between) / 1e3)
        agreed = len(samples_us) >= protocol.min_samples and iqr_ratio(samples_us) < protocol.stable_iqr_ratio
        spent = after - started >= protocol.budget_s * 1e9
        if agreed or spent or len(samples_us) >= protocol.max_samples:
            break
    core_share = (cpu_clock() - cpu_started) / max(after - started, 1)
    return judged(samples_us, reference_us, core_share, protocol)


def judged(
    samples_us: Sequence[float],
    reference_us: Sequence[float],
    core_share: float,
    protocol: MeasurementProtocol,
    least_core_share: float = _LEAST_CORE_SHARE,
) -> Samples:
    """Samples with their verdict; ``core_share`` is the part of one core that this process had meanwhile."""
    reason = _why_noisy(samples_us, core_share, protocol, least_core_share)
    return Samples(tuple(samples_us), tuple(reference_us), "noisy" if reason else "stable", reason)


def _why_noisy(
    samples_us: Sequence[float], core_share: float, protocol: MeasurementProtocol, least_core_share: float
) -> str:
    """Empty when the samples can be trusted."""
    count = len(samples_us)
    if count < FEWEST_TO_JUDGE:
        return f"{count} samples in the budget of {protocol.budget_s:g} s, expected at least {FEWEST_TO_JUDGE}"
    ratio = iqr_ratio(samples_us)
    if ratio > protocol.noisy_iqr_ratio:
        return (
            f"IQR/median is {ratio:.0%} over {count} samples with median {median(samples_us):.0f} us, "
            f"expected at most {protocol.noisy_iqr_ratio:.0%}"
        )
    if core_share < least_core_share:
        return f"the process had {core_share:.0%} of a core, expected all of it: other work runs on the same core"
    return ""
