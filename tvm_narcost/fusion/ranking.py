"""The plans of a graph in the order of their predicted latency, and the one that is chosen over TVM's own.

A plan is chosen only when it is predicted to be better by more than a margin, and when it has no kernel unlike those in
training that the default has not. The two ways to compare plans, by what work costs and by what fusing gains, are heard
together; where none of that is known, the members of the model are asked about every plan: see choice.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.choice import RELATIVE_RULE, ChoiceRule, assemble, choose, sure_gains
from tvm_narcost.fusion.default_plan import default_plan
from tvm_narcost.fusion.legality import FusionSpace
from tvm_narcost.fusion.oracle import PlanOracle, RelativeOracle
from tvm_narcost.fusion.patterns import Pattern
from tvm_narcost.fusion.search import SearchSettings, search_plans
from tvm_narcost.models.plan_costs import PlanCosts
from tvm_narcost.predictor import LatencyModel
from tvm_narcost.tokens.encoded import EncodedPlan, PlanEncoder, encode_plan

if TYPE_CHECKING:
    from tvm_narcost.models.plan_models import PlanModels

__all__ = ["Baselines", "MemberModel", "RankedPlan", "choose_variant", "rank", "rank_by_artifact"]

_FINALISTS = 16  # plans on which the members are asked one by one
_ASSEMBLED = 2  # plans whose changes are judged one by one


@dataclass(frozen=True)
class Baselines:
    """Simpler models that are shown beside the one that ranks; None for what there is none of."""

    kernel_sum: LatencyModel | None = None
    flops: LatencyModel | None = None


@dataclass(frozen=True, slots=True)
class RankedPlan:
    """A candidate, predicted.

    Attributes:
        plan: its kernels, and who made it.
        predicted_ms: by the model that ranks.
        kernels_ms: share of each kernel, in the plan's order.
        kernel_sum_ms: by kernel-sum, which sees each kernel alone; None where there is no such model.
        flops_ms: by FLOPs, which sees no plan; None where there is no such model.
        default: whether TVM would make it.
        chosen: whether narcost would compile it.
    """

    plan: FusionPlan
    predicted_ms: float
    kernels_ms: tuple[float, ...]
    kernel_sum_ms: float | None
    flops_ms: float | None
    default: bool
    chosen: bool

    @property
    def kernels(self) -> int:
        """How many kernels there are."""
        return len(self.plan.kernels)


@runtime_checkable
class MemberModel(Protocol):
    """A model of several members that can be asked one by one."""

    def member_latency_ms(self, encoded: Sequence[EncodedPlan]) -> NDArray[np.float64]:
        """What each member predicts, [members, plans]."""
        ...


def rank(
    graph: OpGraph,
    patterns: Sequence[Pattern],
    model: LatencyModel,
    profile: HardwareProfile,
    *,
    inseparable: Sequence[tuple[int, ...]] = (),
    costs: PlanCosts | None = None,
    baselines: Baselines | None = None,
    settings: SearchSettings | None = None,
    rule: ChoiceRule | None = None,
) -> tuple[RankedPlan, ...]:
    """Search the plans of a graph and rank them; nothing is compiled.

    Args:
        graph: what is planned, as ``PreparedModule.graph``.
        patterns: one a node.
        model: what ranks; one of ``profile``'s.
        profile: where the network would run.
        inseparable: nodes that one call computes together.
        costs: what work costs, of ``profile``: plans are compared by it, and the model says what the default takes.
            None: the model is asked about every plan.
        baselines: what is shown beside it.
        settings: how many plans to look at.
        rule: when to choose another plan than TVM's; by default as suits what plans are compared by.

    Returns:
        The fastest first. One is the default, one is chosen; they may be the same.

    Raises:
        PlanError: not one pattern a node.
    """
    space = FusionSpace(graph, patterns, inseparable)
    encoder = PlanEncoder(graph, profile)
    default = default_plan(space)
    asked = PlanOracle(graph, model, profile, encoder)
    oracle = asked if costs is None else RelativeOracle(graph, model, profile, encoder, costs, default)
    plans = search_plans(space, oracle, settings)
    members = None if costs is not None or not isinstance(model, MemberModel) else model
    rule = rule or (ChoiceRule() if costs is None else RELATIVE_RULE)
    chooser = _Chooser(space, default, oracle, asked, members, encoder, rule)
    chosen = chooser.choose(plans)
    plans = list({plan.kernels: plan for plan in (*plans, chosen)}.values())
    predictions = oracle.predict(plans)
    order = sorted(range(len(plans)), key=lambda place: (predictions[place].latency_ms, place))
    shown = baselines or Baselines()
    kernel_sums, flops = _baselines(graph, plans, profile, encoder, shown)
    return tuple(
        RankedPlan(
            plan=plans[place],
            predicted_ms=predictions[place].latency_ms,
            kernels_ms=predictions[place].kernels_ms,
            kernel_sum_ms=kernel_sums[place],
            flops_ms=flops,
            default=plans[place].kernels == default.kernels,
            chosen=plans[place].kernels == chosen.kernels,
        )
        for place in order
    )


def rank_by_artifact(
    space: FusionSpace, models: "PlanModels", profile: HardwareProfile, settings: SearchSettings | None = None
) -> tuple[RankedPlan, ...]:
    """:func:`rank` with all models of a profile's artifact: what ranks, what work costs, and what is shown beside."""
    return rank(
        space.graph,
        space.patterns,
        models.narformer,
        profile,
        inseparable=space.inseparable,
        costs=models.costs,
        baselines=Baselines(models.kernel_sum, models.flops),
        settings=settings,
    )


