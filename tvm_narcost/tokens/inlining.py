"""Work of a kernel that a compiler makes of several operators by inlining them into one loop nest, as TVM does.

An inlined value is computed where it is read: a chain of exponentials over a row, broadcast against a matrix, runs once
for each element of the matrix. Run apart it is computed once and read from memory. And the loops of a transpose that is
inlined into arithmetic are the arithmetic's loops.
"""

from collections.abc import Sequence

from relay_frontend.costs import operator_cost
from relay_frontend.graph import OpGraph
from relay_frontend.ops import operator_category

__all__ = ["INLINING_RUNTIMES", "inlined_flops", "moving_member"]

INLINING_RUNTIMES = frozenset({"tvm"})
"""Runtimes whose kernels are described so; the others call a library's kernel, with what it can take in."""

_INLINED = frozenset({"elementwise", "activation", "data_movement", "view", "layout"})

# How many multiply-adds go into the time of one such function: a polynomial, a division, a call of the C library.
_INSTRUCTIONS = {
    "Exp": 16, "Log": 16, "Sigmoid": 20, "Tanh": 16, "Erf": 16, "Softplus": 32, "Sin": 16, "Cos": 16, "Atan": 16,
    "Pow": 32, "Sqrt": 4, "Div": 4, "Mod": 4, "Softmax": 4,
}  # fmt: skip


def inlined_flops(graph: OpGraph, members: Sequence[int]) -> list[float]:
    """FLOPs that each member of a kernel comes to when inlined, in the order of ``members``, which is ascending.

    A member's FLOPs count as often as its elements are computed, and a transcendental function as the multiply-adds
    that it takes.
    """
    costs = [operator_cost(graph, index).flops * _INSTRUCTIONS.get(graph.nodes[index].op, 1) for index in members]
    if len(members) == 1:
        return [float(costs[0])]
    computed = _computed_elements(graph, members)
    return [
        cost * computed[index] / max(_elements(graph, index), 1) for cost, index in zip(costs, members, strict=True)
    ]


def moving_member(graph: OpGraph, members: Sequence[int]) -> int | None:
    """The member that permutes the largest value, None where none permutes any."""
    moving = [index for index in members if graph.nodes[index].op == "Transpose"]
    return max(moving, key=lambda index: _elements(graph, index), default=None)


def _computed_elements(graph: OpGraph, members: Sequence[int]) -> dict[int, int]:
    """How many elements of each member are computed, repetitions counted.

    What is written to memory, and what is no loop over its own elements (a product, a reduction), is computed once. Of
    several readers in one loop the one that asks for most counts: the compiler sees the common expression.
    """
    inside = set(members)
    written = {edge.source for edge in graph.outputs}
    computed: dict[int, int] = {}
    for index in reversed(members):
        own, readers = _elements(graph, index), graph.consumers[index]
        is_stored = index in written or any(reader not in inside for reader in readers)
        if is_stored or operator_category(graph.nodes[index].op) not in _INLINED:
            computed[index] = own
            continue
        reads = [computed[reader] for reader in readers if operator_category(graph.nodes[reader].op) in _INLINED]
        computed[index] = max([own, *reads])
    return computed


def _elements(graph: OpGraph, index: int) -> int:
    return sum(kind.elements for kind in graph.nodes[index].outputs)
