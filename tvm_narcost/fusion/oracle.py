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
from tvm_narcost.models.plan_times import PlanTimes
from tvm_narcost.predictor import LatencyModel, Prediction
from tvm_narcost.tokens.encoded import EncodedPlan, PlanEncoder

__all__ = ["EncodedModel", "PlanOracle", "RelativeOracle"]


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
    """The model's prediction of one plan, and of the others by how they compare with that one.

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
        self._times = PlanTimes(graph, profile, costs)
        (found,) = super()._ask([reference])
        self._reference_ms = found.latency_ms
        self._reference_us = float(self._times.kernels_us(reference).sum())
        self._reference_by_cost_us = float(self._times.by_cost_us(reference).sum())

    def members_ms(self, plans: Sequence[FusionPlan]) -> NDArray[np.float64]:
        """By what fusing gains, and by what work costs alone, [2, plans]."""
        return np.array(
            [
                [found.latency_ms for found in self.predict(plans)],
                [self._scaled(float(self._times.by_cost_us(plan).sum()), self._reference_by_cost_us) for plan in plans],
            ]
        )

    def _ask(self, plans: Sequence[FusionPlan]) -> list[Prediction]:
        return [self._prediction(plan) for plan in plans]

    def _prediction(self, plan: FusionPlan) -> Prediction:
        kernels_us = self._times.kernels_us(plan)
        total_us = float(kernels_us.sum())
        latency_ms = self._scaled(total_us, self._reference_us)
        kernels_ms = kernels_us * (latency_ms / max(total_us, np.finfo(float).tiny))
        return Prediction.of_point(latency_ms, plan.planner, kernels_ms)

    def _scaled(self, time_us: float, reference_us: float) -> float:
        """Milliseconds, where the reference takes what the model says; a network of no work takes that in any plan."""
        return self._reference_ms * (time_us / reference_us if reference_us > 0 else 1.0)