def choose_variant(
    variants: Sequence[Sequence[RankedPlan]],
    model: LatencyModel,
    profile: HardwareProfile,
    *,
    rule: ChoiceRule | None = None,
) -> int:
    """The place of the variant whose chosen plan is surely faster than the first one's, else of the first.

    The model's members and kernel-sum each say what a variant takes under TVM's plan, and what the chosen plan gains
    over that is as it was ranked by.

    Args:
        variants: the plans of each way to write one network, as :func:`rank` gives them.
        model: that ranked them; one of ``profile``'s.
        profile: where the network would run.
        rule: when to choose another variant than the first.
    """
    if len(variants) == 1:
        return 0  # nothing to ask the model about
    defaults = [next(plan for plan in plans if plan.default) for plans in variants]
    chosen = [next(plan for plan in plans if plan.chosen) for plans in variants]
    defaults_ms = _by_member_ms(model, [plan.plan for plan in defaults], profile)
    kernel_sums_ms = [plan.kernel_sum_ms for plan in defaults if plan.kernel_sum_ms is not None]
    if len(kernel_sums_ms) == len(defaults):
        defaults_ms = np.concatenate([defaults_ms, [kernel_sums_ms]])
    kept = np.array([own.predicted_ms / plan.predicted_ms for own, plan in zip(chosen, defaults, strict=True)])
    return choose(defaults_ms * kept, 0, rule or ChoiceRule())


def _by_member_ms(model: LatencyModel, plans: Sequence[FusionPlan], profile: HardwareProfile) -> NDArray[np.float64]:
    """What each member of a model says of plans over any graphs, [members, plans]; of others what the model says."""
    if isinstance(model, MemberModel):
        return model.member_latency_ms([encode_plan(plan, profile) for plan in plans])
    predictions = model.predict([plan.graph for plan in plans], plans, profile)
    return np.array([[prediction.latency_ms for prediction in predictions]])


