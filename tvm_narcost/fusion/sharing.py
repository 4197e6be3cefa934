"""Work that is done once: equal operators on equal inputs, and parts of a value that are cut out together."""

from relay_frontend.graph import AttributeValue, TensorType
from tvm_narcost.fusion.draft import Draft, DraftNode, Value

__all__ = ["share_equal_nodes", "split_gathers", "split_slices"]


def share_equal_nodes(draft: Draft) -> None:
    """Of nodes with the same operator, attributes and inputs only the first stays."""
    known: dict[tuple[object, ...], DraftNode] = {}
    for node in draft.ordered():
        key = (node.op, tuple(sorted(node.attributes.items())), tuple(map(id, node.inputs)))
        first = known.setdefault(key, node)
        if first is not node and not any(value.output_uses for value in node.outputs):
            for old, new in zip(node.outputs, first.outputs, strict=True):
                draft.replace(old, new)
            draft.remove(node)


def split_gathers(draft: Draft) -> None:
    """As many Gathers of one index along an axis as that axis is long: Split and Squeeze."""
    for value in _values(draft):
        readers = [reader for reader in value.readers if _takes_one(reader, value)]
        axes = {reader.attributes.get("axis", 0) for reader in readers}
        axis = next(iter(axes)) if len(axes) == 1 else None
        if isinstance(axis, int) and len(readers) > 1 and value.shape[axis] == len(readers):
            _split_and_squeeze(draft, value, axis % len(value.shape), readers)


def _takes_one(reader: DraftNode, value: Value) -> bool:
    """Whether a reader gathers one constant index."""
    return reader.op == "Gather" and reader.inputs[0] is value and reader.inputs[1].shape == ()


def _split_and_squeeze(draft: Draft, value: Value, axis: int, readers: list[DraftNode]) -> None:
    kind = TensorType((*value.shape[:axis], 1, *value.shape[axis + 1 :]), value.kind.dtype)
    attributes: dict[str, AttributeValue] = {"axis": axis, "split": (1,) * len(readers)}
    split = draft.add("Split", [value], [kind] * len(readers), attributes)
    for reader, part in zip(readers, split.outputs, strict=True):
        squeeze = draft.add("Squeeze", [part], [reader.output.kind], {"axes": (axis,)}, reader.name)
        draft.replace(reader.output, squeeze.output)
        draft.remove(reader)


def split_slices(draft: Draft) -> None:
    """Slices that cut a value into pieces along one axis, nothing left over: Split."""
    for value in _values(draft):
        readers = [reader for reader in value.readers if reader.op == "Slice"]
        if len(readers) < 2:
            continue
        pieces = sorted((start, end, reader.rank, reader) for reader in readers for start, end in [_piece(reader)])
        axes = {reader.integers("axes") for reader in readers}
        axis = next(iter(axes))
        if len(axes) != 1 or len(axis) != 1:
            continue
        extent = value.shape[axis[0]]
        borders = [0, *(end for _, end, _, _ in pieces)]
        if borders[-1] != extent or [start for start, _, _, _ in pieces] != borders[:-1]:
            continue
        kinds = [reader.output.kind for _, _, _, reader in pieces]
        sizes = tuple(end - start for start, end, _, _ in pieces)
        split = draft.add("Split", [value], kinds, {"axis": axis[0] % len(value.shape), "split": sizes})
        for (_, _, _, reader), part in zip(pieces, split.outputs, strict=True):
            draft.replace(reader.output, part)
            draft.remove(reader)


def _piece(node: DraftNode) -> tuple[int, int]:
    """(start, end) of a Slice along one axis with step 1; (-1, -1) for any other."""
    starts, ends = node.integers("starts"), node.integers("ends")
    if len(starts) != 1 or len(ends) != 1 or node.attributes.get("steps", (1,)) != (1,):
        return -1, -1
    return starts[0], ends[0]


def _values(draft: Draft) -> list[Value]:
    """Inputs of the network and what nodes write."""
    return [*draft.inputs, *(value for node in draft.ordered() for value in node.outputs)]
