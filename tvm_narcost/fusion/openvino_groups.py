"""Kernels as OpenVINO fuses them: which operator joins which, decided in the order of the network."""

from collections.abc import Mapping, Sequence

from relay_frontend.graph import PARAMETER, Edge, OpGraph, OpNode
from relay_frontend.ops import operator_category
from tvm_narcost.fusion.openvino_chains import Chain
from tvm_narcost.fusion.openvino_in_place import find_splits, is_in_place
from tvm_narcost.fusion.openvino_layout import OWN_LOOPS, Layout, Layouts

__all__ = ["group_operators"]

_SMALL_EXTENT = 256


class _Groups:
    """A kernel for each operator, as far as it is decided.

    Attributes:
        free: operators that change the layout and move nothing.
        channels_last: operator -> whether its result lies channels last.
        open: operators that wait for those that read them.
        kernel_of: operator -> kernel, -1 where it is not decided.
        kind: kernel -> ``convolution``, ``product``, ``elementwise``, ``sum`` (that a convolution did not take in) ...
        tail: kernel -> the operator that others may be fused behind; -1 for none.
        bare: convolutions without an activation yet, which may take a sum in, and products, which may take another in.
        wide: kernels that write what lies inside of them as well, and so may not read what depends on that.
    """

    def __init__(self, graph: OpGraph, layouts: Layouts) -> None:
        self.graph = graph
        self.free = layouts.free
        self.channels_last = [layout is Layout.CHANNELS_LAST for layout in layouts.of]
        self.open = find_splits(graph)
        self.kernel_of = [-1] * len(graph.nodes)
        self.kind: dict[int, str] = {}
        self.tail: dict[int, int] = {}
        self.bare: set[int] = set()
        self.wide: set[int] = set()
        self._leaving = {edge.source for edge in graph.outputs}

    def start(self, members: Sequence[int], kind: str) -> int:
        """Make a kernel."""
        kernel = members[-1]
        self.kind[kernel] = kind
        self.join(kernel, members)
        return kernel

    def join(self, kernel: int, members: Sequence[int]) -> None:
        """Put operators behind a kernel."""
        for index in members:
            self.kernel_of[index] = kernel
        self.tail[kernel] = members[-1]

    def absorb(self, kernel: int, index: int) -> None:
        """Let ``kernel`` have all operators of the kernel of ``index`` too."""
        other = self.kernel_of[index]
        self.kernel_of = [kernel if found == other else found for found in self.kernel_of]

    def is_alone(self, source: int, readers: Sequence[int]) -> bool:
        """Whether only ``readers`` read what operator ``source`` writes."""
        return source not in self._leaving and set(self.graph.consumers[source]) <= set(readers)

    def is_transpose(self, source: int) -> bool:
        """Whether an operator is a Transpose that moves data, in a kernel of its own."""
        kernel = self.kernel_of[source] if source >= 0 else -1
        return self.kind.get(kernel) == "transpose" and self.tail[kernel] == source

    def behind(self, edge: Edge, members: Sequence[int], edges: int) -> int | None:
        """The kernel at whose end ``edge`` is written, if only ``members`` read it, which read so many values."""
        if edge.source in self.free:  # activations of several operators go on behind the transpose
            while edge.source in self.free and self.kernel_of[edge.source] < 0:
                edge = self.graph.nodes[edge.source].inputs[0]
            kernel = self.kernel_of[edge.source] if edge.source >= 0 else -1
            return kernel if len(members) > 1 and self.tail.get(kernel) == edge.source else None
        if edge.source < 0:
            return None
        kernel = self.kernel_of[edge.source]
        normalizes = self.graph.nodes[members[0]].op == "BatchNormalization"
        if (
            self.kind.get(kernel) == "elementwise" and edges == 1 and not normalizes
        ):  # it may write what lies inside as well
            return kernel if self.tail[kernel] >= 0 else None
        return kernel if self.tail.get(kernel) == edge.source and self.is_alone(edge.source, members) else None


def group_operators(graph: OpGraph, chains: Mapping[int, Chain], layouts: Layouts) -> list[int]:
    """The kernel of every operator of a canonical graph; -1 of one that reads nothing."""
    groups = _Groups(graph, layouts)
    for index in range(len(graph.nodes)):
        chain = chains.get(index)
        if chain is None:
            _place(groups, index)
        elif index == chain.members[-1]:
            _place_chain(groups, chain)
    for index in reversed(range(len(graph.nodes))):
        if groups.kernel_of[index] < 0 and graph.nodes[index].inputs:
            _place_open(groups, index)
    return groups.kernel_of