class _Chooser:
    """Chooses among plans; members of a model are asked one by one about those that are predicted to be fast."""

    def __init__(
        self,
        space: FusionSpace,
        default: FusionPlan,
        oracle: PlanOracle,
        asked: PlanOracle,
        members: MemberModel | None,
        encoder: PlanEncoder,
        rule: ChoiceRule,
    ) -> None:
        """``oracle`` says what plans take; ``asked``, the model itself, which of their kernels it knows nothing of."""
        self._space = space
        self._default = default
        self._oracle = oracle
        self._asked = asked
        self._members = members
        self._encoder = encoder
        self._rule = rule

    def choose(self, plans: Sequence[FusionPlan]) -> FusionPlan:
        """One of the plans, or one put together of what they do otherwise than the default."""
        times_ms = [prediction.latency_ms for prediction in self._oracle.predict(plans)]
        (default_ms,) = (prediction.latency_ms for prediction in self._oracle.predict([self._default]))
        order = sorted(range(len(plans)), key=lambda place: (times_ms[place], place))
        faster = [plans[place] for place in order if times_ms[place] < default_ms]
        finalists = self._finalists(faster)
        for plan in faster[:_ASSEMBLED]:
            assembled = assemble(self._space, self._default, plan, self._gains)
            finalists += self._eligible([assembled]) if assembled is not None else []
        compared = [self._default, *finalists]
        return compared[choose(self._members_ms(compared), 0, self._rule)]

    def _gains(self, plans: Sequence[FusionPlan]) -> list[float]:
        """Sure gains over the default; minus infinity for plans with kernels unlike those in training."""
        sure = sure_gains(self._members_ms([self._default, *plans]), 0, self._rule)[1:]
        return np.where(self._are_far(plans), -np.inf, sure).tolist() if plans else []

    def _finalists(self, faster: Sequence[FusionPlan]) -> list[FusionPlan]:
        """The first of the plans that are eligible; no more are asked about than it takes to find them."""
        found: list[FusionPlan] = []
        for start in range(0, len(faster), _FINALISTS):
            found += self._eligible(faster[start : start + _FINALISTS])
            if len(found) >= _FINALISTS:
                break
        return found[:_FINALISTS]

    def _eligible(self, plans: Sequence[FusionPlan]) -> list[FusionPlan]:
        return [plan for plan, is_far in zip(plans, self._are_far(plans), strict=True) if not is_far]

    def _are_far(self, plans: Sequence[FusionPlan]) -> list[bool]:
        """Whether plans have kernels of which the model knows nothing, and which the default has not."""
        known = set(self._default.kernels)
        return [
            any(is_far and members not in known for members, is_far in zip(plan.kernels, found, strict=False))
            for plan, found in (
                (plan, prediction.kernels_out_of_distribution)
                for plan, prediction in zip(plans, self._asked.predict(plans), strict=True)
            )
        ]

    def _members_ms(self, plans: Sequence[FusionPlan]) -> NDArray[np.float64]:
        """By each member of the model, [members, plans]."""
        if self._members is not None:
            return self._members.member_latency_ms([self._encoder.encode(plan) for plan in plans])
        if isinstance(self._oracle, RelativeOracle):
            return self._oracle.members_ms(plans)
        return np.array([[prediction.latency_ms for prediction in self._oracle.predict(plans)]])


def _baselines(
    graph: OpGraph, plans: Sequence[FusionPlan], profile: HardwareProfile, encoder: PlanEncoder, baselines: Baselines
) -> tuple[list[float | None], float | None]:
    """By kernel-sum for each plan, and by FLOPs for all of them."""
    kernel_sums: list[float | None] = [None] * len(plans)
    flops_ms = None
    if baselines.kernel_sum is not None:
        oracle = PlanOracle(graph, baselines.kernel_sum, profile, encoder)
        kernel_sums = [found.latency_ms for found in oracle.predict(plans)]
    if baselines.flops is not None:
        flops_ms = baselines.flops.predict([graph], [plans[0]], profile)[0].latency_ms
    return kernel_sums, flops_ms
