"""Operators that OpenVINO runs without a kernel: they rename memory, or others write where they want it."""

from math import prod

from relay_frontend.graph import PARAMETER, Edge, OpGraph, OpNode

__all__ = ["find_splits", "is_in_place"]

_CUT = ("Slice", "Split")  # the pieces lie in what they are cut from


def is_in_place(graph: OpGraph, index: int, *, channels_last: bool) -> bool:
    """Whether nothing is moved.

    By a Transpose that moves axes of extent 1 only; by a Gather of one index along the first axis that is longer than
    1; by a Concat along that axis, in memory, of what nobody else reads.
    """
    node = graph.nodes[index]
    shape = graph.type_of(node.inputs[0]).shape
    if node.op == "Transpose":
        permutation = node.attribute_map.get("perm")
        long = [int(axis) for axis in permutation if shape[int(axis)] > 1] if isinstance(permutation, tuple) else [1, 0]
        return long == sorted(long)
    axis = node.attribute_map.get("axis", 0)
    if not isinstance(axis, int) or not shape:
        return False
    if node.op == "Concat":
        outer = shape[:1] + shape[2:] if channels_last else shape[: axis % len(shape)]
        return prod(outer) == 1 and all(_is_written_for(graph, edge, index) for edge in node.inputs)
    if node.op == "Gather" and len(node.inputs) == 2 and node.inputs[1].source == PARAMETER:
        return graph.type_of(node.inputs[1]).elements == 1 and prod(shape[: axis % len(shape)]) == 1
    return False


def _is_written_for(graph: OpGraph, edge: Edge, reader: int) -> bool:
    return edge.source >= 0 and graph.consumers[edge.source] == (reader,) and graph.nodes[edge.source].op not in _CUT


def find_splits(graph: OpGraph) -> frozenset[int]:
    """Slices that cut a value into pieces along one axis, nothing left over: a Split, which seldom copies."""
    found: set[int] = set()
    pieces: dict[tuple[Edge, int], list[tuple[int, int, int]]] = {}
    for index, node in enumerate(graph.nodes):
        cut = _piece(node)
        if cut is not None:
            axis, start, end = cut
            pieces.setdefault((node.inputs[0], axis), []).append((start, end, index))
    for (edge, axis), cuts in pieces.items():
        cuts.sort()
        borders = [0, *(end for _, end, _ in cuts)]
        whole = borders[-1] == graph.type_of(edge).shape[axis]
        if len(cuts) > 1 and whole and [start for start, _, _ in cuts] == borders[:-1]:
            found.update(index for _, _, index in cuts)
    return frozenset(found)


def _piece(node: OpNode) -> tuple[int, int, int] | None:
    """(axis, start, end) of a Slice along one axis with step 1."""
    attributes = node.attribute_map
    bounds = [attributes.get(name) for name in ("axes", "starts", "ends")]
    if node.op != "Slice" or not node.inputs or attributes.get("steps", (1,)) != (1,):
        return None
    found = [int(value[0]) for value in bounds if isinstance(value, tuple) and len(value) == 1]
    return (found[0], found[1], found[2]) if len(found) == 3 else None
