"""What a plan does otherwise than another one, and what each difference is predicted to save."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay_frontend.graph import OpGraph
from tvm_narcost.fusion.ranking import RankedPlan
from tvm_narcost.fusion.regions import Members, changed_regions

__all__ = ["Change", "Explanation", "explain"]

Edges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Operators that two plans put into other kernels; all that can be told apart from the other changes.

    Attributes:
        cut: (node, reader) edges that pass a value inside of a kernel in the default, and through memory now.
        joined: edges that pass it through memory in the default, and inside of a kernel now.
        before_ms: predicted time of the default's kernels of these operators.
        after_ms: of the kernels that they are in now.
    """

    cut: Edges
    joined: Edges
    before_ms: float
    after_ms: float

    @property
    def saved_ms(self) -> float:
        """What it is predicted to save; negative where it costs."""
        return self.before_ms - self.after_ms


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a plan is predicted to be faster than the default.

    Attributes:
        changes: those that save most first.
        elsewhere_ms: what kernels that are in both plans save, because what runs before them is another.
    """

    changes: tuple[Change, ...]
    elsewhere_ms: float

    @property
    def saved_ms(self) -> float:
        """All of it: the difference of the two plans' predicted latency."""
        return sum(change.saved_ms for change in self.changes) + self.elsewhere_ms


def explain(default: RankedPlan, plan: RankedPlan) -> Explanation:
    """Compare a plan with the default; both are of one graph, and predicted by a model that knows kernels.

    The differences of kernels add up to the difference of the plans, as the kernels' times add up to a plan's.
    """
    graph = plan.plan.graph
    before, after = default.plan.kernels, plan.plan.kernels
    before_ms = dict(zip(before, default.kernels_ms, strict=True))
    after_ms = dict(zip(after, plan.kernels_ms, strict=True))
    kept = set(before) & set(after)
    changes = [
        Change(
            cut=_edges(graph, region.before, region.after),
            joined=_edges(graph, region.after, region.before),
            before_ms=sum(before_ms[members] for members in region.before),
            after_ms=sum(after_ms[members] for members in region.after),
        )
        for region in changed_regions(before, after)
    ]
    changes.sort(key=lambda change: -change.saved_ms)
    return Explanation(tuple(changes), sum(before_ms[members] - after_ms[members] for members in kept))


def _edges(graph: OpGraph, together: Sequence[Members], apart: Sequence[Members]) -> Edges:
    """Edges inside of one kernel of the first, and between kernels of the second."""
    first = {index: kernel for kernel, members in enumerate(together) for index in members}
    second = {index: kernel for kernel, members in enumerate(apart) for index in members}
    return tuple(
        (node, reader)
        for reader in sorted(first)
        for node in graph.predecessors(reader)
        if node in first and first[node] == first[reader] and second[node] != second[reader]
    )
