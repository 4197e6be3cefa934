"""Constant: the same latency for every network, for tests and as the floor of every comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.predictor import Prediction

__all__ = ["ConstantModel"]


@dataclass(frozen=True)
class ConstantModel:
    """Says ``latency_ms`` of every network, and the same of every kernel within it."""

    latency_ms: float

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        """See :class:`tvm_narcost.predictor.LatencyModel`; nothing of the network takes part."""
        predictions = []
        for plan in plans:
            kernels = len(plan.kernels)
            kernels_ms = (self.latency_ms / kernels,) * kernels if kernels else ()
            predictions.append(Prediction.of_point(self.latency_ms, plan.planner, kernels_ms))
        return predictions
