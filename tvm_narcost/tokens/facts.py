"""KernelFacts: what each kernel of a plan computes and moves, one row a kernel, in plain numbers.

Tokens, kernel-sum, roofline and FLOPs all read these facts, so that a kernel is described in one place.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relay_frontend.costs import OperatorCost, operator_cost
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, OpGraph
from relay_frontend.ops import operator_category
from relay_frontend.plan import FusionPlan
from tvm_narcost.tokens.extents import EXTENTS, node_extents
from tvm_narcost.tokens.inlining import InlinedWork, inline, moving_member
from tvm_narcost.tokens.loops import ProductLoops, product_loops

__all__ = ["COLUMNS", "KernelDescriber", "KernelFacts", "forget_nodes", "kernel_facts"]

COLUMNS = (
    # work
    "flops", "padding_flops", "input_bytes", "parameter_bytes", "output_bytes",
    *EXTENTS,
    # how it is compiled
    "blocked", "generic", "fused_sum", "fused_nodes", "activations", "constant_operand", "transposed_operands",
    "element_bytes",
    # what is around it
    "inputs", "outputs", "consumers", "input_age_kernels", "input_age_bytes", "oldest_age_kernels", "oldest_age_bytes",
    "from_graph_input",
)  # fmt: skip

_INDEX = {name: position for position, name in enumerate(COLUMNS)}
_MOVES = frozenset(EXTENTS.index(name) for name in ("run", "stride", "single_axis"))
Sources = tuple[tuple[int, ...], ...]
_STATIC = _INDEX["inputs"]  # the columns before this one depend on the node alone


@dataclass(frozen=True)
class KernelFacts:
    """One row a kernel, in the plan's order.

    Attributes:
        ops: canonical operator of each kernel's main node (the one with most FLOPs, then most output).
        categories: its category in the operator table.
        activations: the activation that is fused into it, or empty.
        values: float64 [kernels, len(COLUMNS)], raw counts; see COLUMNS.
        sources: for each kernel the kernels that it reads from, ascending.
        loops: of each kernel's main node, where operators are inlined and it is a sum of products; else None.
    """

    ops: tuple[str, ...]
    categories: tuple[str, ...]
    activations: tuple[str, ...]
    values: NDArray[np.float64]
    sources: tuple[tuple[int, ...], ...]
    loops: tuple[ProductLoops | None, ...]

    def column(self, name: str) -> NDArray[np.float64]:
        """One column, [kernels]."""
        return self.values[:, _INDEX[name]]

    def __len__(self) -> int:
        return len(self.ops)


@functools.lru_cache(maxsize=16)  # one prediction asks for the same plan's facts once a model
def kernel_facts(plan: FusionPlan, *, inlining: bool = False) -> KernelFacts:
    """Describe every kernel of a plan; linear in nodes and edges.

    Args:
        plan: the kernels.
        inlining: whether a kernel's operators are inlined into one loop nest, see :mod:`tvm_narcost.tokens.inlining`.
    """
    return KernelDescriber(plan.graph, inlining=inlining).facts(plan)


def forget_nodes() -> None:
    """Forget what was found of nodes, as where none has been described yet; for timing the first time."""
    _described.clear()
    node_extents.cache_clear()


class KernelDescriber:
    """Describes plans of one graph; what depends on a kernel's own nodes alone is computed once for all plans."""

    def __init__(self, graph: OpGraph, *, inlining: bool = False) -> None:
        """See :func:`kernel_facts`."""
        self.graph = graph
        self._inlining = inlining
        self._known: dict[tuple[int, ...], _Kernel] = {}

    def facts(self, plan: FusionPlan) -> KernelFacts:
        """Describe every kernel of a plan over :attr:`graph`."""
        kernels = [self._kernel(members) for members in plan.kernels]
        values = np.zeros((len(kernels), len(COLUMNS)))
        if kernels:
            values[:, :_STATIC] = np.concatenate([kernel.own.row for kernel in kernels]).reshape(len(kernels), _STATIC)
        sources = _fill_context(plan, kernels, values)
        values.setflags(write=False)  # the same facts are given to whoever asks
        return KernelFacts(
            ops=tuple(kernel.own.op for kernel in kernels),
            categories=tuple(kernel.own.category for kernel in kernels),
            activations=tuple(kernel.own.activation for kernel in kernels),
            values=values,
            sources=sources,
            loops=tuple(kernel.own.loops for kernel in kernels),
        )

    def _kernel(self, members: tuple[int, ...]) -> "_Kernel":
        found = self._known.get(members)
        if found is None:
            nodes = [self.graph.nodes[index] for index in members]
            read = {(e.source, e.slot) for node in nodes for e in node.inputs if e.source != PARAMETER}
            sources = {source for source, _ in read}
            found = self._known[members] = _Kernel(
                own=self._describe_own(members),
                read_nodes=tuple(sources.difference(members, (GRAPH_INPUT,))),
                inputs=len(read),
                outputs=sum([len(node.outputs) for node in nodes]),
                from_graph_input=float(GRAPH_INPUT in sources),
            )
        return found

    def _describe_own(self, members: tuple[int, ...]) -> "_Own":
        """Networks repeat their blocks, and each other's: of nodes that differ in where they read, one is described."""
        if len(members) > 1:
            return _own(self.graph, members, inlining=self._inlining)
        node, types = self.graph.nodes[members[0]], self.graph.input_types(members[0])
        constant = tuple([edge.source == PARAMETER for edge in node.inputs])
        alike = (node.op, node.attributes, types, constant, node.outputs, self._inlining)
        found = _described.get(alike)
        if found is None:
            found = _own(self.graph, members, inlining=self._inlining)
            if len(_described) >= _MOST_DESCRIBED:
                _described.clear()
            _described[alike] = found
        return found


