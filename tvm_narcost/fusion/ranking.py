"""The plans of a graph in the order of their predicted latency, and the one that is chosen over TVM's own.

Differences between plans are small, and the best of some hundred predictions is one that errs to its favour. So a plan
is chosen only when it is predicted to be better by more than a margin, when the members of the model agree on that,
and when it has no kernel unlike those in training that the default has not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.legality import FusionSpace
from tvm_narcost.fusion.oracle import PlanOracle
from tvm_narcost.fusion.patterns import Pattern
from tvm_narcost.fusion.search import SearchSettings, search_plans
from tvm_narcost.predictor import LatencyModel, Prediction
from tvm_narcost.tokens.encoded import EncodedPlan, PlanEncoder

__all__ = ["Baselines", "ChoiceRule", "MemberModel", "RankedPlan", "rank"]

_FINALISTS = 16  # plans on which the members are asked one by one


@dataclass(frozen=True, slots=True)
class ChoiceRule:
    """When a plan is chosen over the default.

    Attributes:
        margin: least predicted gain, as a share of the chosen plan's latency.
        doubt: how many standard deviations of the members' gains are taken off the gain before.
    """

    margin: float = 0.02
    doubt: float = 1.0


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
        baselines: what is shown beside it.
        settings: how many plans to look at.
        rule: when to choose another plan than TVM's.

    Returns:
        The fastest first. One is the default, one is chosen; they may be the same.

    Raises:
        PlanError: not one pattern a node.
    """
    space = FusionSpace(graph, patterns, inseparable)
    encoder = PlanEncoder(graph, profile)
    oracle = PlanOracle(graph, model, profile, encoder)
    plans = search_plans(space, oracle, settings)
    predictions = oracle.predict(plans)
    default = 0  # search_plans begins with it
    order = sorted(range(len(plans)), key=lambda place: (predictions[place].latency_ms, place != default, place))
    finalists = [place for place in order if _is_eligible(plans, predictions, place, default)][:_FINALISTS]
    chosen = _choose(plans, predictions, finalists, default, encoder, model, rule or ChoiceRule())
    shown = baselines or Baselines()
    kernel_sums, flops = _baselines(graph, plans, profile, encoder, shown)
    return tuple(
        RankedPlan(
            plan=plans[place],
            predicted_ms=predictions[place].latency_ms,
            kernels_ms=predictions[place].kernels_ms,
            kernel_sum_ms=kernel_sums[place],
            flops_ms=flops,
            default=place == default,
            chosen=place == chosen,
        )
        for place in order
    )


def _is_eligible(plans: Sequence[FusionPlan], predictions: Sequence[Prediction], place: int, default: int) -> bool:
    """Whether a plan is faster than the default, and has no kernel that the model knows nothing of."""
    known = set(plans[default].kernels)
    far = predictions[place].kernels_out_of_distribution
    is_far = any(strange and members not in known for members, strange in zip(plans[place].kernels, far, strict=False))
    return predictions[place].latency_ms < predictions[default].latency_ms and not is_far


def _choose(
    plans: Sequence[FusionPlan],
    predictions: Sequence[Prediction],
    finalists: Sequence[int],
    default: int,
    encoder: PlanEncoder,
    model: LatencyModel,
    rule: ChoiceRule,
) -> int:
    """The finalist of the largest gain that can be counted on, if that is more than the margin; else the default."""
    if not finalists:
        return default
    compared = [default, *finalists]
    if isinstance(model, MemberModel):
        latency_ms = model.member_latency_ms([encoder.encode(plans[place]) for place in compared])
    else:
        latency_ms = np.array([[predictions[place].latency_ms for place in compared]])
    gains = np.log(latency_ms[:, :1] / latency_ms[:, 1:])  # [members, finalists]
    spread = gains.std(axis=0, ddof=1) if len(gains) > 1 else np.zeros(len(finalists))
    sure = gains.mean(axis=0) - rule.doubt * spread
    best = int(np.argmax(sure))
    return finalists[best] if sure[best] > log1p(rule.margin) else default


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
