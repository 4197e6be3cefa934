"""Timing of several programs in turn, so that a drift of the machine meets all of them alike."""

import random
import time
from collections.abc import Callable, Sequence

from hardware_profiles import MeasurementProtocol
from tvm_narcost.measure.protocol import Samples, iqr_ratio, judged, warm_up

__all__ = ["take_interleaved"]

_VISIT_NS = 1_000_000  # a program that is shorter is run several times a visit ...
_MOST_A_VISIT = 5  # ... but no more often than this


def take_interleaved(
    runs: Sequence[Callable[[], object]],
    reference: Callable[[], object],
    protocol: MeasurementProtocol,
    seed: int,
    clock: Callable[[], int] = time.perf_counter_ns,
    cpu_clock: Callable[[], int] = time.process_time_ns,
) -> list[Samples]:
    """Warm all of ``runs`` up, then time them in rounds, each round in a random order of its own.

    A visit to a short program begins with a run that is not counted: the one before it left another's data and code
    in the caches. Rounds end when all have ``min_samples`` whose IQR/median is below ``stable_iqr_ratio``, when the
    shortest has ``max_samples``, or when ``budget_s`` for each of them is spent. Verdicts are as in
    :func:`tvm_narcost.measure.protocol.take_samples`.

    Args:
        runs: one run of each program.
        reference: one run of the reference kernel; its time stands beside every sample of the visit after it.
        protocol: the numbers; ``budget_s`` is that of one program.
        seed: of the orders.
        clock: nanoseconds, monotonic.
        cpu_clock: nanoseconds of CPU time of this process, all threads.
    """
    for run in runs:
        warm_up(run, protocol, clock)
    repeats = [_repeats(run, clock) for run in runs]
    samples_us: list[list[float]] = [[] for _ in runs]
    reference_us: list[list[float]] = [[] for _ in runs]
    order, shuffled = list(range(len(runs))), random.Random(seed)
    cpu_started, started = cpu_clock(), clock()
    while True:
        shuffled.shuffle(order)
        for place in order:
            found_us, beside_us = _visit(runs[place], repeats[place], reference, clock)
            samples_us[place] += found_us
            reference_us[place] += [beside_us] * len(found_us)
        elapsed_ns = clock() - started
        if _is_enough(samples_us, protocol) or elapsed_ns >= protocol.budget_s * 1e9 * len(runs):
            break
    core_share = (cpu_clock() - cpu_started) / max(elapsed_ns, 1)
    return [judged(own, beside, core_share, protocol) for own, beside in zip(samples_us, reference_us, strict=True)]


def _repeats(run: Callable[[], object], clock: Callable[[], int]) -> int:
    before = clock()
    run()
    return min(_MOST_A_VISIT, max(1, _VISIT_NS // max(clock() - before, 1)))


def _visit(
    run: Callable[[], object], repeats: int, reference: Callable[[], object], clock: Callable[[], int]
) -> tuple[list[float], float]:
    """Samples and the reference before them, microseconds."""
    before = clock()
    reference()
    beside_us = (clock() - before) / 1e3
    if repeats > 1:
        run()
    found_us = []
    for _ in range(repeats):
        before = clock()
        run()
        found_us.append((clock() - before) / 1e3)
    return found_us, beside_us


def _is_enough(samples_us: Sequence[Sequence[float]], protocol: MeasurementProtocol) -> bool:
    fewest = min(map(len, samples_us))
    if fewest >= protocol.max_samples:
        return True
    return fewest >= protocol.min_samples and all(iqr_ratio(own) < protocol.stable_iqr_ratio for own in samples_us)
