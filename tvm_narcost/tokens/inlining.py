"""Work of a kernel that a compiler makes of several operators by inlining them into one another, as TVM does.

An inlined value is computed where it is read, which may be more often than it has elements: a scaled row that is added
to every row of a matrix is scaled anew for each. What is dear to compute (an exponential) and read more often than it
has elements is not inlined: it gets a buffer and loops of its own inside of the kernel, as apart from it. That is the
rule of hook/schedules/injective.py. And a transpose inlined into arithmetic makes the arithmetic read with its strides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hardware_profiles import HardwareProfile
from relay_frontend.costs import OperatorCost
from relay_frontend.graph import OpGraph
from relay_frontend.ops import operator_category

__all__ = ["InlinedWork", "inline", "inlines", "moving_member"]

_MOVING = frozenset({"data_movement", "view", "layout"})
_INJECTIVE = _MOVING | {"elementwise", "activation"}

# How many multiply-adds go into the time of one such function: a polynomial, a division, a call of the C library.
_INSTRUCTIONS = {
    "Exp": 16, "Log": 16, "Sigmoid": 20, "Tanh": 16, "Erf": 16, "Softplus": 32, "Sin": 16, "Cos": 16, "Atan": 16,
    "Pow": 32, "Sqrt": 4, "Div": 4, "Mod": 4, "Softmax": 4,
}  # fmt: skip
_CHEAP = frozenset({"Div", "Softmax"})  # of those above; the others are not computed twice


def inlines(profile: HardwareProfile) -> bool:
    """Whether a profile's runtime makes its kernels so; others call a library's, with what it can take in."""
    return profile.runtime.name == "tvm"


@dataclass(frozen=True, slots=True)
class InlinedWork:
    """What a kernel's members come to.

    Attributes:
        flops: of each member: counted as often as its elements are computed, a transcendental function as the
            multiply-adds that it takes.
        kept_bytes: of values that are written and read inside of the kernel.
    """

    flops: tuple[float, ...]
    kept_bytes: int


def inline(graph: OpGraph, members: Sequence[int], counted: Sequence[OperatorCost]) -> InlinedWork:
    """The work of a kernel; ``members`` are its nodes, ascending, and ``counted`` is what each costs by itself."""
    costs = [
        cost.flops * _INSTRUCTIONS.get(graph.nodes[index].op, 1) for index, cost in zip(members, counted, strict=True)
    ]
    if len(members) == 1:
        return InlinedWork((float(costs[0]),), 0)
    inlined, kept = _inlined_and_kept(graph, members)
    computed: dict[int, int] = {}
    for index in reversed(members):
        # Of several readers in one loop the one that asks for most counts: the compiler sees the common expression.
        reads = [_volume(graph, reader, index) for reader in graph.consumers[index]] if index in inlined else []
        again = [computed[reader] for reader in graph.consumers[index] if index in inlined and reader in inlined]
        computed[index] = max([_elements(graph, index), *reads, *again])
    flops = [
        cost * computed[index] / max(_elements(graph, index), 1) for cost, index in zip(costs, members, strict=True)
    ]
    return InlinedWork(tuple(flops), sum(kind.bytes for index in kept for kind in graph.nodes[index].outputs))


def moving_member(graph: OpGraph, members: Sequence[int]) -> int | None:
    """The member that permutes the largest value, None where none permutes any."""
    moving = [index for index in members if graph.nodes[index].op == "Transpose"]
    return max(moving, key=lambda index: _elements(graph, index), default=None)


def _inlined_and_kept(graph: OpGraph, members: Sequence[int]) -> tuple[set[int], set[int]]:
    """Members that are computed where they are read, and those that get a buffer inside of the kernel."""
    inside, written = set(members), {edge.source for edge in graph.outputs}
    inlined: set[int] = set()
    kept: set[int] = set()
    dear: set[int] = set()
    for index in members:
        node, readers = graph.nodes[index], graph.consumers[index]
        is_dear = node.op in _INSTRUCTIONS and node.op not in _CHEAP
        if is_dear or any(edge.source in dear and edge.source in inlined for edge in node.inputs):
            dear.add(index)
        is_stored = index in written or not readers or any(reader not in inside for reader in readers)
        if is_stored or not _is_injective(graph, index):
            continue
        reads = sum(
            _volume(graph, reader, index) * sum(edge.source == index for edge in graph.nodes[reader].inputs)
            for reader in readers
        )
        is_cheap = index not in dear and all(_is_injective(graph, reader) for reader in readers)
        moves = operator_category(node.op) in _MOVING
        (inlined if moves or is_cheap or reads <= _elements(graph, index) else kept).add(index)
    return inlined, kept


def _is_injective(graph: OpGraph, index: int) -> bool:
    return operator_category(graph.nodes[index].op) in _INJECTIVE


def _volume(graph: OpGraph, reader: int, read: int) -> int:
    """How often the innermost loop of ``reader`` asks for an element of ``read``, as far as types tell."""
    own = _elements(graph, reader)
    return own if _is_injective(graph, reader) else max(own, _elements(graph, read))


def _elements(graph: OpGraph, index: int) -> int:
    return sum(kind.elements for kind in graph.nodes[index].outputs)
