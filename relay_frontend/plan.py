"""FusionPlan: which nodes of a graph run together as one kernel."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from relay_frontend.errors import PlanError
from relay_frontend.graph import OpGraph

__all__ = ["FusionPlan", "PlannedNetwork"]


@dataclass(frozen=True)
class FusionPlan:
    """A partition of ``graph``'s nodes into kernels, in the order in which they run.

    ``graph`` is the graph whose nodes the kernels are made of. A runtime that rewrites a network before it runs it
    (ONNX Runtime's layout transforms and fused operators) is planned over its own rewritten graph, so this graph
    need not be the one that was read from the file.

    Attributes:
        graph: the graph that is partitioned.
        kernels: node indices of each kernel, ascending.
        planner: who made the plan: ``onnxruntime``, ``tvm``, ``rules`` ...
    """

    graph: OpGraph
    kernels: tuple[tuple[int, ...], ...]
    planner: str

    def __post_init__(self) -> None:
        covered = sorted(index for kernel in self.kernels for index in kernel)
        if covered != list(range(len(self.graph.nodes))) or not all(self.kernels):
            raise PlanError(
                f"plan of {self.graph.name!r} covers {len(set(covered))} nodes in {len(covered)} places, "
                f"expected each of the {len(self.graph.nodes)} nodes in exactly one non-empty kernel"
            )

    def __hash__(self) -> int:
        """Without the graph's nodes: hashing them takes longer than most of what is remembered by plan."""
        return hash((self.graph.name, self.kernels, self.planner))

    def plan_hash(self) -> str:
        """64 hex digits over the graph's structure and the partition; the planner's name takes no part."""
        document = [self.graph.structural_hash(), [list(kernel) for kernel in self.kernels]]
        return hashlib.sha256(json.dumps(document).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` is its inverse."""
        return {
            "planner": self.planner,
            "kernels": [list(kernel) for kernel in self.kernels],
            "graph": self.graph.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            PlanError: a field is missing or of the wrong kind, or the kernels are no partition.
        """
        try:
            kernels = tuple(tuple(int(index) for index in kernel) for kernel in document["kernels"])
            return cls(OpGraph.from_json(document["graph"]), kernels, str(document["planner"]))
        except (KeyError, TypeError, ValueError) as error:
            raise PlanError(f"plan document: {error!r}, expected what FusionPlan.to_json writes") from error


@dataclass(frozen=True, slots=True)
class PlannedNetwork:
    """A network as a file or a live module has it, in canonical operators.

    Attributes:
        graph: of the whole network, operators put together wherever they belong together.
        plan: the kernels of a module that a compiler has fused; its graph has operators put together only where they
            are in one kernel. None where nothing is fused yet.
    """

    graph: OpGraph
    plan: FusionPlan | None = None
