"""Which plan is chosen over TVM's own: one that is surely faster, and of its changes only those that surely help.

Differences between plans are small, and the best of some hundred predictions is one that errs to its favour. Members of
an ensemble err alike for two plans of one network, so that what counts is the gain that each of them sees.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log1p

import numpy as np
from numpy.typing import NDArray

from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.legality import FusionSpace, Kernels
from tvm_narcost.fusion.regions import Region, changed_regions

__all__ = ["RELATIVE_RULE", "ChoiceRule", "assemble", "choose", "sure_gains"]

_MOST_KINDS = 48  # of changes that are judged one by one


@dataclass(frozen=True, slots=True)
class ChoiceRule:
    """When a plan is chosen over the default.

    Attributes:
        margin: least gain, as a share of the chosen plan's latency.
        doubt: how many standard deviations of the members' gains are taken off the gain before.
    """

    margin: float = 0.02
    doubt: float = 1.0


RELATIVE_RULE = ChoiceRule(margin=0.04, doubt=0.0)
"""Where plans are compared by PlanCosts: what fusing gains and costs alone are two members, whose mean counts."""


def sure_gains(latency_ms: NDArray[np.float64], default: int, rule: ChoiceRule) -> NDArray[np.float64]:
    """What is gained over the default, in logarithms: the members' mean less their doubt, [plans].

    Args:
        latency_ms: by each member, [members, plans]; of one member there is no doubt.
        default: place of the default among the plans.
        rule: how much doubt counts.
    """
    gains = np.log(latency_ms[:, default : default + 1] / latency_ms)
    spread = gains.std(axis=0, ddof=1) if len(gains) > 1 else np.zeros(gains.shape[1])
    found: NDArray[np.float64] = gains.mean(axis=0) - rule.doubt * spread
    return found


def choose(latency_ms: NDArray[np.float64], default: int, rule: ChoiceRule) -> int:
    """The plan of the largest sure gain if that is more than the margin, else the default; see :func:`sure_gains`."""
    sure = sure_gains(latency_ms, default, rule)
    best = int(np.argmax(sure))
    return best if sure[best] > log1p(rule.margin) else default


def assemble(
    space: FusionSpace,
    default: FusionPlan,
    plan: FusionPlan,
    gains_of: Callable[[Sequence[FusionPlan]], Sequence[float]],
) -> FusionPlan | None:
    """The default with those changes of a plan that are sure to help, each judged by itself; None where none is.

    Changes of equal operators are one change, wherever they are: a network repeats its blocks.

    Args:
        space: of both plans.
        default: TVM's.
        plan: another.
        gains_of: sure gains of plans over the default; minus infinity for one that is not to be chosen.
    """
    kinds: dict[object, list[Region]] = {}
    for region in changed_regions(default.kernels, plan.kernels):
        kinds.setdefault(_kind(space, region), []).append(region)
    trials = [(regions, _with_regions(space, default, regions)) for regions in list(kinds.values())[:_MOST_KINDS]]
    possible = [(regions, trial) for regions, trial in trials if trial is not None]
    gains = gains_of([trial for _, trial in possible])
    kept = [region for (regions, _), gain in zip(possible, gains, strict=True) if gain > 0 for region in regions]
    return _with_regions(space, default, kept) if kept else None


def _kind(space: FusionSpace, region: Region) -> object:
    return tuple(
        tuple(tuple(space.graph.nodes[index].op for index in members) for members in kernels)
        for kernels in (region.before, region.after)
    )


def _with_regions(space: FusionSpace, default: FusionPlan, regions: Sequence[Region]) -> FusionPlan | None:
    """The default with some regions as the other plan has them; None where kernels would read from each other."""
    gone = {members for region in regions for members in region.before}
    kernels = [members for members in default.kernels if members not in gone]
    ordered: Kernels | None = space.ordered([*kernels, *(members for region in regions for members in region.after)])
    return None if ordered is None else FusionPlan(space.graph, ordered, "search")
