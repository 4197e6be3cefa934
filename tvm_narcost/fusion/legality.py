"""Which sets of operators can be one kernel, and which sets of kernels one plan; the only place that says so.

A kernel is built by inlining its operators into one function (FuseTIR) and by one of the schedules of hook/schedules,
so that it is legal when
  - an opaque operator is alone in it;
  - it has one anchor at most: a convolution, matrix product or window, whose loops the kernel has;
  - an anchor and a reduction over rows (a sum, a softmax, a normalisation) are not both in it, as no schedule has the
    loops of both; several reductions may be, which are computed row by row;
  - what one call computes is not parted;
  - its operators hang together by the values that they pass on;
  - it has no more operators, and reads and writes no more values, than the limits say.
Any of its values may be read by others: it is written then. A plan is legal when all its kernels are, and when these
can be put in order: each reads only what those before it wrote.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from relay_frontend.errors import PlanError
from relay_frontend.graph import OpGraph
from relay_frontend.ops import operator_category
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.patterns import Pattern

__all__ = ["MAX_ARGUMENTS", "MAX_OPERATORS", "FusionSpace", "Kernels", "check_plan"]

MAX_OPERATORS = 256
"""Of a kernel; TVM's own limit."""

MAX_ARGUMENTS = 128
"""Values that a kernel of several operators reads and writes. TVM has no limit on CPUs."""

_ROWS = frozenset({"reduction", "softmax", "normalization"})

_NEW, _OPEN, _DONE = range(3)

Kernels = tuple[tuple[int, ...], ...]
"""Node indices of each kernel, ascending; the kernels in an order in which they can run."""


