"""Kernel-sum: gradient-boosted trees predict each kernel by itself, the network is their sum.

The baseline of Kaufman et al. (MLSys 2021) and nn-Meter, with the target that worked best here: not the time but
the logarithm of time over roofline. A kernel is seen alone: nothing of what runs before or after it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.artifact import read_document, write_whole
from tvm_narcost.models.trees import BoostedTrees, trees_of_booster
from tvm_narcost.predictor import Prediction
from tvm_narcost.tokens import default
from tvm_narcost.tokens.encoded import EncodedPlan, encode_plan

__all__ = ["KERNEL_SUM_FILE", "KernelSum", "fit_kernel_sum", "fit_trees"]

KERNEL_SUM_FILE = "kernel_sum.json"  # beside the artifact that it is shown with
FORMAT_VERSION = 1
MAX_BYTES = 64 * 2**20

_CONTEXT = frozenset(
    {"consumers", "input_age_kernels", "input_age_bytes", "oldest_age_kernels", "oldest_age_bytes",
     "from_graph_input", "network_footprint_l3", "memory_us", "roofline_us"}
)  # fmt: skip
_HEAD = len(default.OPERATORS) + len(default.CATEGORIES) + len(default.ACTIVATIONS)
_ALONE = [*range(_HEAD), *(_HEAD + i for i, name in enumerate(default.QUANTITIES) if name not in _CONTEXT)]
_SETTINGS = {
    "objective": "reg:absoluteerror", "eta": 0.08, "max_depth": 9, "min_child_weight": 1, "subsample": 0.8,
    "colsample_bytree": 0.6, "tree_method": "hist", "max_bin": 256,
}  # fmt: skip
_ROUNDS = 300


@dataclass(frozen=True)
class KernelSum:
    """Boosted trees over the columns of a kernel's ``default`` token that describe it alone."""

    trees: BoostedTrees

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        """See :class:`tvm_narcost.predictor.LatencyModel`; ``graphs`` are not needed."""
        return self.predict_encoded([encode_plan(plan, profile) for plan in plans])

    def predict_encoded(self, encoded: Sequence[EncodedPlan]) -> list[Prediction]:
        """Predict plans that are encoded already; equal kernels are predicted once."""
        if not encoded:
            return []
        logs = self.log_efficiency(np.concatenate([found.tokens for found in encoded]))
        ends = np.cumsum([len(found.tokens) for found in encoded])[:-1]
        predictions = []
        for found, own in zip(encoded, np.split(logs, ends), strict=True):
            kernels_ms = found.yardstick_us * np.exp(own) / 1e3
            predictions.append(Prediction.of_point(float(kernels_ms.sum()), found.plan.planner, kernels_ms.tolist()))
        return predictions

    def log_efficiency(self, tokens: NDArray[np.float32]) -> NDArray[np.float64]:
        """Predicted log(time / yardstick) of kernels given by their ``default`` tokens, [kernels]."""
        return self.trees.predict(tokens[:, _ALONE])

    def save(self, path: Path) -> None:
        """Write the trees as JSON, whole or not at all."""
        document = {"format_version": FORMAT_VERSION, "schema": default.NAME, "schema_version": default.VERSION}
        write_whole(path, json.dumps({**document, **self.trees.to_json()}, separators=(",", ":")).encode())

    @classmethod
    def open(cls, path: Path) -> "KernelSum":
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: missing, too large, truncated, of another format or token schema, or no trees.
        """
        document = read_document(path, MAX_BYTES)
        expected = {"format_version": FORMAT_VERSION, "schema": default.NAME, "schema_version": default.VERSION}
        got = {name: document.pop(name, None) for name in expected}
        if got != expected:
            raise ArtifactError(
                f"artifact {path}: {got}, expected {expected}; train it again, or install the narcost that wrote it"
            )
        return cls(BoostedTrees.of_artifact(document, len(_ALONE), f"artifact {path}"))


def fit_kernel_sum(
    tokens: NDArray[np.float32], log_efficiency: NDArray[np.float64], share: NDArray[np.float64], seed: int
) -> KernelSum:
    """Fit the trees.

    Args:
        tokens: ``default`` tokens of all kernels, [kernels, default.WIDTH].
        log_efficiency: log(time / yardstick), [kernels].
        share: weight of each kernel, [kernels]; its share of its network's time.
        seed: of row and column sampling.
    """
    return KernelSum(fit_trees(tokens[:, _ALONE], log_efficiency, share, seed))


def fit_trees(
    rows: NDArray[np.float32], logs: NDArray[np.float64], weight: NDArray[np.float64], seed: int
) -> BoostedTrees:
    """Fit boosted trees to logarithms of kernels' times.

    Args:
        rows: what is known of the kernels, [kernels, columns].
        logs: log(time / what it is compared with), [kernels].
        weight: of each kernel, [kernels].
        seed: of row and column sampling.
    """
    import xgboost

    settings: dict[str, Any] = {**_SETTINGS, "seed": seed, "nthread": 1}
    data = xgboost.DMatrix(rows, label=logs, weight=weight)
    return trees_of_booster(xgboost.train(settings, data, num_boost_round=_ROUNDS))
