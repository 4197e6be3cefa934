"""From a model file to milliseconds: what ``narcost predict`` and ``tvm_narcost.load`` run.

This module stands above the layers and joins them: reader -> planner -> model.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.costs import graph_cost
from relay_frontend.graph import OpGraph
from relay_frontend.load import load_module
from relay_frontend.onnx import from_onnx, load_model, opset_versions
from relay_frontend.ops import is_opaque, operator_category
from relay_frontend.passes import canonicalize
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import ArtifactError, MeasurementError, RuntimeMissingError
from tvm_narcost.fusion.planner import plan_without_runtime
from tvm_narcost.measure.runtime import runtime_for
from tvm_narcost.measure.weights import can_be_filled
from tvm_narcost.models.folders import artifact_folder, own_artifact_folder
from tvm_narcost.models.kernel_sum import KERNEL_SUM_FILE, KernelSum
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.models.roofline import RooflineModel
from tvm_narcost.predictor import LatencyModel, Prediction
from tvm_narcost.tokens.facts import kernel_facts

__all__ = [
    "KernelPrediction",
    "NetworkPrediction",
    "NetworkPredictor",
    "artifact_folder",
    "load",
    "own_artifact_folder",
]

_RULES_OPSET = 17  # of networks that do not come from ONNX: rules for older versions are about what those lack


@dataclass(frozen=True, slots=True)
class KernelPrediction:
    """One kernel's part: milliseconds, share of the whole, FLOPs, bytes moved, and whether it is unlike training."""

    name: str
    op: str
    category: str
    predicted_ms: float
    share: float
    flops: int
    bytes: int
    out_of_distribution: bool = False


@dataclass(frozen=True, slots=True)
class NetworkPrediction:
    """All that is said of one network; the fields of ``narcost predict --json``."""

    model: str
    profile: str
    latency_ms: float
    interval_ms: tuple[float, float]
    kernel_sum_ms: float
    roofline_ms: float
    flops: int
    parameters: int
    memory_bytes: int
    operators: dict[str, int]
    tokens: int
    out_of_distribution: bool
    unknown_operators: tuple[str, ...]
    planner: str
    calibration: float
    kernels: tuple[KernelPrediction, ...]
    graph_hash: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkPredictor:
    """A profile with the models that were trained for it.

    Attributes:
        model: the default NAR-Former, or any other LatencyModel.
        kernel_sum: the baseline that is shown beside it.
        calibration: factor on every prediction; 1 as shipped, see :meth:`calibrated`.
    """

    profile: HardwareProfile
    model: LatencyModel
    kernel_sum: LatencyModel
    calibration: float = 1.0

    def predict(
        self, model: str | Path | onnx.ModelProto, *, shapes: Mapping[str, tuple[int, ...]] | None = None
    ) -> NetworkPrediction:
        """Predict one network from its file.

        Args:
            model: path of a file of any format that relay_frontend reads, or a loaded ONNX model; weights are not
                needed. A module that a compiler has fused is predicted with its own kernels.
            shapes: shape of each input that the file leaves open.

        Raises:
            FrontendError: the file cannot be read; the message says why and what to do.
            MeasurementError: the runtime refuses to plan it.
        """
        if not isinstance(model, onnx.ModelProto) and Path(model).suffix.lower() != ".onnx":
            graph, planned = load_module(model, shapes=shapes)
            if planned is None:
                planned = plan_without_runtime(graph, self.profile, opset=_RULES_OPSET)
            return self.predict_plan(graph, planned, name=str(model))
        if isinstance(model, onnx.ModelProto):
            proto, name = model, model.graph.name
        else:
            proto, name = self._load(Path(model)), str(model)
        graph = canonicalize(from_onnx(proto, shapes=shapes))
        return self.predict_plan(graph, self.plan(proto, shapes=shapes), name=name)

    def _load(self, path: Path) -> onnx.ModelProto:
        """The model in a file, without weights: a runtime gets stand-ins for them where it is asked for its plan.

        Weights come along where there can be none: integers, and tables in nested graphs.
        """
        model = load_model(path, weights=False)
        complete = self.profile.runtime.planner == "rules" or can_be_filled(model)
        return model if complete else load_model(path)

    def plan(self, proto: onnx.ModelProto, *, shapes: Mapping[str, tuple[int, ...]] | None = None) -> FusionPlan:
        """The kernels that the profile's runtime would run; by rules, and said so, where it cannot tell.

        That is where it is not installed, and where it refuses a network with operators outside the table.
        """
        graph: OpGraph | None = None
        if self.profile.runtime.planner != "rules":
            try:
                return runtime_for(self.profile).plan(_with_shapes(proto, shapes), self.profile)
            except RuntimeMissingError:
                pass  # the plan says ``rules``, and so does the prediction that is made from it
            except MeasurementError:
                graph = from_onnx(proto, shapes=shapes)
                if not any(is_opaque(node.op) for node in graph.nodes):
                    raise
        graph = graph or from_onnx(proto, shapes=shapes)
        return plan_without_runtime(graph, self.profile, opset=opset_versions(proto)[""])

    def predict_plan(self, graph: OpGraph, plan: FusionPlan, *, name: str = "") -> NetworkPrediction:
        """Predict a network whose plan is known; nothing is read and nothing run.

        An operator outside the table flags the prediction, whatever the model thinks of it.
        """
        prediction = self.model.predict([graph], [plan], self.profile)[0]
        kernel_sum = self.kernel_sum.predict([graph], [plan], self.profile)[0]
        bound = RooflineModel().predict([graph], [plan], self.profile)[0]
        cost = graph_cost(graph, strict=False)
        factor = self.calibration
        return NetworkPrediction(
            model=name or graph.name,
            profile=self.profile.id,
            latency_ms=prediction.latency_ms * factor,
            interval_ms=(prediction.interval_ms[0] * factor, prediction.interval_ms[1] * factor),
            kernel_sum_ms=kernel_sum.latency_ms * factor,
            roofline_ms=bound.latency_ms * factor,
            flops=cost.flops,
            parameters=cost.parameters,
            memory_bytes=cost.memory_bytes,
            operators=dict(sorted(Counter(node.op for node in graph.nodes).items())),
            tokens=len(plan.kernels),
            out_of_distribution=prediction.out_of_distribution or bool(cost.unknown_operators),
            unknown_operators=tuple(sorted({*prediction.unknown_operators, *cost.unknown_operators})),
            planner=prediction.planner,
            calibration=factor,
            kernels=_breakdown(plan, prediction, factor),
            graph_hash=graph.structural_hash(),
            notes=graph.notes,
        )

    def calibrated(self) -> "NetworkPredictor":
        """Time three small zoo networks here and scale every prediction by what they say of this machine.

        Raises:
            RuntimeMissingError: the profile's runtime is not installed.
            MeasurementError: a network could not be timed.
        """
        from tvm_narcost.measure.calibrate import calibration_factor

        return dataclasses.replace(self, calibration=calibration_factor(self.model, self.profile))