def _place_free(groups: _Groups, index: int) -> None:
    """What moves nothing goes to what reads it; before a view that does not, to what it reads."""
    graph = groups.graph
    readers, source = graph.consumers[index], graph.nodes[index].inputs[0].source
    renamed = readers and operator_category(graph.nodes[readers[0]].op) == "view" and readers[0] not in groups.free
    if source >= 0 and (renamed or not readers):
        groups.kernel_of[index] = groups.kernel_of[source]


def _place_open(groups: _Groups, index: int) -> None:
    """What was left open goes to the one kernel that reads it, else to what it reads."""
    graph = groups.graph
    readers = {groups.kernel_of[reader] for reader in graph.consumers[index]}
    source = graph.nodes[index].inputs[0].source
    if len(readers) == 1 or (readers and source < 0):
        groups.kernel_of[index] = min(readers)
    elif source >= 0 and groups.kernel_of[source] >= 0:
        groups.kernel_of[index] = groups.kernel_of[source]
    else:
        groups.start([index], "view")


def _place_chain(groups: _Groups, chain: Chain) -> None:
    graph, members = groups.graph, chain.members
    if chain.kind == "attention":
        _place_attention(groups, chain)
    elif chain.kind == "activation":
        _place_elementwise(groups, members)
    elif chain.kind == "shuffle":
        groups.start(members, "shuffle")
    else:
        kernel = groups.start(members, "normalization")
        readers = graph.consumers[members[-1]]
        scaled = chain.kind == "rms" or len(graph.nodes[members[-1]].outputs[0].shape) > 3
        alone = len(readers) == 1 and groups.is_alone(members[-1], readers)
        if scaled and alone and graph.nodes[readers[0]].op == "Mul" and _has_constant(graph.nodes[readers[0]]):
            groups.join(kernel, readers)


def _place_attention(groups: _Groups, chain: Chain) -> None:
    """Transposes before it are a part of it, and a scale between the two."""
    graph = groups.graph
    kernel = groups.start(chain.members, "attention")
    for product in (chain.members[0], chain.members[-1]):
        for edge in graph.nodes[product].inputs:
            source = edge.source
            if source < 0 or source in chain.members or not groups.is_alone(source, (product,)):
                continue
            transpose = _scaled_transpose(groups, source)
            if transpose is not None:
                groups.absorb(kernel, source)
                source = transpose
            if groups.is_transpose(source):
                groups.absorb(kernel, source)


def _scaled_transpose(groups: _Groups, index: int) -> int | None:
    """The Transpose whose result ``index`` multiplies by a constant, in a kernel of its own."""
    node = groups.graph.nodes[index]
    alone = groups.kernel_of[index] == groups.tail.get(index) == index
    if node.op not in ("Mul", "Div") or not _has_constant(node) or not alone:
        return None
    source = max(edge.source for edge in node.inputs)
    return source if source >= 0 and groups.graph.nodes[source].op == "Transpose" else None


def _has_constant(node: OpNode) -> bool:
    return any(edge.source == PARAMETER for edge in node.inputs)


def _place(groups: _Groups, index: int) -> None:
    graph, node = groups.graph, groups.graph.nodes[index]
    if groups.kernel_of[index] >= 0 or not node.inputs or index in groups.open:
        return
    category = operator_category(node.op)
    if index in groups.free:
        _place_free(groups, index)
    elif category == "view" or is_in_place(graph, index, channels_last=groups.channels_last[index]):
        kernel = max((groups.kernel_of[edge.source] for edge in node.inputs if edge.source >= 0), default=-1)
        if kernel >= 0:
            groups.kernel_of[index] = kernel
            groups.tail[kernel] = -1
    elif node.op == "Transpose":
        kernel = groups.kernel_of[node.inputs[0].source] if node.inputs[0].source >= 0 else -1
        if groups.kind.get(kernel) == "attention" and groups.tail[kernel] == node.inputs[0].source:
            groups.join(kernel, [index])
        else:
            groups.start([index], "transpose")
    elif category == "convolution":
        _place_convolution(groups, index)
    elif category == "matmul":
        _place_product(groups, index)
    elif category in ("elementwise", "activation") or node.op == "BatchNormalization":
        _place_elementwise(groups, (index,))
    else:
        groups.start([index], category)


