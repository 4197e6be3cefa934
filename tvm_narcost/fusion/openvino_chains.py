"""Operators that OpenVINO computes as one: attention, layer normalisation, GELU and their kin, told by their shape.

A chain starts at one value, ends in one, and nobody else reads what lies between. Which operators it is made of says
what it computes: an OpGraph has no values of constants.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from relay_frontend.graph import PARAMETER, Edge, OpGraph
from relay_frontend.ops import operator_category

__all__ = ["Chain", "find_chains"]

_CATEGORIES = ("activation", "elementwise", "reduction")
_LONGEST = 12


def _spelled(kind: str, *spellings: str) -> dict[tuple[str, ...], str]:
    return {tuple(sorted(spelling.split())): kind for spelling in spellings}


_CUBE = "Mul Add Mul Tanh Add Mul Mul"
_CHAINS = {
    **_spelled("activation", "Div Erf Add Mul Mul", "Mul Erf Add Mul Mul"),  # GELU
    **_spelled("activation", f"Pow {_CUBE}", f"Mul Mul {_CUBE}"),  # GELU by tanh
    **_spelled("activation", "Add Clip Mul Div", "Add Clip Mul Mul"),  # HardSwish
    **_spelled("activation", "Add Clip Div", "Add Clip Mul"),  # HardSigmoid
    **_spelled("activation", "Sigmoid Mul", "Mul Sigmoid Mul"),  # Swish
    **_spelled("activation", "Softplus Tanh Mul"),  # Mish
    **_spelled(
        "normalization", "ReduceMean Sub Pow ReduceMean Add Sqrt Div", "ReduceMean Sub Mul ReduceMean Add Sqrt Div"
    ),
    **_spelled("rms", "Pow ReduceMean Add Sqrt Div", "Mul ReduceMean Add Sqrt Div"),
}


@dataclass(frozen=True, slots=True)
class Chain:
    """Operators that compute one thing.

    Attributes:
        kind: ``activation``, ``normalization``, ``rms``, ``attention`` or ``shuffle``.
        members: node indices, ascending; the last writes the result.
    """

    kind: str
    members: tuple[int, ...]


def find_chains(graph: OpGraph) -> dict[int, Chain]:
    """Node index -> the chain that it is in; the longest is taken, no node is in two."""
    found: dict[int, Chain] = {}
    leaving = {edge.source for edge in graph.outputs}
    for chain in (*_shuffles(graph, leaving), *_attentions(graph, leaving), *_elementary(graph, leaving)):
        if not any(index in found for index in chain.members):
            found.update(dict.fromkeys(chain.members, chain))
    return found


def _elementary(graph: OpGraph, leaving: set[int]) -> Iterator[Chain]:
    for last in reversed(range(len(graph.nodes))):
        if operator_category(graph.nodes[last].op) not in _CATEGORIES:
            continue
        inside, best = {last}, None
        while len(inside) <= _LONGEST:
            outside = {
                edge
                for index in inside
                for edge in graph.nodes[index].inputs
                if edge.source != PARAMETER and edge.source not in inside
            }
            kind = _CHAINS.get(tuple(sorted(graph.nodes[index].op for index in inside)))
            if len(outside) == 1 and kind is not None:
                best = Chain(kind, tuple(sorted(inside)))
            # the youngest first, so that what reads an operator is in before the operator
            inner = (edge.source for edge in outside if _is_inner(graph, edge, inside, leaving))
            absorbed = max(inner, default=None)
            if absorbed is None:
                break
            inside.add(absorbed)
        if best is not None:
            yield best


def _is_inner(graph: OpGraph, edge: Edge, inside: set[int], leaving: set[int]) -> bool:
    source = edge.source
    return (
        source >= 0
        and source not in leaving
        and operator_category(graph.nodes[source].op) in _CATEGORIES
        and inside.issuperset(graph.consumers[source])
    )


def _shuffles(graph: OpGraph, leaving: set[int]) -> Iterator[Chain]:
    """Channels dealt out anew: Reshape, Transpose, Reshape. OpenVINO knows it as ShuffleChannels or DepthToSpace."""
    for transpose, node in enumerate(graph.nodes):
        readers = graph.consumers[transpose]
        if node.op != "Transpose" or len(readers) != 1 or not node.inputs:
            continue
        before, behind = node.inputs[0].source, readers[0]
        if before < 0 or {before, transpose} & leaving or graph.consumers[before] != (transpose,):
            continue
        ends = graph.nodes[before], graph.nodes[behind]
        if any(end.op != "Reshape" for end in ends):
            continue
        read, written, rank = graph.type_of(ends[0].inputs[0]), ends[1].outputs[0], len(node.outputs[0].shape)
        groups = node.attribute_map.get("perm") == (0, 2, 1, *range(3, rank)) and read == written
        if len(read.shape) == len(written.shape) == 4 and (groups or rank == 6):
            yield Chain("shuffle", (before, transpose, behind))


def _attentions(graph: OpGraph, leaving: set[int]) -> Iterator[Chain]:
    """Product, perhaps a scale and a mask, Softmax, product: of four axes, with no weights in it."""
    for softmax, node in enumerate(graph.nodes):
        readers = graph.consumers[softmax]
        if node.op != "Softmax" or len(readers) != 1 or softmax in leaving or len(node.outputs[0].shape) != 4:
            continue
        product = readers[0]
        if not _is_activation_product(graph, product) or graph.nodes[product].inputs[0].source != softmax:
            continue
        members, at = [softmax, product], softmax
        for ops in (("Add", "Where"), ("Mul", "Div")):
            before = _inner_source(graph, at, leaving)
            if before is not None and graph.nodes[before].op in ops:
                members.append(before)
                at = before
        first = _inner_source(graph, at, leaving)
        if first is not None and _is_activation_product(graph, first):
            yield Chain("attention", tuple(sorted([*members, first])))


def _inner_source(graph: OpGraph, index: int, leaving: set[int]) -> int | None:
    """What alone ``index`` is computed from, apart from masks and scales, and that nobody else reads."""
    for edge in graph.nodes[index].inputs:
        source = edge.source
        inner = source >= 0 and source not in leaving and graph.consumers[source] == (index,)
        if inner and graph.type_of(edge).shape == graph.nodes[index].outputs[0].shape:
            return source
    return None


def _is_activation_product(graph: OpGraph, index: int) -> bool:
    node = graph.nodes[index]
    return node.op == "MatMul" and all(edge.source != PARAMETER for edge in node.inputs)
