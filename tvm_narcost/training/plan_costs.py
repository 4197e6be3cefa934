"""Fits PlanCosts: to the latencies of plans, and above all to how plans of one network differ."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.kernel_sum import fit_trees
from tvm_narcost.models.plan_costs import PlanCosts
from tvm_narcost.models.plan_times import PlanTimes
from tvm_narcost.models.trees import BoostedTrees
from tvm_narcost.tokens.fused import PRIOR
from tvm_narcost.tokens.work import WORK, work_of_plans
from tvm_narcost.training.examples import Example
from tvm_narcost.training.loop import have_several_plans

__all__ = ["fit_plan_costs", "plan_costs_of"]

_DIFFERENCES = 3.0  # what an error of a difference counts, against an error of a latency; both as shares
_LARGEST = 1.0  # a plan that is slower than twice the other one counts as if it were that

_SMALLEST_RATIO, _LARGEST_RATIO = -2.0, 1.5  # in logarithms: what is measured beyond counts as if it were that
_LEAST_WEIGHT = 1e-3  # of a kernel that takes no time to speak of, as a share of the network's


def plan_costs_of(examples: Sequence[Example], profile: HardwareProfile) -> PlanCosts | None:
    """:func:`fit_plan_costs` of a profile's networks; None where they were measured under one plan each."""
    return fit_plan_costs(examples, profile) if have_several_plans(examples) else None


def fit_plan_costs(examples: Sequence[Example], profile: HardwareProfile, *, seed: int = 0) -> PlanCosts:
    """Least squares of relative errors, with no cost below zero, then trees for what fused kernels take beyond.

    Args:
        examples: networks under several plans each; those over one graph are compared with TVM's own, or with the
            first where that was not measured. Fused kernels are compared with their operators in the plan ``none``.
        profile: where they were measured.
        seed: of the trees' row and column sampling.

    Raises:
        TrainingError: no network was measured under several plans.
    """
    groups = _groups(examples)
    costs = _fit_costs(examples, groups, profile)
    return replace(costs, gains=_fit_gains(groups, profile, costs, seed))


def _fit_costs(examples: Sequence[Example], groups: Sequence[Sequence[Example]], profile: HardwareProfile) -> PlanCosts:
    from scipy.optimize import nnls

    work = work_of_plans([example.plan for example in examples], profile)
    latency_us = np.array([example.latency_us for example in examples])
    pairs = _pairs(examples, groups)
    if not pairs:
        raise TrainingError(
            "plan costs: no network was measured under several plans; run `narcost profile --plans 12` first"
        )
    plan, reference = np.array(pairs).T
    scale = latency_us[reference]
    differences = (work[plan] - work[reference]) / scale[:, None]
    measured = np.clip((latency_us[plan] - latency_us[reference]) / scale, -1, _LARGEST)
    rows = np.concatenate([work / latency_us[:, None], _DIFFERENCES * differences])
    targets = np.concatenate([np.ones(len(examples)), _DIFFERENCES * measured])
    sizes = np.maximum(np.abs(rows).max(axis=0), 1e-30)  # FLOPs and calls differ by nine orders of magnitude
    costs, _ = nnls(rows / sizes, targets, maxiter=100 * len(WORK))
    return PlanCosts({name: float(cost) for name, cost in zip(WORK, costs / sizes, strict=True) if cost > 0})


def _fit_gains(
    groups: Sequence[Sequence[Example]], profile: HardwareProfile, costs: PlanCosts, seed: int
) -> BoostedTrees | None:
    kernels = [kernel for group in groups for kernel in _fused_kernels(group, profile, costs)]
    if not kernels:
        return None
    rows = np.stack([row for row, _, _ in kernels])
    measured = np.clip([ratio for _, ratio, _ in kernels], _SMALLEST_RATIO, _LARGEST_RATIO)
    weight = np.sqrt([share + _LEAST_WEIGHT for _, _, share in kernels])
    return fit_trees(rows.astype(np.float32), measured - rows[:, PRIOR], weight, seed)


def _fused_kernels(
    group: Sequence[Example], profile: HardwareProfile, costs: PlanCosts
) -> Iterator[tuple[NDArray[np.float64], float, float]]:
    """(row of FUSED, log of the measured ratio, share of the network's time) of each fused kernel of one graph."""
    none = next((example for example in group if example.plan.planner == "none"), None)
    if none is None:
        return
    apart_us = {
        members[0]: float(time_us)
        for members, time_us in zip(none.plan.kernels, none.kernels_us, strict=True)
        if len(members) == 1
    }
    times = PlanTimes(none.plan.graph, profile, costs)
    rows: dict[tuple[int, ...], NDArray[np.float64]] = {}
    ratios: dict[tuple[int, ...], list[float]] = {}
    for example in group:
        if example is none:
            continue
        for members, row in times.fused_rows(example.plan).items():
            rows.setdefault(members, row)
        for members, time_us in zip(example.plan.kernels, example.kernels_us, strict=True):
            if len(members) > 1 and all(index in apart_us for index in members):
                ratios.setdefault(members, []).append(float(time_us) / _total(apart_us, members))
    for members, found in ratios.items():
        share = _total(apart_us, members) / none.latency_us
        yield rows[members], float(np.log(np.median(found))), share


def _total(apart_us: dict[int, float], members: tuple[int, ...]) -> float:
    return max(sum(apart_us[index] for index in members), 1e-3)


def _groups(examples: Sequence[Example]) -> list[list[Example]]:
    """Examples of one network over one graph."""
    groups: dict[tuple[str, str], list[Example]] = {}
    for example in examples:
        key = example.graph.structural_hash(), example.plan.graph.structural_hash()
        groups.setdefault(key, []).append(example)
    return list(groups.values())


def _pairs(examples: Sequence[Example], groups: Sequence[Sequence[Example]]) -> list[tuple[int, int]]:
    """(place of a plan, place of the one it is compared with): of one network, over one graph."""
    places = {id(example): place for place, example in enumerate(examples)}
    pairs = []
    for group in groups:
        reference = next((example for example in group if example.plan.planner == "tvm"), group[0])
        pairs += [(places[id(example)], places[id(reference)]) for example in group if example is not reference]
    return pairs
