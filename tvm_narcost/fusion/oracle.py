"""What a cost model says of many plans of one graph: asked in batches, and of each plan once."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.legality import Kernels
from tvm_narcost.models.plan_costs import PlanCosts
from tvm_narcost.predictor import LatencyModel, Prediction
from tvm_narcost.tokens.encoded import EncodedPlan, PlanEncoder
from tvm_narcost.tokens.work import PlanWork

__all__ = ["EncodedModel", "PlanOracle", "RelativeOracle", "relative_latency"]


@runtime_checkable
class EncodedModel(Protocol):
    """A LatencyModel that takes plans which are encoded already, as NAR-Former and kernel-sum do."""

    def predict_encoded(self, encoded: Sequence[EncodedPlan]) -> list[Prediction]:
        """Predict each."""
        ...


class PlanOracle:
    """Predictions of one model for plans of one graph on one profile."""

    def __init__(self, graph: OpGraph, model: LatencyModel, profile: HardwareProfile, encoder: PlanEncoder) -> None:
        """Nothing is predicted yet. ``encoder`` is of the same graph and profile; several oracles may share it."""
        self._graph = graph
        self._model = model
        self._profile = profile
        self._encoder = encoder
        self._known: dict[Kernels, Prediction] = {}

    def predict(self, plans: Sequence[FusionPlan]) -> list[Prediction]:
        """Predict plans over the graph; what was predicted before is not predicted again."""
        new = list({plan.kernels: plan for plan in plans if plan.kernels not in self._known}.values())
        if new:
            predictions = self._ask(new)
            self._known |= {plan.kernels: found for plan, found in zip(new, predictions, strict=True)}
        return [self._known[plan.kernels] for plan in plans]

    def _ask(self, plans: Sequence[FusionPlan]) -> list[Prediction]:
        if isinstance(self._model, EncodedModel):
            return self._model.predict_encoded([self._encoder.encode(plan) for plan in plans])
        return self._model.predict([self._graph] * len(plans), plans, self._profile)


class RelativeOracle(PlanOracle):
    """The model's prediction of one plan, and from it to the others the difference of what their work costs.

    Errors of a model are larger than what plans of one network differ by, and are not the same for two plans.
    """

    def __init__(
        self,
        graph: OpGraph,
        model: LatencyModel,
        profile: HardwareProfile,
        encoder: PlanEncoder,
        costs: PlanCosts,
        reference: FusionPlan,
    ) -> None:
        """``reference`` is the plan that the model is asked about; the others as :class:`PlanOracle` has them."""
        super().__init__(graph, model, profile, encoder)
        self._costs = costs
        self._work = PlanWork(graph, profile)
        (found,) = super()._ask([reference])
        self._reference_ms = found.latency_ms
        self._reference_cost_ms = float(self._kernels_ms(reference).sum())

    def _ask(self, plans: Sequence[FusionPlan]) -> list[Prediction]:
        return [self._prediction(plan) for plan in plans]

    def _prediction(self, plan: FusionPlan) -> Prediction:
        kernels_ms = self._kernels_ms(plan)
        cost_ms = float(kernels_ms.sum())
        latency_ms = relative_latency(self._reference_ms, self._reference_cost_ms, cost_ms)
        share = kernels_ms / cost_ms if cost_ms > 0 else np.full(len(kernels_ms), 1 / max(len(kernels_ms), 1))
        return Prediction.of_point(latency_ms, plan.planner, share * latency_ms)

    def _kernels_ms(self, plan: FusionPlan) -> NDArray[np.float64]:
        return self._costs.kernels_us(self._work.of(plan)) / 1e3


def relative_latency(reference: float, reference_cost: float, cost: float) -> float:
    """Latency of a plan, from that of a reference plan and what both cost; all of one unit.

    A plan that costs less than nothing beside the reference's latency is not believed: a twentieth of it is the least.
    """
    return max(reference + cost - reference_cost, reference / 20)
