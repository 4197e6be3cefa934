"""PlanCosts: what a unit of each kind of work costs, so that plans of one network can be compared.

A plan's latency is the sum over its kernels of work times cost, both never negative: a linear model of some fifty
figures. It knows little of how fast a kernel is, and much of what two plans of one network differ in. Boosted trees say
where a fused kernel takes more or less than that, as a multiple of what its operators take apart.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.artifact import read_document, write_whole
from tvm_narcost.models.trees import BoostedTrees
from tvm_narcost.tokens.fused import FUSED, PRIOR
from tvm_narcost.tokens.work import WORK

__all__ = ["PLAN_COSTS_FILE", "PlanCosts"]

PLAN_COSTS_FILE = "plan_costs.json"  # beside the artifact of a profile that was measured under several plans
FORMAT_VERSION = 2
MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class PlanCosts:
    """What work costs.

    Attributes:
        us_per_unit: microseconds that a unit of each quantity of WORK costs; what is not named costs nothing.
        gains: trees over FUSED, whose sum is added to the logarithm of how a fused kernel compares with its operators
            apart by cost alone; None where no network was measured with its operators apart.
    """

    us_per_unit: Mapping[str, float]
    gains: BoostedTrees | None = None

    @property
    def vector(self) -> NDArray[np.float64]:
        """Microseconds a unit, [len(WORK)]."""
        return np.array([self.us_per_unit.get(name, 0.0) for name in WORK])

    def kernels_us(self, work: NDArray[np.float64]) -> NDArray[np.float64]:
        """Time of each kernel, or of each plan, by cost alone, microseconds.

        Args:
            work: of :meth:`tvm_narcost.tokens.work.PlanWork.of`, [kernels, len(WORK)], or of
                :func:`tvm_narcost.tokens.work.work_of_plans`, [plans, len(WORK)].
        """
        times_us: NDArray[np.float64] = work @ self.vector
        return times_us

    def log_ratios(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """log(time of a fused kernel / time of its operators apart) of each row of FUSED, [kernels]."""
        logs: NDArray[np.float64] = rows[:, PRIOR].astype(np.float64)
        return logs if self.gains is None else logs + self.gains.predict(rows.astype(np.float32))

    def save(self, path: Path) -> None:
        """Write the costs as JSON, whole or not at all."""
        gains = None if self.gains is None else self.gains.to_json()
        document = {"format_version": FORMAT_VERSION, "us_per_unit": dict(self.us_per_unit), "gains": gains}
        write_whole(path, (json.dumps(document, separators=(",", ":")) + "\n").encode())

    @classmethod
    def of_artifact(cls, folder: Path) -> Self | None:
        """Those that lie in an artifact's folder; None where it was trained on one plan a network."""
        path = folder / PLAN_COSTS_FILE
        return cls.open(path) if path.exists() else None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: missing, too large, of another format, or with names or values that are no costs.
        """
        document = read_document(path, MAX_BYTES)
        costs = document.get("us_per_unit")
        if document.get("format_version") != FORMAT_VERSION or not isinstance(costs, dict):
            raise ArtifactError(
                f"artifact {path}: format version {document.get('format_version')!r}, expected {FORMAT_VERSION} and "
                "us_per_unit; train it again, or install the narcost that wrote it"
            )
        wrong = [name for name, value in costs.items() if name not in WORK or not _is_cost(value)]
        if wrong or not any(costs.values()):
            raise ArtifactError(
                f"artifact {path}: {', '.join(wrong) or 'no cost'} in us_per_unit, expected known quantities with "
                "finite costs of at least zero, one above it; copy or train it again"
            )
        gains = document.get("gains")
        return cls(
            {name: float(value) for name, value in costs.items()},
            None if gains is None else BoostedTrees.of_artifact(gains, len(FUSED), f"artifact {path}: gains"),
        )


def _is_cost(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