@dataclass(frozen=True, slots=True)
class _Own:
    """What a kernel's own nodes alone make of it.

    Attributes:
        op, category, activation, loops: see :class:`KernelFacts`.
        row: the columns before ``_STATIC``.
    """

    op: str
    category: str
    activation: str
    row: NDArray[np.float64]
    loops: ProductLoops | None


_MOST_DESCRIBED = 16384  # about 30 MB
_described: dict[tuple[object, ...], _Own] = {}
"""What was found of nodes, by all that it depends on; emptied when it is full."""


class _Kernel(NamedTuple):
    """One kernel and what it reads and writes.

    Attributes:
        own: what does not depend on that.
        read_nodes: operators of other kernels that it reads from, each once.
        inputs: values that its operators read, weights not counted.
        outputs: values that its operators write.
        from_graph_input: whether it reads what the caller passes in; 1 or 0.
    """

    own: _Own
    read_nodes: tuple[int, ...]
    inputs: int
    outputs: int
    from_graph_input: float


def _own(graph: OpGraph, members: tuple[int, ...], *, inlining: bool) -> _Own:
    costs = [operator_cost(graph, index) for index in members]
    work = inline(graph, members, costs) if inlining else _counted(costs)
    main = _main_node(graph, members, work.flops)
    row = _static_row(graph, members, main, costs, work, moving_member(graph, members) if inlining else None)
    op = graph.nodes[main].op
    loops = product_loops(graph, main) if inlining else None
    return _Own(op, operator_category(op), _activation(graph, members, main), np.array(row, np.float64), loops)


def _counted(costs: Sequence[OperatorCost]) -> InlinedWork:
    """The work of a kernel of a library: what its operators count, and nothing in memory between them."""
    return InlinedWork(tuple(float(cost.flops) for cost in costs), 0)


def _main_node(graph: OpGraph, members: tuple[int, ...], work: Sequence[float]) -> int:
    if len(members) == 1:
        return members[0]
    place = max(
        range(len(members)),
        key=lambda place: (work[place], sum(kind.elements for kind in graph.nodes[members[place]].outputs)),
    )
    return members[place]


def _activation(graph: OpGraph, members: tuple[int, ...], main: int) -> str:
    named = graph.nodes[main].attribute_map.get("activation", "")
    if named:
        return str(named)
    for index in members:
        if index != main and operator_category(graph.nodes[index].op) == "activation":
            return graph.nodes[index].op
    return ""


