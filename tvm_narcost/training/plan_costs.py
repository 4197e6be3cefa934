"""Fits PlanCosts: to the latencies of plans, and above all to how plans of one network differ."""

from collections.abc import Sequence

import numpy as np

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.plan_costs import PlanCosts
from tvm_narcost.tokens.work import WORK, work_of_plans
from tvm_narcost.training.examples import Example

__all__ = ["fit_plan_costs"]

_DIFFERENCES = 3.0  # what an error of a difference counts, against an error of a latency; both as shares
_LARGEST = 1.0  # a plan that is slower than twice the other one counts as if it were that


def fit_plan_costs(examples: Sequence[Example], profile: HardwareProfile) -> PlanCosts:
    """Least squares of relative errors, with no cost below zero.

    Args:
        examples: networks under several plans each; those over one graph are compared with TVM's own, or with the
            first where that was not measured.
        profile: where they were measured.

    Raises:
        TrainingError: no network was measured under several plans.
    """
    from scipy.optimize import nnls

    work = work_of_plans([example.plan for example in examples], profile)
    latency_us = np.array([example.latency_us for example in examples])
    pairs = _pairs(examples)
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


def _pairs(examples: Sequence[Example]) -> list[tuple[int, int]]:
    """(place of a plan, place of the one it is compared with): of one network, over one graph."""
    groups: dict[tuple[str, str], list[int]] = {}
    for place, example in enumerate(examples):
        key = example.graph.structural_hash(), example.plan.graph.structural_hash()
        groups.setdefault(key, []).append(place)
    pairs = []
    for places in groups.values():
        reference = next((place for place in places if examples[place].plan.planner == "tvm"), places[0])
        pairs += [(place, reference) for place in places if place != reference]
    return pairs
