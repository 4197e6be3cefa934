"""Sequences and optional values: a graph has tensors only, so what is done with them is done while it is read.

A sequence is the list of its tensors; an optional value is what is inside of it, or nothing. Where they go in and come
out, and which operators touch them, follows from the file alone as long as their lengths do.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from relay_frontend.errors import DynamicShapeError, InvalidGraphError
from relay_frontend.graph import AttributeValue, TensorType
from relay_frontend.onnx.source import Array, SourceNode

__all__ = ["SEQUENCE_RULES", "Walk", "emit_axes", "emit_concat"]

_OPSET = 13  # of the operators that are written in the place of others: axes and split are inputs there

SequenceValue = list[str] | None  # the names of a sequence's tensors; None for an optional value with nothing inside


class Walk(Protocol):
    """What the reader of a graph offers to operators that write no node of their own."""

    types: dict[str, TensorType]
    sequences: dict[str, SequenceValue]

    def read(self, node: SourceNode) -> None:
        """Take in one node, all of whose inputs have been."""

    def value_of(self, name: str) -> Array | None:
        """The value of a small constant; None if it is none."""

    def set_constant(self, name: str, value: Array) -> None:
        """Make ``name`` a constant."""

    def bind(self, name: str, source: str) -> None:
        """Make ``name`` another name of what ``source`` is."""

    def fresh(self, name: str) -> str:
        """A name like ``name`` that nothing else has."""


def emit_axes(walk: Walk, op: str, source: str, axis: int, output: str) -> None:
    """Write Squeeze or Unsqueeze along one axis, or whatever else takes its axes as second input."""
    axes = walk.fresh(f"{output}/axes")
    walk.set_constant(axes, np.array([axis], np.int64))
    walk.read(_node(op, [source, axes], [output], {}))


def emit_concat(walk: Walk, sources: Sequence[str], axis: int, output: str, *, new_axis: bool) -> None:
    """Write the Concat of tensors along an axis, which is a new one or one that they have."""
    parts = []
    for source in sources:
        if new_axis:
            part = walk.fresh(f"{output}/part")
            emit_axes(walk, "Unsqueeze", source, axis, part)
            parts.append(part)
        else:
            parts.append(source)
    walk.read(_node("Concat", parts, [output], {"axis": axis}))


def _node(op: str, inputs: list[str], outputs: list[str], attributes: dict[str, AttributeValue]) -> SourceNode:
    return SourceNode(op, "", _OPSET, outputs[0], inputs, outputs, attributes, {})


def _items(walk: Walk, node: SourceNode, slot: int = 0) -> list[str]:
    name = node.inputs[slot]
    items = walk.sequences.get(name)
    if items is None:
        raise InvalidGraphError(f"{node.label} reads {name!r}, expected a sequence")
    return items


def _position(walk: Walk, node: SourceNode, slot: int, default: int, items: list[str], room: int) -> int:
    """The place that an input names. One that is not known is the last, which is the same if all tensors are alike."""
    if len(node.inputs) <= slot or not node.inputs[slot]:
        return default
    value = walk.value_of(node.inputs[slot])
    if value is None:
        if len({walk.types.get(item) for item in items}) > 1:
            raise DynamicShapeError(
                f"{node.label} takes a place that depends on data in a sequence of unlike tensors, expected a constant"
            )
        return room - 1
    place = int(value.reshape(-1)[0]) if value.size == 1 else room
    if not -room <= place < room:
        raise InvalidGraphError(f"{node.label} names place {place}, expected one of {-room} to {room - 1}")
    return place % room


def _empty(walk: Walk, node: SourceNode) -> None:
    walk.sequences[node.outputs[0]] = []


def _construct(walk: Walk, node: SourceNode) -> None:
    walk.sequences[node.outputs[0]] = list(node.inputs)


def _insert(walk: Walk, node: SourceNode) -> None:
    items = _items(walk, node)
    place = _position(walk, node, 2, len(items), [*items, node.inputs[1]], len(items) + 1)
    walk.sequences[node.outputs[0]] = [*items[:place], node.inputs[1], *items[place:]]


def _erase(walk: Walk, node: SourceNode) -> None:
    items = _items(walk, node)
    place = _position(walk, node, 1, len(items) - 1, items, len(items))
    walk.sequences[node.outputs[0]] = [*items[:place], *items[place + 1 :]]


def _at(walk: Walk, node: SourceNode) -> None:
    items = _items(walk, node)
    walk.bind(node.outputs[0], items[_position(walk, node, 1, 0, items, len(items))])


def _length(walk: Walk, node: SourceNode) -> None:
    walk.set_constant(node.outputs[0], np.array(len(_items(walk, node)), np.int64))


def _concat(walk: Walk, node: SourceNode) -> None:
    items = _items(walk, node)
    axis = node.attributes.get("axis")
    if not items or not isinstance(axis, int):
        raise InvalidGraphError(f"{node.label} joins {len(items)} tensors along axis {axis!r}, expected one or more")
    emit_concat(walk, items, axis, node.outputs[0], new_axis=bool(node.attributes.get("new_axis", 0)))


def _split(walk: Walk, node: SourceNode) -> None:
    source, axis = node.inputs[0], node.attributes.get("axis", 0)
    shape = walk.types[source].shape
    if not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
        raise InvalidGraphError(f"{node.label} names axis {axis!r}, expected one of a tensor of rank {len(shape)}")
    parts = _parts(walk, node, shape[axis])
    if len(parts) > 2**16 or sum(parts) != shape[axis] or min(parts, default=0) < 0:
        raise InvalidGraphError(
            f"{node.label} makes {len(parts)} parts of extent {shape[axis]}, expected at most 65536 that add up to it"
        )
    output = node.outputs[0]
    names = [walk.fresh(f"{output}/{index}") for index in range(len(parts))]
    if parts:
        sizes = walk.fresh(f"{output}/split")
        walk.set_constant(sizes, np.array(parts, np.int64))
        walk.read(_node("Split", [source, sizes], names, {"axis": axis}))
    if len(node.inputs) < 2 and not node.attributes.get("keepdims", 1):
        tensors, names = names, []
        for tensor in tensors:
            names.append(walk.fresh(f"{tensor}/squeezed"))
            emit_axes(walk, "Squeeze", tensor, axis, names[-1])
    walk.sequences[output] = names


def _parts(walk: Walk, node: SourceNode, extent: int) -> list[int]:
    if len(node.inputs) < 2 or not node.inputs[1]:
        return [1] * min(extent, 2**16 + 1)
    value = walk.value_of(node.inputs[1])
    if value is None:
        raise DynamicShapeError(f"{node.label} splits into sizes that depend on data, expected constants")
    if value.ndim:
        return [int(part) for part in value.reshape(-1)]
    size = int(value)
    if size < 1 or extent // size > 2**16:
        raise InvalidGraphError(f"{node.label} makes parts of {size} of extent {extent}, expected at most 65536 parts")
    return [min(size, extent - start) for start in range(0, extent, size)]


def _optional(walk: Walk, node: SourceNode) -> None:
    if node.inputs and node.inputs[0]:
        walk.bind(node.outputs[0], node.inputs[0])
    else:
        walk.sequences[node.outputs[0]] = None


def _is_there(walk: Walk, name: str) -> bool:
    return bool(name) and not (name in walk.sequences and walk.sequences[name] is None)


def _get_element(walk: Walk, node: SourceNode) -> None:
    if not _is_there(walk, node.inputs[0]):
        raise InvalidGraphError(f"{node.label} reads {node.inputs[0]!r}, which holds nothing, expected a value")
    walk.bind(node.outputs[0], node.inputs[0])


def _has_element(walk: Walk, node: SourceNode) -> None:
    there = bool(node.inputs) and _is_there(walk, node.inputs[0])
    walk.set_constant(node.outputs[0], np.array(there))


SEQUENCE_RULES: Mapping[str, Callable[[Walk, SourceNode], None]] = {
    "ConcatFromSequence": _concat,
    "Optional": _optional,
    "OptionalGetElement": _get_element,
    "OptionalHasElement": _has_element,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SplitToSequence": _split,
}
