"""FLOPs: latency from the number of floating-point operations alone, the field's weakest baseline."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware_profiles import HardwareProfile
from relay_frontend.costs import graph_cost
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.artifact import read_document, write_whole
from tvm_narcost.predictor import Prediction

__all__ = ["FlopsModel", "fit_flops"]

_FILE = "flops.json"
_MAX_BYTES = 4096


@dataclass(frozen=True)
class FlopsModel:
    """log latency_ms = intercept + slope x log FLOPs."""

    intercept: float
    slope: float

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        """See :class:`tvm_narcost.predictor.LatencyModel`; neither plan nor profile takes part."""
        predictions = []
        for graph, plan in zip(graphs, plans, strict=True):
            latency_ms = float(np.exp(self.intercept + self.slope * np.log(max(graph_cost(graph).flops, 1))))
            predictions.append(Prediction.of_point(latency_ms, plan.planner))
        return predictions

    def save(self, folder: Path) -> None:
        """Write the two coefficients beside an artifact."""
        write_whole(folder / _FILE, f"{json.dumps({'intercept': self.intercept, 'slope': self.slope})}\n".encode())

    @classmethod
    def open(cls, folder: Path) -> "FlopsModel":
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: missing, too large, or not two finite numbers.
        """
        path = folder / _FILE
        document = read_document(path, _MAX_BYTES)
        try:
            model = cls(float(document["intercept"]), float(document["slope"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"artifact {path}: {error!r}, expected intercept and slope; train it again") from error
        if not (np.isfinite(model.intercept) and np.isfinite(model.slope)):
            raise ArtifactError(f"artifact {path}: {model}, expected finite numbers; train it again")
        return model


def fit_flops(graphs: Sequence[OpGraph], latency_ms: Sequence[float]) -> FlopsModel:
    """Least squares in logarithms, so that every network counts by its relative error."""
    flops = np.log([max(graph_cost(graph).flops, 1) for graph in graphs])
    slope, intercept = np.polyfit(flops, np.log(latency_ms), 1)
    return FlopsModel(float(intercept), float(slope))
