"""Who ranks fusion plans in bench/fusion.py, fitted to the same measurements, and by what rule each chooses."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import load_profile
from tvm_narcost.fusion.choice import RELATIVE_RULE, ChoiceRule, choose
from tvm_narcost.models.plan_times import PlanTimes
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.training.ensemble import train_ensemble
from tvm_narcost.training.evaluate import fit_kernel_sum_to, kernel_sum_us
from tvm_narcost.training.examples import Example
from tvm_narcost.training.loop import settings_for
from tvm_narcost.training.plan_costs import fit_plan_costs

__all__ = [
    "DEFAULT_PLANNER", "PREDICTORS", "PROFILE", "Choose", "Order", "Predict", "by_all", "by_the_first", "fastest",
    "relatively_faster", "surely_faster",
]  # fmt: skip

DEFAULT_PLANNER = "tvm"
PROFILE = "epyc-zen5.tvm"

Predict = Callable[[Sequence[Example], Sequence[Example], int], NDArray[np.float64]]
"""Fits to the first, predicts microseconds of the second, with a seed; [members, plans], of one member mostly."""

Choose = Callable[[NDArray[np.float64]], int]
"""The plan that is chosen by [members, plans]; the first is TVM's default."""

Order = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Microseconds of each plan by [members, plans]."""


_asked: dict[tuple[int, int, int], NDArray[np.float64]] = {}  # two predictors ask the same ensemble


def _narformer(train: Sequence[Example], test: Sequence[Example], seed: int) -> NDArray[np.float64]:
    """The ensemble, asked about each plan."""
    key = id(train), id(test), seed
    if key not in _asked:
        _asked[key] = _ask_ensemble(train, test, seed)
    return _asked[key]


def _ask_ensemble(train: Sequence[Example], test: Sequence[Example], seed: int) -> NDArray[np.float64]:
    ensemble = train_ensemble(train, settings_for(train), (seed,))
    logs = ensemble.member_logs([example.tokens for example in test])
    return np.stack([np.exp(own) @ example.yardstick_us for example, own in zip(test, logs, strict=True)], axis=1)


def _narcost(train: Sequence[Example], test: Sequence[Example], seed: int) -> NDArray[np.float64]:
    """As ``narcost rank`` does: the ensemble for the default plan, PlanCosts for how others differ from it.

    Two members: by what fusing gains, and by what work costs alone.
    """
    profile = load_profile(PROFILE)
    predicted: NDArray[np.float64] = np.exp(np.log(_narformer(train, test, seed)).mean(axis=0))
    costs = fit_plan_costs(train, profile, seed=seed)
    times: dict[int, PlanTimes] = {}
    compared_us = np.zeros((2, len(test)))
    for place, example in enumerate(test):
        graph = example.plan.graph
        if id(graph) not in times:
            times[id(graph)] = PlanTimes(graph, profile, costs)
        own = times[id(graph)]
        compared_us[:, place] = own.kernels_us(example.plan).sum(), own.by_cost_us(example.plan).sum()
    references = {
        (example.name, example.plan.graph.structural_hash()): place
        for place, example in enumerate(test)
        if example.plan.planner == DEFAULT_PLANNER
    }
    found: NDArray[np.float64] = np.stack([predicted, predicted])
    for place, example in enumerate(test):
        reference = references.get((example.name, example.plan.graph.structural_hash()))
        if reference is not None:
            found[:, place] = predicted[reference] * compared_us[:, place] / compared_us[:, reference]
    return found


def _kernel_sum(train: Sequence[Example], test: Sequence[Example], seed: int) -> NDArray[np.float64]:
    return np.array([[times_us.sum() for times_us in kernel_sum_us(fit_kernel_sum_to(train, seed), test)]])


def _flops_bytes(train: Sequence[Example], test: Sequence[Example], seed: int) -> NDArray[np.float64]:
    """A line in logarithms over FLOPs, which no plan changes, and bytes that cross the borders of kernels."""
    logs = np.log([example.latency_us for example in train])
    line = np.linalg.lstsq(_counts(train), logs, rcond=None)[0]
    predicted: NDArray[np.float64] = np.exp(_counts(test) @ line)[None]
    return predicted


def _counts(examples: Sequence[Example]) -> NDArray[np.float64]:
    facts = [kernel_facts(example.plan) for example in examples]
    moved = ("input_bytes", "parameter_bytes", "output_bytes")
    rows = [
        (1.0, np.log(max(found.column("flops").sum(), 1.0)), np.log(sum(found.column(name).sum() for name in moved)))
        for found in facts
    ]
    return np.array(rows)


def _tvm_default(train: Sequence[Example], test: Sequence[Example], seed: int) -> NDArray[np.float64]:
    """Prefers what TVM does anyway."""
    return np.array([[1.0 if example.plan.planner == DEFAULT_PLANNER else 2.0 for example in test]])


def by_all(predicted_us: NDArray[np.float64]) -> NDArray[np.float64]:
    """What all members say together of each plan: the mean of their logarithms."""
    mean_us: NDArray[np.float64] = np.exp(np.log(predicted_us).mean(axis=0))
    return mean_us


def by_the_first(predicted_us: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the first member says; others are heard when a plan is chosen."""
    first_us: NDArray[np.float64] = predicted_us[0]
    return first_us


def fastest(predicted_us: NDArray[np.float64]) -> int:
    """The plan that the members predict to be fastest in the mean of their logarithms."""
    return int(np.log(predicted_us).mean(axis=0).argmin())


def relatively_faster(predicted_us: NDArray[np.float64]) -> int:
    """As ``narcost rank`` chooses by what fusing gains and by costs alone."""
    return choose(predicted_us, 0, RELATIVE_RULE)


def surely_faster(predicted_us: NDArray[np.float64]) -> int:
    """As it chooses by the members of an ensemble, where it has nothing else."""
    return choose(predicted_us, 0, ChoiceRule())


PREDICTORS: dict[str, tuple[Predict, Mapping[str, tuple[Order, Choose]]]] = {
    "narcost": (_narcost, {"narcost": (by_the_first, relatively_faster), "narcost_fastest": (by_the_first, fastest)}),
    "narformer": (_narformer, {"narformer": (by_all, surely_faster), "narformer_fastest": (by_all, fastest)}),
    "kernel_sum": (_kernel_sum, {"kernel_sum": (by_all, fastest)}),
    "flops_bytes": (_flops_bytes, {"flops_bytes": (by_all, fastest)}),
    "tvm_default": (_tvm_default, {"tvm_default": (by_all, fastest)}),
}
"""What is fitted, and by what rules plans are put in order and one is chosen by it."""