def _breakdown(plan: FusionPlan, prediction: Prediction, factor: float) -> tuple[KernelPrediction, ...]:
    facts = kernel_facts(plan)
    total = sum(prediction.kernels_ms) or 1.0
    moved = facts.column("input_bytes") + facts.column("parameter_bytes") + facts.column("output_bytes")
    far = prediction.kernels_out_of_distribution or (False,) * len(facts)
    return tuple(
        KernelPrediction(
            name="+".join(plan.graph.nodes[index].name or plan.graph.nodes[index].op for index in members),
            op=facts.ops[position],
            category=operator_category(facts.ops[position]),
            predicted_ms=share_ms * factor,
            share=share_ms / total,
            flops=int(facts.column("flops")[position]),
            bytes=int(moved[position]),
            out_of_distribution=far[position],
        )
        for position, (members, share_ms) in enumerate(zip(plan.kernels, prediction.kernels_ms, strict=False))
    )


def _with_shapes(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]] | None) -> onnx.ModelProto:
    """A copy whose named inputs have the given shapes, so that the runtime sees them too."""
    if not shapes:
        return proto
    bound = onnx.ModelProto()
    bound.CopyFrom(proto)
    for value in bound.graph.input:
        if value.name in shapes:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for extent in shapes[value.name]:
                shape.dim.add().dim_value = extent
    return bound


def load(profile: str) -> NetworkPredictor:
    """The predictor of a profile: ``tvm_narcost.load("ID").predict("model.onnx")``.

    Args:
        profile: id of a profile, or the path of its TOML file.

    Raises:
        ProfileError: unknown profile.
        ArtifactError: nothing was trained for it, or what was is corrupt or of another profile.
    """
    found = load_profile(profile)
    folder = artifact_folder(found.id)
    model = NarFormerLatency.open(folder)
    if model.facts.profile != found.id:
        raise ArtifactError(
            f"artifact {folder}: trained for profile {model.facts.profile!r}, expected {found.id!r}; "
            f"train one with `narcost train --profile {found.id}`"
        )
    return NetworkPredictor(found, model, KernelSum.open(folder / KERNEL_SUM_FILE))