@dataclass(frozen=True, eq=False)
class FusionSpace:
    """All plans of a graph that can be built.

    Attributes:
        graph: what is planned.
        patterns: how each node may be fused.
        inseparable: nodes that one call computes together.

    Raises:
        PlanError: not one pattern a node.
    """

    graph: OpGraph
    patterns: Sequence[Pattern]
    inseparable: Sequence[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        if len(self.patterns) != len(self.graph.nodes):
            raise PlanError(
                f"graph {self.graph.name!r} has {len(self.graph.nodes)} nodes and {len(self.patterns)} patterns, "
                "expected one a node: pass PreparedModule.patterns or fusion.patterns.patterns_of(graph)"
            )

    @cached_property
    def units(self) -> tuple[tuple[int, ...], ...]:
        """For each node the nodes that are in its kernel in any plan, itself among them, ascending."""
        found: list[tuple[int, ...]] = [(index,) for index in range(len(self.graph.nodes))]
        for nodes in self.inseparable:
            for index in nodes:
                found[index] = tuple(sorted(nodes))
        return tuple(found)

    @cached_property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """For each node the nodes that it reads from, ascending."""
        return tuple(self.graph.predecessors(index) for index in range(len(self.graph.nodes)))

    @cached_property
    def written(self) -> frozenset[int]:
        """Nodes that the network returns."""
        return frozenset(edge.source for edge in self.graph.outputs)

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(node, reader) pairs, ascending by reader, then by node."""
        return tuple((source, reader) for reader, found in enumerate(self.sources) for source in found)

    @cached_property
    def reductions(self) -> frozenset[int]:
        """Last nodes of calls that reduce over rows: sums, softmaxes, normalisations."""
        return frozenset(
            unit[-1]
            for unit in set(self.units)
            if self._pattern(unit) == Pattern.COMM_REDUCE
            or (self._pattern(unit) == Pattern.OUT_EWISE_FUSABLE and self._is_over_rows(unit))
        )

    @cached_property
    def anchors(self) -> frozenset[int]:
        """Last nodes of calls into which what follows is fused: convolutions, matrix products and windows."""
        return frozenset(
            unit[-1]
            for unit in set(self.units)
            if self._pattern(unit) == Pattern.OUT_EWISE_FUSABLE and not self._is_over_rows(unit)
        )

    def _pattern(self, unit: tuple[int, ...]) -> Pattern:
        return max(self.patterns[index] for index in unit)

    def _is_over_rows(self, unit: tuple[int, ...]) -> bool:
        return any(operator_category(self.graph.nodes[index].op) in _ROWS for index in unit)

    def kernel_fault(self, members: Collection[int]) -> str:
        """Why nodes cannot be one kernel, or nothing where they can; whether kernels have an order is not asked."""
        inside = frozenset(members)
        units = {self.units[index] for index in inside}
        if sum(map(len, units)) != len(inside):
            return "parts what one call computes"
        return self._fault_of_several(inside) if len(units) > 1 else ""

    def _fault_of_several(self, inside: frozenset[int]) -> str:
        anchors = len(inside & self.anchors)
        if any(self.patterns[index] in (Pattern.OPAQUE, Pattern.TUPLE) for index in inside):
            return "has an opaque operator beside others"
        if anchors > 1:
            return f"has {anchors} anchors, expected at most one"
        if anchors and inside & self.reductions:
            return "has an anchor and a reduction over rows"
        if len(inside) > MAX_OPERATORS:
            return f"has {len(inside)} operators, expected at most {MAX_OPERATORS}"
        if self.arguments(inside) > MAX_ARGUMENTS:
            return f"reads and writes {self.arguments(inside)} values, expected at most {MAX_ARGUMENTS}"
        if len(self.pieces(inside)) > 1:
            return "does not hang together"
        return ""

    def arguments(self, inside: Collection[int]) -> int:
        """How many values a kernel reads and writes, weights among them."""
        read = {edge for index in inside for edge in self.graph.nodes[index].inputs if edge.source not in inside}
        return len(read) + sum(self.is_written(index, inside) for index in inside)

    def is_written(self, index: int, inside: Collection[int]) -> bool:
        """Whether a kernel has to write what its node ``index`` computes."""
        return index in self.written or any(reader not in inside for reader in self.graph.consumers[index])

    def pieces(self, members: Iterable[int]) -> list[tuple[int, ...]]:
        """The parts of a set of nodes that hang together by values or calls, each ascending, by first node."""
        left = set(members)
        found = []
        while left:
            piece: set[int] = set()
            waiting = [min(left)]
            while waiting:
                index = waiting.pop()
                if index in left:
                    left.remove(index)
                    piece.add(index)
                    waiting += [*self.sources[index], *self.graph.consumers[index], *self.units[index]]
            found.append(tuple(sorted(piece)))
        return found

    def ordered(self, kernels: Iterable[Iterable[int]]) -> Kernels | None:
        """The kernels in an order in which they can run, None where they read from each other.

        By first operator, but what a kernel reads comes right before it: so does TVM's FuseOps.
        """
        inside = sorted(tuple(sorted(members)) for members in kernels)
        owner = [0] * len(self.graph.nodes)
        for kernel, members in enumerate(inside):
            for index in members:
                owner[index] = kernel
        state = [_NEW] * len(inside)
        order: list[tuple[int, ...]] = []
        for first in range(len(inside)):
            waiting = [first]
            while waiting:
                kernel = waiting[-1]
                if state[kernel] == _DONE:
                    waiting.pop()
                    continue
                read = [owner[source] for index in inside[kernel] for source in self.sources[index]]
                pending = [source for source in read if source != kernel and state[source] != _DONE]
                if not pending:
                    state[kernel] = _DONE
                    order.append(inside[kernel])
                elif any(state[source] == _OPEN for source in pending):
                    return None
                else:
                    state[kernel] = _OPEN
                    waiting += dict.fromkeys(reversed(pending))
        return tuple(order)


def check_plan(space: FusionSpace, plan: FusionPlan) -> None:
    """Refuse a plan that cannot be built.

    Raises:
        PlanError: it is of another graph, a kernel is not legal, or kernels stand before what they read from.
    """
    name = space.graph.name
    if plan.graph is not space.graph and plan.graph != space.graph:
        raise PlanError(f"plan of {name!r} is over another graph, expected the one whose patterns are known")
    owner = {index: kernel for kernel, members in enumerate(plan.kernels) for index in members}
    for kernel, members in enumerate(plan.kernels):
        fault = space.kernel_fault(members)
        if fault:
            names = ", ".join(space.graph.nodes[index].name or space.graph.nodes[index].op for index in members[:5])
            raise PlanError(f"kernel {kernel} of {name!r} ({len(members)} operators: {names}) {fault}")
        late = [source for index in members for source in space.sources[index] if owner[source] > kernel]
        if late:
            raise PlanError(
                f"kernel {kernel} of {name!r} reads what kernel {owner[late[0]]} writes, expected each kernel after "
                "those that it reads from; no path may leave a kernel and come back"
            )
