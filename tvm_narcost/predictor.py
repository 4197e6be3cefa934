"""The two interfaces that predicting stands on: LatencyModel and Planner; and what they return."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan

__all__ = ["LatencyModel", "Prediction"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one network on one profile.

    Attributes:
        latency_ms: median end-to-end latency, milliseconds.
        interval_ms: low and high end of the interval, milliseconds.
        kernels_ms: share of each kernel of the plan, milliseconds, in the plan's order; they sum to ``latency_ms``.
            Empty when the model has no notion of kernels.
        planner: who made the plan: ``onnxruntime``, ``tvm``, ``rules``.
        out_of_distribution: the network is unlike anything in training.
        unknown_operators: operators of the network that the model has no token for, sorted.
        kernels_out_of_distribution: which kernels are unlike any in training, in the plan's order; empty when the
            model does not tell.
    """

    latency_ms: float
    interval_ms: tuple[float, float]
    kernels_ms: tuple[float, ...]
    planner: str
    out_of_distribution: bool = False
    unknown_operators: tuple[str, ...] = ()
    kernels_out_of_distribution: tuple[bool, ...] = ()

    @classmethod
    def of_point(cls, latency_ms: float, planner: str, kernels_ms: Iterable[float] = ()) -> Self:
        """What a model says that knows nothing of its error: the interval is the latency itself."""
        return cls(latency_ms, (latency_ms, latency_ms), tuple(map(float, kernels_ms)), planner)


class LatencyModel(Protocol):
    """Every predictor: NAR-Former, kernel-sum, roofline, FLOPs, a constant for tests."""

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        """Predict each network; ``plans[i]`` is how the runtime runs ``graphs[i]``.

        Args:
            graphs: the networks as read from their files.
            plans: one plan a network, over the runtime's own rewritten graph.
            profile: where they would run.
        """
        ...