def _static_row(
    graph: OpGraph,
    members: tuple[int, ...],
    main: int,
    costs: list[OperatorCost],
    work: InlinedWork,
    moving: int | None,
) -> Sequence[float]:
    """The columns that depend on the kernel's own nodes alone; ``moving`` says how the kernel reads, else ``main``."""
    node = graph.nodes[main]
    if len(members) == 1:
        traffic = (costs[0].input_bytes, costs[0].parameter_bytes, costs[0].output_bytes)
    else:
        crossing, parameter_bytes, written = _group_traffic(graph, members, costs)
        traffic = (crossing + work.kept_bytes, parameter_bytes, written + work.kept_bytes)
    shape = node_extents(node.op, node.attributes, graph.input_types(main), node.outputs)
    if moving is not None and moving != main:
        mover = graph.nodes[moving]
        moved = node_extents(mover.op, mover.attributes, graph.input_types(moving), mover.outputs)
        shape = tuple(moved[place] if place in _MOVES else extent for place, extent in enumerate(shape))
    constant = any(edge.source == PARAMETER for edge in node.inputs)
    activations = sum(operator_category(graph.nodes[index].op) == "activation" for index in members if index != main)
    attributes = node.attribute_map
    return (
        sum(work.flops),
        sum(cost.padding_flops for cost in costs),
        *traffic,
        *shape,
        float(attributes.get("layout") == "nchwc"),
        float(bool(attributes.get("generic", 0))),
        float(bool(attributes.get("fused_sum", 0))),
        len(members),
        activations + ("activation" in attributes),
        float(constant),
        float(bool(attributes.get("transA", 0))) + 2.0 * float(bool(attributes.get("transB", 0))),
        node.outputs[0].bytes / max(node.outputs[0].elements, 1) if node.outputs else 4.0,
    )


def _group_traffic(graph: OpGraph, members: tuple[int, ...], costs: list[OperatorCost]) -> tuple[int, int, int]:
    """Bytes that cross the border of a fused group: values made and used inside it stay in registers or cache."""
    inside = set(members)
    read = {
        edge: graph.type_of(edge).bytes
        for index in members
        for edge in graph.nodes[index].inputs
        if edge.source not in inside and edge.source != PARAMETER
    }
    outputs = {edge.source for edge in graph.outputs}
    written = sum(
        sum(kind.bytes for kind in graph.nodes[index].outputs)
        for index in members
        if index in outputs or any(reader not in inside for reader in graph.consumers[index])
    )
    return sum(read.values()), sum(cost.parameter_bytes for cost in costs), written


def _fill_context(plan: FusionPlan, kernels: Sequence[_Kernel], values: NDArray[np.float64]) -> Sources:
    """Fill the columns from ``inputs`` on; returns each kernel's sources.

    The age of an input is what ran since it was made: how many kernels, and how many bytes they touched. A young
    input is still in cache.
    """
    kernel_of = [0] * len(plan.graph.nodes)
    for position, members in enumerate(plan.kernels):
        for index in members:
            kernel_of[index] = position
    touched = values[:, 2] + values[:, 3] + values[:, 4]
    until = [0.0, *np.cumsum(touched).tolist()]  # bytes touched before kernel i
    sources: list[tuple[int, ...]] = []
    readers = [0] * len(kernels)
    rows = []
    for position, kernel in enumerate(kernels):
        found = tuple(sorted({kernel_of[index] for index in kernel.read_nodes}))
        sources.append(found)
        for source in found:
            readers[source] += 1
        youngest, oldest = (found[-1], found[0]) if found else (position, position)
        rows.append(
            (
                kernel.inputs,
                kernel.outputs,
                0.0,
                position - youngest,
                until[position] - until[youngest + 1] if found else 0.0,
                position - oldest,
                until[position] - until[oldest + 1] if found else 0.0,
                kernel.from_graph_input,
            )
        )
    if rows:
        values[:, _STATIC:] = rows
    values[:, _INDEX["consumers"]] = readers
    return tuple(sources)
