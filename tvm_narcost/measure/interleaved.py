"""Timing of several programs in turn, so that a drift of the machine meets all of them alike."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from hardware_profiles import MeasurementProtocol
from tvm_narcost.measure.protocol import FEWEST_TO_JUDGE, Samples, iqr_ratio, judged, warm_up

__all__ = ["take_interleaved"]

_VISIT_NS = 1_000_000  # a program that is shorter is run several times a visit ...
_MOST_A_VISIT = 5  # ... but no more often than this
_LEAST_CORE_SHARE = 0.8  # what others take meets all programs alike, and the median of many rounds little
_COLD_NS = 4_000_000  # a program that is shorter has a run first that is not counted


def take_interleaved(
    runs: Sequence[Callable[[], object]],
    reference: Callable[[], object],
    protocol: MeasurementProtocol,
    seed: int,
    clock: Callable[[], int] = time.perf_counter_ns,
    cpu_clock: Callable[[], int] = time.process_time_ns,
) -> list[Samples]:
    """Warm all of ``runs`` up, then time them in rounds, each round in a random order of its own.

    A visit to a short program begins with a run that is not counted: the program before it left other data and code
    in the caches. Rounds end when all have ``min_samples`` whose IQR/median is below ``stable_iqr_ratio``; a program
    takes no part in further ones once it has ``max_samples``, or three and has spent ``budget_s``. Verdicts are as in
    :func:`tvm_narcost.measure.protocol.take_samples`, but that others may take a fifth of the core.

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
    visits = [_Visit.to(run, reference, clock) for run in runs]
    samples_us: list[list[float]] = [[] for _ in runs]
    reference_us: list[list[float]] = [[] for _ in runs]
    spent_ns = [0] * len(runs)
    order, shuffled = list(range(len(runs))), random.Random(seed)
    cpu_started, started = cpu_clock(), clock()
    while order:
        shuffled.shuffle(order)
        for place in order:
            before = clock()
            found_us, beside_us = visits[place].take()
            spent_ns[place] += clock() - before
            samples_us[place] += found_us
            reference_us[place] += [beside_us] * len(found_us)
        if all(_agrees(own, protocol) for own in samples_us):
            break
        order = [place for place in order if not _is_done(len(samples_us[place]), spent_ns[place], protocol)]
    core_share = (cpu_clock() - cpu_started) / max(clock() - started, 1)
    return [
        judged(own, beside, core_share, protocol, _LEAST_CORE_SHARE)
        for own, beside in zip(samples_us, reference_us, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Visit:
    """How one program is timed each time that its turn comes."""

    run: Callable[[], object]
    reference: Callable[[], object]
    clock: Callable[[], int]
    is_warmed: bool
    repeats: int

    @classmethod
    def to(cls, run: Callable[[], object], reference: Callable[[], object], clock: Callable[[], int]) -> Self:
        before = clock()
        run()
        duration_ns = max(clock() - before, 1)
        repeats = min(_MOST_A_VISIT, max(1, _VISIT_NS // duration_ns))
        return cls(run, reference, clock, duration_ns < _COLD_NS, repeats)

    def take(self) -> tuple[list[float], float]:
        """Samples, and the reference before them, microseconds."""
        before = self.clock()
        self.reference()
        beside_us = (self.clock() - before) / 1e3
        if self.is_warmed:
            self.run()
        found_us = []
        for _ in range(self.repeats):
            before = self.clock()
            self.run()
            found_us.append((self.clock() - before) / 1e3)
        return found_us, beside_us


def _agrees(samples_us: Sequence[float], protocol: MeasurementProtocol) -> bool:
    return len(samples_us) >= protocol.min_samples and iqr_ratio(samples_us) < protocol.stable_iqr_ratio


def _is_done(samples: int, spent_ns: int, protocol: MeasurementProtocol) -> bool:
    is_spent = samples >= FEWEST_TO_JUDGE and spent_ns >= protocol.budget_s * 1e9
    return is_spent or samples >= protocol.max_samples
