"""Plans that were measured in several passes: what to judge them by, and how far the passes agree.

A pass is a process of its own, in which the plans of a network are timed in turn. Where memory happens to lie, one pass
may take a quarter longer than another for all of them, so that plans are compared within passes.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import geometric_mean, median

import numpy as np

from tvm_narcost.database import LatencyRecord
from tvm_narcost.training.examples import measured_latency_us

__all__ = ["Passes", "judged_us", "last_two", "noise_floor", "passes_of"]

Passes = Mapping[str, float]
"""When a pass measured the network -> what a plan took in it, microseconds; oldest first."""


def passes_of(record: LatencyRecord) -> dict[str, float]:
    """What a plan took in each pass; TVM's own is timed twice in each, as if it were two plans."""
    found: dict[str, list[float]] = {}
    for measurement in (*record.earlier, record.measurement):
        found.setdefault(measurement.measured_at, []).append(measured_latency_us(measurement))
    return {when: median(own) for when, own in found.items()}


def judged_us(plan: Passes, default: Passes) -> float | None:
    """What a plan is judged by, microseconds; None where no pass has both plans.

    The default's median over passes, times how the plan compares with it in the passes that have both, the geometric
    mean.
    """
    ratios = [plan[when] / default[when] for when in plan if when in default]
    return median(default.values()) * geometric_mean(ratios) if ratios else None


def last_two(plans: Sequence[Passes]) -> tuple[list[float], list[float]] | None:
    """What the plans took in the pass before the last and in the last, the first plan always among them.

    Plans that one of the two passes has not are left out; None where fewer than two plans are left.
    """
    whens = sorted(plans[0])[-2:]
    both = [own for own in plans if all(when in own for when in whens)]
    if len(whens) < 2 or len(both) < 2:
        return None
    earlier, later = whens
    return [own[earlier] for own in both], [own[later] for own in both]


def noise_floor(plans: Sequence[Passes]) -> dict[str, float]:
    """How far measurements of the same plan in two passes differ, as fractions."""
    differences = [abs(later / earlier - 1) for own in plans for earlier, later in pairwise(own.values())]
    if not differences:
        return {}
    return {
        "pairs": len(differences),
        "median": float(np.median(differences)),
        "p90": float(np.quantile(differences, 0.9)),
    }
