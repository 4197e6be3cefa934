"""The kernels that OpenVINO runs, told in terms of the network's own operators.

Each node of the execution graph that runs code is a kernel, made of the operators that it was made from. Where the two
graphs do not match one to one, every operator still has a kernel and every microsecond one too:

- An operator that became several nodes (LayerNormalization: MVN and a product) is one kernel with all their time,
  unless a later node computes other operators as well: that one is the kernel of those.
- An operator that runs no code (a reshape, a concatenation in place, what was folded away) is in the kernel of what
  it reads last.
- A Reorder that moves data to another layout is an operator of the plan's own graph, ReorderInput or ReorderOutput.
- Other nodes that stand for no operator (a conversion of ids, a scale taken out of an attention, a copy) give their
  time to the kernel that reads what they write.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from relay_frontend.errors import PlanError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph
from relay_frontend.ops import operator_category
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import MeasurementError
from tvm_narcost.fusion.duplicates import find_duplicates
from tvm_narcost.fusion.partition import Reorder, arrange_partition
from tvm_narcost.measure.runtimes.openvino_graph import ExecutedNode
from tvm_narcost.measure.runtimes.openvino_layout import moves, plain_layout

__all__ = ["OpenVinoPlan", "plan_nodes"]

_OUTSIDE = ("Input", "Const", "Output", "Result")
_IN_PLACE = "unknown"
_MERGED = "_fake"  # a Reorder that together with a Transpose moves nothing, or all at once
_ELEMENTWISE = ("activation", "elementwise", "normalization")
_ALONE = ("data_movement", "pooling", "resize")
_WEIGHTED = ("convolution", "matmul")


@dataclass(frozen=True, slots=True)
class OpenVinoPlan:
    """A plan, and what its kernels are in the execution graph.

    Attributes:
        plan: over the network's operators and the Reorders that OpenVINO inserts.
        members: names of the executed nodes of each kernel, in the plan's order; empty for one that runs no code.
    """

    plan: FusionPlan
    members: tuple[tuple[str, ...], ...]


def plan_nodes(
    graph: OpGraph, operator_of: Mapping[int, tuple[int, bool]], executed: Sequence[ExecutedNode]
) -> OpenVinoPlan:
    """The plan of a network that OpenVINO has compiled.

    Args:
        graph: the network, canonicalised.
        operator_of: index of an ONNX node -> index of a node of ``graph``, and whether the latter was read from it,
            rather than from one before it that it hands on or is folded into.
        executed: the execution graph, in order.

    Raises:
        MeasurementError: kernels read from each other, so that they have no order.
    """
    running, in_place = _active(executed)
    groups = _Groups(graph, operator_of, running)
    groups.place_copying_concatenations(in_place)
    groups.place_idle_operators(
        {operator_of[origin][0] for node in in_place for origin in node.origins if origin in operator_of}
    )
    groups.place_helpers(_Flow(executed, running))
    return _assemble(groups)


def _active(executed: Sequence[ExecutedNode]) -> tuple[list[ExecutedNode], list[ExecutedNode]]:
    """The nodes that run code in each inference, and those that only rename memory; constant ones are neither."""
    constant: set[str] = set()
    running, in_place = [], []
    for node in executed:
        if node.kind == "Const" or (node.inputs and all(name in constant for name, _ in node.inputs)):
            constant.add(node.name)
        elif node.kind in _OUTSIDE:
            continue
        elif node.primitive.startswith(_IN_PLACE) and node.kind != "Transpose":  # a Transpose does not tell
            in_place.append(node)
        else:
            running.append(node)
    return running, in_place


class _Flow:
    """Who reads whom among the nodes that run, seen through those that only rename memory."""

    def __init__(self, executed: Sequence[ExecutedNode], running: Sequence[ExecutedNode]) -> None:
        self.nodes = {node.name: node for node in executed}
        self._running = {node.name for node in running}
        self._readers: dict[str, list[str]] = {node.name: [] for node in executed}
        for node in executed:
            for name, _ in node.inputs:
                self._readers[name].append(node.name)

    def writer(self, node: ExecutedNode) -> ExecutedNode | None:
        """What writes the first input of ``node``: a node that runs or an Input; None for a constant."""
        while node.inputs:
            node = self.nodes[node.inputs[0][0]]
            if node.name in self._running or node.kind == "Input":
                return node
        return None

    def readers(self, node: ExecutedNode) -> Iterator[ExecutedNode]:
        """The nodes that read what ``node`` writes, and run or are an output."""
        for name in self._readers[node.name]:
            reader = self.nodes[name]
            if name in self._running or not self._readers[name]:
                yield reader
            else:
                yield from self.readers(reader)

    def layout_before(self, node: ExecutedNode) -> str:
        """The layout that ``node`` reads its first input in."""
        name, port = node.inputs[0]
        layouts = self.nodes[name].layout.split(",")
        return layouts[port] if port < len(layouts) else layouts[0]


class _Groups:
    """Kernels in the making: operators by executed node.

    Attributes:
        graph: grows by the Reorders that are inserted.
        kernel_of: operator -> kernel; a kernel is the index of an executed node, or a number after them.
        members: kernel -> names of its executed nodes.
    """

    def __init__(
        self, graph: OpGraph, operator_of: Mapping[int, tuple[int, bool]], running: Sequence[ExecutedNode]
    ) -> None:
        self.graph = graph
        self.running = running
        self.kernel_of: dict[int, int] = {}
        self.members: dict[int, list[str]] = {}
        self.reorders: list[tuple[Reorder, str]] = []
        self._operator_of = operator_of
        self._operators = [
            tuple(dict.fromkeys(operator_of[origin][0] for origin in node.origins if origin in operator_of))
            for node in running
        ]
        claims: dict[int, list[tuple[bool, int, int]]] = {}
        for place, node in enumerate(running):
            for operator, direct in (operator_of[origin] for origin in node.origins if origin in operator_of):
                if node.kind == "Transpose" and graph.nodes[operator].op != "Transpose":
                    continue  # put before a product, and named after it
                claims.setdefault(operator, []).append((not direct, len(self._operators[place]), place))
        for operator, found in claims.items():
            *_, home = min(found)  # the node that does least besides
            self.kernel_of[operator] = home
            self.members.setdefault(home, [running[home].name])
        self.kernel_at = {running[kernel].name: kernel for kernel in self.members}

    def place_copying_concatenations(self, in_place: Sequence[ExecutedNode]) -> None:
        """A concatenation in place whose inputs are copied to where they belong is a kernel made of these copies."""
        places = {node.name: place for place, node in enumerate(self.running)}
        for node in in_place:
            copies = dict.fromkeys(name for name, _ in node.inputs if name in places and name not in self.kernel_at)
            operators = [self._operator_of[origin][0] for origin in node.origins if origin in self._operator_of]
            if node.kind != "Concatenation" or not copies or not operators or operators[0] in self.kernel_of:
                continue
            kernel = places[next(iter(copies))]
            self.kernel_of[operators[0]] = kernel
            self.members[kernel] = list(copies)
            self.kernel_at.update(dict.fromkeys(copies, kernel))

    def place_idle_operators(self, in_place: Collection[int]) -> None:
        """Operators that no node tells of join a kernel that others make.

        A node that computes several operators most often keeps the name of the last, so that one without a trace
        belongs to what alone reads it. Otherwise it joins the last kernel that it reads from: when several kernels
        read it, when it is ``in_place``, when it is an activation or sum before a pool or an operator with weights,
        since those take in what follows at most, never what goes before. One that computes what another
        computes is where that one is. At the start of a network it joins the first that reads it.
        """
        graph = self.graph
        idle = [index for index in range(len(graph.nodes)) if index not in self.kernel_of]
        duplicates = find_duplicates(graph)
        kinds = {index: duplicates.get(index, index) for index in (*duplicates, *duplicates.values())}
        homes = {kinds[index]: kernel for index, kernel in self.kernel_of.items() if index in kinds}
        leaving = {edge.source for edge in graph.outputs}
        for index in reversed(idle):
            if index not in (*in_place, *leaving, *kinds) and not self._feeds_others(index):
                readers = {self.kernel_of.get(reader, -1) for reader in graph.consumers[index]}
                if len(readers) == 1 and -1 not in readers:
                    self.kernel_of[index] = readers.pop()
        for index in idle:
            if kinds.get(index) in homes:
                self.kernel_of[index] = homes[kinds[index]]
            found = [self.kernel_of[source] for source in graph.predecessors(index) if source in self.kernel_of]
            if found and index not in self.kernel_of:
                self.kernel_of[index] = max(found)
        for index in reversed(idle):
            found = [self.kernel_of[reader] for reader in graph.consumers[index] if reader in self.kernel_of]
            if found and index not in self.kernel_of:
                self.kernel_of[index] = min(found)
        for index in idle:
            if index not in self.kernel_of:  # a network that only renames memory
                self.kernel_of[index] = len(self.running) + index
                self.members[len(self.running) + index] = []

    def _feeds_others(self, index: int) -> bool:
        """Whether an elementwise operator is read by one that takes none in, such as a product with weights."""
        nodes = self.graph.nodes
        readers = [nodes[reader] for reader in self.graph.consumers[index]]
        return operator_category(nodes[index].op) in _ELEMENTWISE and any(
            operator_category(reader.op) in _ALONE
            or (operator_category(reader.op) in _WEIGHTED and any(edge.source == PARAMETER for edge in reader.inputs))
            for reader in readers
        )

    def place_helpers(self, flow: _Flow) -> None:
        """Give each node without an operator of its own to a kernel, or insert it as a Reorder."""
        helpers = [node for node in self.running if node.name not in self.kernel_at]
        for node, operators in zip(self.running, self._operators, strict=True):
            if operators and node.name not in self.kernel_at:
                self._join(node, self.kernel_of[operators[0]])
        for node in reversed(helpers):  # a chain of them ends at the kernel that it leads to
            if node.name in self.kernel_at or (node.kind == "Reorder" and self._insert(node, flow)):
                continue
            after = [self.kernel_at[reader.name] for reader in flow.readers(node) if reader.name in self.kernel_at]
            before = flow.writer(node)
            if after:
                self._join(node, min(after))
            elif before is not None and before.name in self.kernel_at:
                self._join(node, self.kernel_at[before.name])

    def _join(self, node: ExecutedNode, kernel: int) -> None:
        self.members[kernel].append(node.name)
        self.kernel_at[node.name] = kernel

    def _insert(self, node: ExecutedNode, flow: _Flow) -> bool:
        """Put a Reorder that moves data on the edge that it stands on; False where there is none such."""
        if node.name.endswith(_MERGED) or not moves(node.shape, flow.layout_before(node), node.layout):
            return False
        writer = flow.writer(node)
        readers = list(flow.readers(node))
        kernels = {self.kernel_at[reader.name] for reader in readers if reader.name in self.kernel_at}
        leaves = any(reader.name not in self.kernel_at for reader in readers)
        found = self._edge_between(writer, kernels, leaves, prod(node.shape))
        if found is None:
            return False
        op = "ReorderOutput" if node.layout == plain_layout(len(node.shape)) else "ReorderInput"
        self.reorders.append((Reorder(found, frozenset(kernels), op), node.name))
        return True

    def _edge_between(self, writer: ExecutedNode | None, kernels: set[int], leaves: bool, elements: int) -> Edge | None:
        """The value of so many elements that goes from ``writer`` to ``kernels``, or out of the network."""
        if writer is None:
            return None
        inputs = {name: slot for slot, (name, _) in enumerate(self.graph.inputs)}
        source = self.kernel_at.get(writer.name)

        def fits(edge: Edge) -> bool:
            if self.graph.type_of(edge).elements != elements:
                return False
            if writer.kind == "Input":
                return edge.source == GRAPH_INPUT and edge.slot == inputs.get(writer.name)
            return edge.source >= 0 and self.kernel_of[edge.source] == source

        for index, node in enumerate(self.graph.nodes):
            if self.kernel_of[index] in kernels and self.kernel_of[index] != source:
                for edge in node.inputs:
                    if fits(edge):
                        return edge
        return next(filter(fits, self.graph.outputs), None) if leaves else None


def _assemble(groups: _Groups) -> OpenVinoPlan:
    graph = groups.graph
    owners = [groups.kernel_of[index] for index in range(len(graph.nodes))]
    try:
        plan, kernels = arrange_partition(graph, owners, [reorder for reorder, _ in groups.reorders], "openvino")
    except PlanError as error:
        raise MeasurementError(f"OpenVINO's {error}: narcost cannot plan this network for it") from error
    members = groups.members | {-1 - number: [name] for number, (_, name) in enumerate(groups.reorders)}
    return OpenVinoPlan(plan, tuple(tuple(members[kernel]) for kernel in kernels))
