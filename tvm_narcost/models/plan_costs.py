"""PlanCosts: what a unit of each kind of work costs, so that plans of one network can be compared.

A plan's latency is the sum over its kernels of work times cost, both never negative: a linear model of some fifty
figures. It knows little of how fast a kernel is, and much of what two plans of one network differ in.
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
from tvm_narcost.tokens.work import WORK

__all__ = ["PLAN_COSTS_FILE", "PlanCosts"]

PLAN_COSTS_FILE = "plan_costs.json"  # beside the artifact of a profile that was measured under several plans
FORMAT_VERSION = 1
MAX_BYTES = 2**20


@dataclass(frozen=True)
class PlanCosts:
    """Microseconds that a unit of each quantity of WORK costs; what is not named costs nothing."""

    us_per_unit: Mapping[str, float]

    def kernels_us(self, work: NDArray[np.float64]) -> NDArray[np.float64]:
        """Time of each kernel, or of each plan, microseconds.

        Args:
            work: of :meth:`tvm_narcost.tokens.work.PlanWork.of`, [kernels, len(WORK)], or of
                :func:`tvm_narcost.tokens.work.work_of_plans`, [plans, len(WORK)].
        """
        costs = np.array([self.us_per_unit.get(name, 0.0) for name in WORK])
        times_us: NDArray[np.float64] = work @ costs
        return times_us

    def save(self, path: Path) -> None:
        """Write the costs as JSON, whole or not at all."""
        document = {"format_version": FORMAT_VERSION, "us_per_unit": dict(self.us_per_unit)}
        write_whole(path, (json.dumps(document, indent=1) + "\n").encode())

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
        return cls({name: float(value) for name, value in costs.items()})


def _is_cost(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
