"""In which order OpenVINO's values lie in memory, and where they have to be moved.

Convolutions read and write channels last. Pools, sums, activations and their kin follow what they read; everything
else is row-major, as ONNX has it. A Transpose between the two orders costs nothing when one operator alone reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

from relay_frontend.graph import PARAMETER, Edge, OpGraph, OpNode, TensorType
from relay_frontend.ops import operator_category
from tvm_narcost.fusion.openvino_chains import Chain
from tvm_narcost.fusion.partition import Reorder

__all__ = ["OWN_LOOPS", "Layout", "Layouts", "find_layouts", "find_reorders"]

OWN_LOOPS = ("HardSigmoid", "Neg", "Reciprocal", "Selu", "Sign", "Sin", "Cos", "Tan", "Softsign", "Cast")
"""Run by plain loops of their own; all but the last two read row-major data."""
_BLOCK = 16
_FOLLOWING = ("pooling", "resize", "elementwise", "activation", "reduction")
_FOLLOWING_OPS = ("BatchNormalization", "Concat", "Slice", "Split", "Pad", "DepthToSpace", "SpaceToDepth")


class Layout(Enum):
    """Of a value. ``RENAMED`` is the view of one in another layout, which has to be moved before it is read."""

    PLAIN = 0
    CHANNELS_LAST = 1
    BLOCKED = 2  # sixteen channels together
    RENAMED = 3


@dataclass(frozen=True, slots=True)
class Layouts:
    """Layouts of a network.

    Attributes:
        of: layout of what each node writes.
        free: transposes, and reshapes beside them, that turn one layout into the other and so move nothing.
    """

    of: tuple[Layout, ...]
    free: frozenset[int]


def find_layouts(graph: OpGraph, chains: Mapping[int, Chain]) -> Layouts:
    """Decide for every node, given the chains that are computed as one."""
    of: list[Layout] = []
    for index, node in enumerate(graph.nodes):
        of.append(_layout(graph, node, of, shuffled=index in chains and chains[index].kind == "shuffle"))
    finder = _FreeTransposes(graph, chains, of, set())
    for index, node in enumerate(graph.nodes):
        if node.op == "Transpose" and node.inputs and index not in chains:
            finder.look_towards(index)
            finder.look_from(index)
    return Layouts(tuple(of), frozenset(finder.free))


def _layout(graph: OpGraph, node: OpNode, of: Sequence[Layout], *, shuffled: bool) -> Layout:
    category = operator_category(node.op)
    if category == "convolution":
        return Layout.CHANNELS_LAST
    read = [of[edge.source] for edge in node.inputs if edge.source >= 0]
    if shuffled:
        return read[0] if read else Layout.PLAIN
    if category == "view":
        moved = bool(read) and read[0] is not Layout.PLAIN
        renamed = moved and (read[0] is Layout.RENAMED or _moves(graph.type_of(node.inputs[0])))
        return Layout.RENAMED if renamed else Layout.PLAIN
    if node.op == "LRN":
        return Layout.BLOCKED if node.outputs[0].shape[1] % _BLOCK == 0 else Layout.PLAIN
    if _follows(node) and len(node.outputs[0].shape) > 2:
        return next((layout for layout in read if layout in (Layout.CHANNELS_LAST, Layout.BLOCKED)), Layout.PLAIN)
    return Layout.PLAIN


def _follows(node: OpNode) -> bool:
    if node.op in OWN_LOOPS[:-2]:
        return False
    if operator_category(node.op) == "reduction":
        return bool(node.attribute_map.get("keepdims", 1))
    return operator_category(node.op) in _FOLLOWING or node.op in _FOLLOWING_OPS


def _moves(kind: TensorType) -> bool:
    """Whether channels last is another order than row-major: not for one channel, nor for one pixel."""
    return len(kind.shape) > 2 and kind.shape[1] > 1 and prod(kind.shape[2:]) > 1


@dataclass(frozen=True, slots=True)
class _FreeTransposes:
    """Looks for transposes that turn one layout into the other; writes down what it finds."""

    graph: OpGraph
    chains: Mapping[int, Chain]
    of: list[Layout]
    free: set[int]

    def _only_reader(self, index: int) -> int | None:
        """The one operator that reads it; a chain that reads its input once counts as one."""
        readers = self.graph.consumers[index]
        units = {self._unit(reader) for reader in readers}
        leaves = any(edge.source == index for edge in self.graph.outputs)
        twice = any(self.graph.nodes[reader].op == "LayerNormalization" and self._is_deep(reader) for reader in readers)
        return readers[0] if len(units) == 1 and not leaves and not twice else None

    def _is_deep(self, reader: int) -> bool:
        """Of more than three axes, where a normalisation becomes operators that read its input several times."""
        return len(self.graph.nodes[reader].outputs[0].shape) > 3

    def _unit(self, reader: int) -> int:
        chain = self.chains.get(reader)
        if chain is None or chain.kind == "rms":
            return reader
        return reader if chain.kind == "normalization" and self._is_deep(reader) else chain.members[-1]

    def look_towards(self, index: int) -> None:
        """A Transpose of row-major data, channels to the front, that only operators with channels last read."""
        graph, node = self.graph, self.graph.nodes[index]
        kind = node.outputs[0]
        rank, source = len(kind.shape), node.inputs[0].source
        plain = source < 0 or self.of[source] is Layout.PLAIN
        leaves = any(edge.source == index for edge in graph.outputs)
        if node.attribute_map.get("perm") != (0, rank - 1, *range(1, rank - 1)) or not plain or leaves:
            return
        chain = [index]
        readers = graph.consumers[index]
        unfolds = rank == 3 and len(readers) == 1 and graph.nodes[readers[0]].op == "Reshape"
        if unfolds and graph.nodes[readers[0]].outputs[0].shape[:2] == kind.shape[:2]:
            chain.append(readers[0])
            readers = graph.consumers[readers[0]]
        if readers and all(self.of[reader] is Layout.CHANNELS_LAST for reader in readers):
            self.free.update(chain)
            for member in chain:
                self.of[member] = Layout.CHANNELS_LAST

    def look_from(self, index: int) -> None:
        """A Transpose of data with channels last, channels to the back, that one operator alone reads, or none."""
        graph, node = self.graph, self.graph.nodes[index]
        rank, source = len(node.outputs[0].shape), node.inputs[0].source
        back = node.attribute_map.get("perm") == (0, *range(2, rank), 1)
        if not back or source < 0 or (graph.consumers[index] and self._only_reader(index) is None):
            return
        if self.of[source] is Layout.CHANNELS_LAST:
            self.free.add(index)
        elif self.of[source] is Layout.RENAMED and rank == 3 and self._only_reader(source) == index:
            before = graph.type_of(graph.nodes[source].inputs[0]).shape
            if before[:2] == graph.nodes[source].outputs[0].shape[:2]:
                self.free.update((source, index))
                self.of[source] = Layout.PLAIN


def find_reorders(graph: OpGraph, kernel_of: Sequence[int], layouts: Layouts) -> list[Reorder]:
    """The changes of layout between kernels, each value moved once in each direction."""
    wanted: dict[tuple[Edge, str], set[int]] = {}
    for index, node in enumerate(graph.nodes):
        if index in layouts.free or operator_category(node.op) == "view":
            continue
        wants = _wanted(graph, index, layouts)
        for edge in node.inputs:
            inside = edge.source >= 0 and kernel_of[edge.source] == kernel_of[index]
            op = "" if inside or edge.source == PARAMETER else _change(graph, edge, layouts, wants)
            if op:
                wanted.setdefault((edge, op), set()).add(kernel_of[index])
    found = [Reorder(edge, frozenset(kernels), op) for (edge, op), kernels in wanted.items()]
    for edge in dict.fromkeys(edge for edge in graph.outputs if edge.source != PARAMETER):
        op = _change(graph, edge, layouts, Layout.PLAIN)
        if op:
            found.append(Reorder(edge, frozenset(), op))
    return found


def _wanted(graph: OpGraph, index: int, layouts: Layouts) -> Layout:
    """The layout that a node reads: the one that it writes, unless it takes any, as transposes do."""
    node = graph.nodes[index]
    if node.op == "Transpose" or operator_category(node.op) == "reduction":
        read = [layouts.of[edge.source] for edge in node.inputs if edge.source >= 0]
        return Layout.PLAIN if not read or read[0] is Layout.RENAMED else read[0]
    return layouts.of[index]


def _change(graph: OpGraph, edge: Edge, layouts: Layouts, wants: Layout) -> str:
    """The Reorder that a reader of ``edge`` needs which wants this layout; empty for none."""
    layout = layouts.of[edge.source] if edge.source >= 0 else Layout.PLAIN
    if layout is Layout.RENAMED:
        return "ReorderOutput"
    if layout is wants or not _moves(graph.type_of(edge)):
        return ""
    return "ReorderOutput" if wants is Layout.PLAIN else "ReorderInput"
