"""The ``default`` NAR-Former as a LatencyModel: plans in, milliseconds with their breakdown out."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.ops import is_opaque
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.artifact import ArtifactFacts, read_artifact, read_document, write_artifact, write_whole
from tvm_narcost.models.estimate import Estimate, estimate_networks
from tvm_narcost.models.kernel_ensemble import CORRECTION_COLUMNS, TREE_COLUMNS, KernelEnsemble
from tvm_narcost.models.narformer_config import NarFormerConfig
from tvm_narcost.models.trained_narformer import STANDARD, TrainedNarFormer
from tvm_narcost.models.training_kernels import COLUMNS, TrainingKernels
from tvm_narcost.models.trees import BoostedTrees
from tvm_narcost.predictor import Prediction
from tvm_narcost.tokens import default
from tvm_narcost.tokens.encoded import EncodedPlan, encode_plan

__all__ = ["NarFormerLatency"]

_KERNELS = "training"  # stands where a member's number stands in the names of the weights
_TREES = "trees.json"
_CORRECTION = "correction.json"
_MAX_TREES_BYTES = 64 * 2**20


@dataclass(frozen=True)
class NarFormerLatency:
    """An ensemble with the kernels that it was trained on and what it was found to err by."""

    ensemble: KernelEnsemble
    training_kernels: TrainingKernels
    facts: ArtifactFacts

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        """See :class:`tvm_narcost.predictor.LatencyModel`; ``graphs`` are not needed."""
        return self.predict_encoded([encode_plan(plan, profile) for plan in plans])

    def predict_encoded(self, encoded: Sequence[EncodedPlan]) -> list[Prediction]:
        """Predict plans that are encoded already; networks of like length are computed together."""
        estimates = estimate_networks(self.ensemble, self.training_kernels, encoded)
        return [self._prediction(*found) for found in zip(encoded, estimates, strict=True)]

    def member_latency_ms(self, encoded: Sequence[EncodedPlan]) -> NDArray[np.float64]:
        """What each member says by itself, [members, plans]; where they agree on a difference it is trusted more."""
        logs = self.ensemble.member_logs([found.tokens for found in encoded])
        columns = [np.exp(own) @ found.yardstick_us / 1e3 for found, own in zip(encoded, logs, strict=True)]
        return np.stack(columns, axis=1) if columns else np.zeros((self.ensemble.members, 0))

    def _prediction(self, encoded: EncodedPlan, estimate: Estimate) -> Prediction:
        plan = encoded.plan
        latency_ms = float(estimate.kernels_us.sum()) / 1e3
        interval = self.facts.interval
        opaque = any(map(is_opaque, {node.op for node in plan.graph.nodes}))  # what it computes, nobody knows
        spread = math.exp(interval.widest_log_ratio if opaque else interval.log_ratio(estimate.signs))
        return Prediction(
            latency_ms=latency_ms,
            interval_ms=(latency_ms / spread, latency_ms * spread),
            kernels_ms=tuple((estimate.kernels_us / 1e3).tolist()),
            planner=plan.planner,
            out_of_distribution=estimate.out_of_distribution,
            unknown_operators=tuple(sorted(set(encoded.operators) - set(self.training_kernels.limits))),
            kernels_out_of_distribution=tuple(estimate.far.tolist()),
        )

    def save(self, folder: Path) -> None:
        """Write the artifact; weights in half precision, which moves a prediction by about a thousandth."""
        weights: dict[str, NDArray[Any]] = {
            f"{member}.{name}": value
            for member, network in enumerate(self.ensemble.networks)
            for name, value in network.stored().items()
        }
        weights |= {f"{_KERNELS}.{operator}": points for operator, points in self.training_kernels.points.items()}
        write_artifact(folder, self.facts, weights)
        for name, trees in ((_TREES, self.ensemble.trees), (_CORRECTION, self.ensemble.correction)):
            if trees is not None:
                document = {"schema": default.NAME, "schema_version": default.VERSION, **trees.to_json()}
                write_whole(folder / name, json.dumps(document, separators=(",", ":")).encode())

    @classmethod
    def open(cls, folder: Path) -> "NarFormerLatency":
        """Read an artifact.

        Raises:
            ArtifactError: missing, corrupt, of another schema, or weights that do not fit the config.
        """
        facts, weights = read_artifact(folder)
        if (facts.kind, facts.schema, facts.schema_version) != ("narformer", default.NAME, default.VERSION):
            raise ArtifactError(
                f"artifact {folder}: {facts.kind} on schema {facts.schema} {facts.schema_version}, "
                f"expected narformer on {default.NAME} {default.VERSION}; train it again or install its narcost"
            )
        try:
            training_kernels = _training_kernels(facts, weights)
            networks = _networks(facts, weights)
            trees = _read_trees(folder / _TREES, TREE_COLUMNS) if _flag(facts, "trees") else None
            # Artifacts that `narcost train` wrote before there were corrections do not mention them.
            corrected = "correction" in facts.config and _flag(facts, "correction")
            correction = _read_trees(folder / _CORRECTION, CORRECTION_COLUMNS) if corrected else None
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise ArtifactError(
                f"artifact {folder}: weights do not fit its config ({reason}); copy or train it again"
            ) from error
        return cls(KernelEnsemble(networks, trees, correction), training_kernels, facts)

    @staticmethod
    def config_facts(ensemble: KernelEnsemble) -> dict[str, object]:
        """The config as an artifact keeps it, and as JSON gives it back."""
        config = ensemble.networks[0].config
        return {
            **asdict(config),
            "fusion_queries": list(config.fusion_queries),
            "members": len(ensemble.networks),
            "trees": ensemble.trees is not None,
            "correction": ensemble.correction is not None,
        }


def _training_kernels(facts: ArtifactFacts, weights: Mapping[str, NDArray[Any]]) -> TrainingKernels:
    prefix = f"{_KERNELS}."
    points = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    if set(points) != set(facts.distance_limits):
        raise ValueError(f"kernels of operators {sorted(points)}, expected {sorted(facts.distance_limits)}")
    for operator, value in points.items():
        if value.dtype != np.float16 or value.ndim != 2 or value.shape[1] != len(COLUMNS) or not len(value):
            raise ValueError(
                f"kernels of {operator} are {value.dtype} {list(value.shape)}, expected float16 [some, {len(COLUMNS)}]"
            )
    return TrainingKernels(points, facts.distance_limits)


def _flag(facts: ArtifactFacts, name: str) -> bool:
    found = facts.config[name]
    if not isinstance(found, bool):
        raise ValueError(f"{name} {found!r}, expected true or false")
    return found


def _read_trees(path: Path, columns: int) -> BoostedTrees:
    document = read_document(path, _MAX_TREES_BYTES)
    schema = document.pop("schema", None), document.pop("schema_version", None)
    if schema != (default.NAME, default.VERSION):
        raise ValueError(f"{path.name} on schema {schema}, expected {default.NAME} {default.VERSION}")
    trees = BoostedTrees.from_json(document)
    if trees.columns != columns:
        raise ValueError(f"{path.name} over {trees.columns} columns, expected {columns}")
    return trees


def _networks(facts: ArtifactFacts, weights: Mapping[str, NDArray[Any]]) -> tuple[TrainedNarFormer, ...]:
    """The networks of an artifact; any of a dozen exceptions when its parts do not belong together."""
    sizes = {**facts.config, "fusion_queries": tuple(facts.config["fusion_queries"])}
    members = sizes.pop("members")
    for name in ("trees", "correction"):
        sizes.pop(name, None)
    states: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, value in weights.items():
        prefix, _, own_name = name.partition(".")
        if prefix == _KERNELS:
            continue
        expected = np.float32 if own_name in STANDARD else np.float16
        if value.dtype != expected:
            raise ValueError(f"{name} is {value.dtype}, expected {np.dtype(expected)}")
        states.setdefault(prefix, {})[own_name] = value.astype(np.float32)
    if set(states) != set(map(str, range(len(states)))) or len(states) != members:
        raise ValueError(f"weights of members {sorted(states)}, expected {members}")
    config = NarFormerConfig(**sizes)
    if config.token_width != default.WIDTH:
        raise ValueError(f"tokens {config.token_width} wide, expected {default.WIDTH}")
    return tuple(TrainedNarFormer(config, states[str(member)]) for member in range(members))
