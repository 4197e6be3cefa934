"""Who ranks fusion plans in bench/fusion.py, fitted to the same measurements, and by what rule each chooses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.fusion.choice import RELATIVE_RULE, ChoiceRule, choose
from tvm_narcost.models.plan_times import PlanTimes
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.training.ensemble import train_ensemble
from tvm_narcost.training.evaluate import fit_kernel_sum_to, kernel_sum_us
from tvm_narcost.training.examples import Example
from tvm_narcost.training.loop import settings_for
from tvm_narcost.training.plan_costs import fit_plan_costs
from tvm_narcost.training.trunk import train_trunk

__all__ = [
    "DEFAULT_PLANNER", "PREDICTORS", "PROFILE", "Choose", "Order", "Predict", "Rules", "Training", "by_all",
    "by_the_first", "fastest", "surely_faster",
]  # fmt: skip

DEFAULT_PLANNER = "tvm"
PROFILE = "epyc-zen5.tvm"


@dataclass(frozen=True, eq=False)
class Training:
    """What predictors learn from.

    Attributes:
        examples: plans that were measured on the profile that is judged.
        beside: those of other profiles, from which the ensemble learns too.
    """

    examples: Sequence[Example]
    beside: Mapping[HardwareProfile, Sequence[Example]] = field(default_factory=dict)


Predict = Callable[[Training, Sequence[Example], int], NDArray[np.float64]]
"""Fits to the first, predicts microseconds of the second, with a seed; [members, plans]."""

Choose = Callable[[NDArray[np.float64]], int]
"""The plan that is chosen by [members, plans]; the first is TVM's default."""

Order = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Microseconds of each plan by [members, plans]."""


@dataclass(frozen=True)
class Rules:
    """How plans are put in order, and how one is chosen: of one way to write a network, and among the ways."""

    order: Order
    among_plans: Choose
    among_variants: Choose

    def in_two_steps(self, plans: int) -> Choose:
        """A plan among the first so many, which are of one way; then that or one of the other ways."""

        def choose_by(predicted_us: NDArray[np.float64]) -> int:
            first = self.among_plans(predicted_us[:, :plans])
            places: list[int] = [first, *range(plans, predicted_us.shape[1])]
            return places[self.among_variants(predicted_us[:, places])]

        return choose_by


def _once(predict: Predict) -> Predict:
    """The same, which another predictor asks as well: it is fitted once for each training set and seed."""
    known: dict[tuple[int, int, int], NDArray[np.float64]] = {}

    def remembered(train: Training, test: Sequence[Example], seed: int) -> NDArray[np.float64]:
        key = id(train), id(test), seed
        if key not in known:
            known[key] = predict(train, test, seed)
        return known[key]

    return remembered


@_once
def _narformer(train: Training, test: Sequence[Example], seed: int) -> NDArray[np.float64]:
    """The ensemble, asked about each plan."""
    settings = settings_for(train.examples)
    if train.beside:
        profile = load_profile(PROFILE)
        ensemble = train_trunk({profile: train.examples, **train.beside}, settings, (seed,)).of(profile)
    else:
        ensemble = train_ensemble(train.examples, settings, (seed,))
    logs = ensemble.member_logs([example.tokens for example in test])
    return np.stack([np.exp(own) @ example.yardstick_us for example, own in zip(test, logs, strict=True)], axis=1)


@_once
def _kernel_sum(train: Training, test: Sequence[Example], seed: int) -> NDArray[np.float64]:
    fitted = fit_kernel_sum_to(train.examples, seed)
    return np.array([[times_us.sum() for times_us in kernel_sum_us(fitted, test)]])


def _narcost(train: Training, test: Sequence[Example], seed: int) -> NDArray[np.float64]:
    """As ``narcost rank`` does: the ensemble for the default plan, PlanCosts for how others differ from it.

    Five members: what the ensemble says with what fusing gains, the same with what work costs alone; and for other ways
    to write a network what NAR-Former, trees and kernel-sum say by themselves, each with what fusing gains.
    """
    profile = load_profile(PROFILE)
    asked = _narformer(train, test, seed)
    mean_us = np.exp(np.log(asked).mean(axis=0))
    members_us = np.stack([mean_us, mean_us, *asked, *_kernel_sum(train, test, seed)])
    costs = fit_plan_costs(train.examples, profile, seed=seed)
    times: dict[int, PlanTimes] = {}
    compared_us = np.zeros((2, len(test)))  # by what fusing gains, and by costs alone
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
    found: NDArray[np.float64] = members_us.copy()
    for place, example in enumerate(test):
        reference = references.get((example.name, example.plan.graph.structural_hash()))
        if reference is not None:
            by_gains, by_costs = compared_us[:, place] / compared_us[:, reference]
            found[:, place] = members_us[:, reference] * np.array([by_gains, by_costs, by_gains, by_gains, by_gains])
    return found


def _flops_bytes(train: Training, test: Sequence[Example], seed: int) -> NDArray[np.float64]:
    """A line in logarithms over FLOPs, which no plan changes, and bytes that cross the borders of kernels."""
    logs = np.log([example.latency_us for example in train.examples])
    line = np.linalg.lstsq(_counts(train.examples), logs, rcond=None)[0]
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


def _tvm_default(train: Training, test: Sequence[Example], seed: int) -> NDArray[np.float64]:
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
    return choose(predicted_us[:2], 0, RELATIVE_RULE)


def fastest_relatively(predicted_us: NDArray[np.float64]) -> int:
    """The fastest by those two."""
    return fastest(predicted_us[:2])


def surely_faster(predicted_us: NDArray[np.float64]) -> int:
    """As it chooses by members that were each asked about every plan, where it has nothing else."""
    return choose(predicted_us, 0, ChoiceRule())


def surely_faster_variant(predicted_us: NDArray[np.float64]) -> int:
    """As it chooses among ways to write a network: by NAR-Former, trees and kernel-sum."""
    return surely_faster(predicted_us[2:])


def fastest_variant(predicted_us: NDArray[np.float64]) -> int:
    """The fastest by those three."""
    return fastest(predicted_us[2:])


_FASTEST = Rules(by_all, fastest, fastest)


PREDICTORS: dict[str, tuple[Predict, Mapping[str, Rules]]] = {
    "narcost": (_narcost, {
        "narcost": Rules(by_the_first, relatively_faster, surely_faster_variant),
        "narcost_fastest": Rules(by_the_first, fastest_relatively, fastest_variant),
    }),
    "narformer": (_narformer, {
        "narformer": Rules(by_all, surely_faster, surely_faster),
        "narformer_fastest": _FASTEST,
    }),
    "kernel_sum": (_kernel_sum, {"kernel_sum": _FASTEST}),
    "flops_bytes": (_flops_bytes, {"flops_bytes": _FASTEST}),
    "tvm_default": (_tvm_default, {"tvm_default": _FASTEST}),
}  # fmt: skip
"""What is fitted, and by what rules plans are put in order and one is chosen by it."""
