"""FLOPs and bytes: latency from two counts of the whole network, a straight line in logarithms.

Memory traffic is the one number that FLOPs lack most (NNLQP, ICPP 2022, compares with both together).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.costs import graph_cost
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.predictor import Prediction

__all__ = ["FlopsBytesModel", "fit_flops_bytes"]


@dataclass(frozen=True)
class FlopsBytesModel:
    """log latency_ms = intercept + flops_slope x log FLOPs + bytes_slope x log bytes of memory traffic."""

    intercept: float
    flops_slope: float
    bytes_slope: float

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        """See :class:`tvm_narcost.predictor.LatencyModel`; neither plan nor profile takes part."""
        logs = _logarithms(graphs) @ np.array([self.intercept, self.flops_slope, self.bytes_slope])
        return [
            Prediction.of_point(latency_ms, plan.planner)
            for latency_ms, plan in zip(np.exp(logs).tolist(), plans, strict=True)
        ]


def fit_flops_bytes(graphs: Sequence[OpGraph], latency_ms: Sequence[float]) -> FlopsBytesModel:
    """Least squares in logarithms; of the lines that fit equally well the flattest."""
    solution = np.linalg.lstsq(_logarithms(graphs), np.log(latency_ms), rcond=None)[0]
    return FlopsBytesModel(*(float(coefficient) for coefficient in solution))


def _logarithms(graphs: Sequence[OpGraph]) -> NDArray[np.float64]:
    """[graphs, 3]: one, log FLOPs, log bytes."""
    costs = [graph_cost(graph) for graph in graphs]
    counts = np.array([[max(cost.flops, 1), max(cost.memory_bytes, 1)] for cost in costs], float).reshape(-1, 2)
    return np.concatenate([np.ones((len(costs), 1)), np.log(counts)], axis=1)
