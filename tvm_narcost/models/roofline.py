"""Roofline: the sum over kernels of the larger of compute and memory time, from probed facts alone; not fitted."""

from collections.abc import Sequence
from dataclasses import dataclass

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.predictor import Prediction
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.roofline import roofline

__all__ = ["RooflineModel"]


@dataclass(frozen=True)
class RooflineModel:
    """A lower bound that needs no measurement of any network."""

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        """See :class:`tvm_narcost.predictor.LatencyModel`; ``graphs`` are not needed."""
        predictions = []
        for plan in plans:
            kernels_ms = roofline(kernel_facts(plan), profile).total_us / 1e3
            predictions.append(Prediction.of_point(float(kernels_ms.sum()), plan.planner, kernels_ms))
        return predictions