def _place_convolution(groups: _Groups, index: int) -> None:
    kernel = groups.start([index], "convolution")
    groups.bare.add(kernel)
    source = groups.graph.nodes[index].inputs[0].source
    if source >= 0 and groups.graph.nodes[source].op == "Pad" and groups.is_alone(source, (index,)):
        groups.absorb(kernel, source)


def _place_product(groups: _Groups, index: int) -> None:
    graph, node = groups.graph, groups.graph.nodes[index]
    before = groups.behind(node.inputs[0], (index,), 2) if node.inputs[0].source >= 0 else None
    if before in groups.bare and _is_small(graph, before) and _is_small(graph, index):
        groups.join(before, [index])
        groups.bare.discard(before)
        return
    kernel = groups.start([index], "product" if _has_constant(node) else "activation product")
    if _is_small(graph, index):
        groups.bare.add(kernel)
    for edge in node.inputs:
        if groups.is_transpose(edge.source) and groups.is_alone(edge.source, (index,)):
            groups.absorb(kernel, edge.source)


def _is_small(graph: OpGraph, index: int) -> bool:
    """A product of one row with small weights: two of them, an activation between, are one kernel."""
    node = graph.nodes[index]
    read, written = graph.type_of(node.inputs[0]).shape, node.outputs[0].shape
    rows = operator_category(node.op) == "matmul" and len(read) == len(written) == 2 and written[0] == 1
    return rows and _has_constant(node) and max(*read, *written) <= _SMALL_EXTENT


def _place_elementwise(groups: _Groups, members: Sequence[int]) -> None:
    graph = groups.graph
    read = [edge for index in members for edge in graph.nodes[index].inputs]
    data = list(dict.fromkeys(edge for edge in read if edge.source != PARAMETER and edge.source not in members))
    node = graph.nodes[members[-1]]
    if len(members) == 1 and node.op in OWN_LOOPS:
        groups.start(members, "loop")
        return
    if node.op == "Relu" and data and data[0].source >= 0 and graph.nodes[data[0].source].op == "Relu":
        groups.kernel_of[members[0]] = groups.kernel_of[data[0].source]  # it changes nothing
        return
    found = [(edge, kernel) for edge in data if (kernel := groups.behind(edge, members, len(data))) is not None]
    for edge, kernel in sorted(found, key=lambda item: groups.kind[item[1]] != "convolution"):
        if _takes(groups, kernel, edge, members, data):
            if groups.tail[kernel] != edge.source or not groups.is_alone(edge.source, members):
                groups.wide.add(kernel)
            groups.join(kernel, members)
            plain = len(members) == len(data) == 1 and _has_constant(graph.nodes[members[0]])
            if groups.kind[kernel] == "convolution" and not plain:
                groups.bare.discard(kernel)
            return
    refused = any(kernel in groups.bare and groups.kind[kernel] == "convolution" for _, kernel in found)
    groups.start(members, "sum" if refused and node.op == "Add" else "elementwise")


def _takes(groups: _Groups, kernel: int, edge: Edge, members: Sequence[int], data: Sequence[Edge]) -> bool:
    """Whether what a kernel writes to ``edge`` goes on into ``members`` without leaving it.

    A convolution takes one sum in and writes over its other operand, which therefore nobody may still have to read.
    """
    graph, kind = groups.graph, groups.kind[kernel]
    node = graph.nodes[members[-1]]
    if graph.type_of(edge) != node.outputs[0]:
        return False
    if kind == "elementwise":
        return len(data) == 1 or kernel not in groups.wide
    if kind == "convolution" and len(data) == 2:
        other = next(item for item in data if item != edge)
        own = graph.nodes[kernel].inputs[0]
        same = graph.type_of(other) == graph.type_of(edge) and other != own
        return kernel in groups.bare and node.op == "Add" and same and _is_read_before(groups, other, kernel, members)
    return kind in ("convolution", "product", "sum") and len(data) == 1


def _is_read_before(groups: _Groups, edge: Edge, kernel: int, members: Sequence[int]) -> bool:
    """Whether a convolution depends on all who read a value, but for ``members``."""
    graph = groups.graph
    others = {reader for reader in graph.consumers[edge.source] if reader not in members} if edge.source >= 0 else set()
    pending, seen = [kernel], {kernel}
    while pending and not others <= seen:
        for source in graph.predecessors(pending.pop()):
            if source not in seen and source > edge.source:
                seen.add(source)
                pending.append(source)
    return others <= seen
