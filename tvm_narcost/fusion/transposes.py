"""Transposes move down through operators towards other transposes, until they meet and cancel.

An operator is moved across when that leaves less to transpose: what counts is the number of axes longer than 1, of the
inputs that are transposed now against those that would have to be, and of the output unless it leads to a transpose
anyway. ONNX Runtime decides so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from relay_frontend.graph import AttributeValue, TensorType
from tvm_narcost.fusion.draft import Draft, DraftNode, Value

__all__ = ["push_transposes"]

_Permutation = tuple[int, ...]
_Attributes = dict[str, AttributeValue]

_UNARY = (
    "Abs", "Cast", "Ceil", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "LeakyRelu",
    "Log", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Softplus",
    "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
_BROADCAST = (
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod",
    "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
_MOST_ROUNDS = 10


def push_transposes(draft: Draft) -> None:
    """Push every transpose as far down as it pays, again and again until nothing moves."""
    for _ in range(_MOST_ROUNDS):
        pushing = _Round(draft, _leading_to_transposes(draft))
        for node in draft.nodes("Transpose"):
            pushing.known[node.inputs[0], node.integers("perm")] = node
        moved = [pushing.visit(node) for node in draft.ordered() if node in draft]
        if not any(moved):
            return


def _leading_to_transposes(draft: Draft) -> set[Value]:
    """Values from which a transpose is reached through operators that transposes can be pushed through."""
    leading: set[Value] = set()
    for node in reversed(draft.ordered()):
        movable = node.op in _HANDLERS and any(value in leading for value in node.outputs)
        if node.op == "Transpose" or movable:
            leading.update(_movable_inputs(node))
    return leading


def _movable_inputs(node: DraftNode) -> list[Value]:
    """The inputs that carry the data; the others say how."""
    return node.inputs if node.op in _BROADCAST or node.op == "Concat" else node.inputs[:1]


@dataclass(eq=False, slots=True)
class _Round:
    """One walk over a draft.

    Attributes:
        leading: values from which a transpose is reached.
        known: (value, permutation) -> a transpose that makes it.
        vanishing: whether all who read a transpose can be moved across it, asked once a round.
    """

    draft: Draft
    leading: set[Value]
    known: dict[tuple[Value, _Permutation], DraftNode] = field(default_factory=dict)
    vanishing: dict[DraftNode, bool] = field(default_factory=dict)

    def visit(self, node: DraftNode) -> bool:
        """Move one transpose that ``node`` reads to behind it; whether one was moved."""
        if node.op not in _HANDLERS and node.op != "Transpose":
            return False
        for value in _movable_inputs(node):
            transpose = value.producer
            permutation = transpose.integers("perm") if transpose is not None and transpose.op == "Transpose" else ()
            if transpose is None or not permutation:
                continue
            if node.op == "Transpose":
                moved = self._can_vanish(transpose) and _merge(self.draft, transpose, node)
            else:
                moved = self._pays(node, permutation) and self._swap(node, permutation)
            if moved:
                return True
        return False

    def _pays(self, node: DraftNode, permutation: _Permutation) -> bool:
        """Whether less is transposed once a transpose by ``permutation`` stands behind ``node``."""
        cost = sum(self._input_cost(value, permutation) for value in _movable_inputs(node))
        if cost < 0 and not any(value in self.leading for value in node.outputs):
            cost += max(_long_axes(value) for value in node.outputs)
        return cost < 0

    def _input_cost(self, value: Value, permutation: _Permutation) -> int:
        if value.parameter:
            return 0
        writer = value.producer
        if writer is not None and writer.op == "Transpose":
            cancels = writer.integers("perm") == permutation and self._can_vanish(writer)
            return -_long_axes(value) if cancels else 0
        return _long_axes(value)

    def _can_vanish(self, transpose: DraftNode) -> bool:
        if transpose not in self.vanishing:
            readers = transpose.output.readers
            movable = all(reader.op in _HANDLERS or reader.op == "Transpose" for reader in readers)
            self.vanishing[transpose] = movable and not transpose.output.output_uses
        return self.vanishing[transpose]

    def _swap(self, node: DraftNode, permutation: _Permutation) -> bool:
        """Put a transpose by ``permutation`` behind ``node`` and its inverse before; what meets its inverse cancels."""
        data = list(_movable_inputs(node))
        changed = _HANDLERS[node.op](node, permutation)
        if changed is None or any(len(value.shape) > len(permutation) for value in data):
            return False
        attributes, behind = changed
        moved = [self._transposed(value, _inverse(permutation)) for value in data]
        self.draft.set_inputs(node, moved + node.inputs[len(data) :])
        self.draft.remove_chain(data)
        node.attributes = attributes
        if behind != tuple(range(len(behind))):
            for slot, value in enumerate(list(node.outputs)):
                kind = _permuted(value.kind, _inverse(behind))
                self.draft.interpose(node, slot, kind, "Transpose", {"perm": behind})
        return True

    def _transposed(self, value: Value, permutation: _Permutation) -> Value:
        """A value transposed: a transpose undone, a parameter of another shape, or a new transpose."""
        rank = len(permutation)
        if value.parameter:
            if value.kind.elements == 1 and len(value.shape) < rank:
                return value
            full = TensorType((1,) * (rank - len(value.shape)) + value.shape, value.kind.dtype)
            return Value(_permuted(full, permutation), parameter=True, name=value.name)
        if len(value.shape) < rank:
            axes = tuple(range(rank - len(value.shape)))
            kind = TensorType((1,) * len(axes) + value.shape, value.kind.dtype)
            value = self.draft.add("Unsqueeze", [value], [kind], {"axes": axes}).output
        writer = value.producer
        if writer is not None and writer.op == "Transpose":
            value, permutation = writer.inputs[0], tuple(writer.integers("perm")[axis] for axis in permutation)
            if permutation == tuple(range(rank)):
                return value
        known = self.known.get((value, permutation))
        alive = known is not None and known in self.draft and known.inputs == [value]
        if known is None or not alive or known.integers("perm") != permutation:
            kind = _permuted(value.kind, permutation)
            known = self.draft.add("Transpose", [value], [kind], {"perm": permutation})
            self.known[value, permutation] = known
        return known.output


def _long_axes(value: Value) -> int:
    return sum(extent != 1 for extent in value.shape)


def _merge(draft: Draft, first: DraftNode, second: DraftNode) -> bool:
    """Two transposes after each other are one, or none."""
    before, after = first.integers("perm"), second.integers("perm")
    combined = tuple(before[axis] for axis in after)
    if combined == tuple(range(len(combined))):
        draft.replace(second.output, first.inputs[0])
        draft.remove_chain([second.output])
    else:
        second.attributes["perm"] = combined
        draft.set_inputs(second, first.inputs)
        draft.remove_chain([first.output])
    return True


def _inverse(permutation: _Permutation) -> _Permutation:
    return tuple(permutation.index(axis) for axis in range(len(permutation)))


def _permuted(kind: TensorType, permutation: _Permutation) -> TensorType:
    return TensorType(tuple(kind.shape[axis] for axis in permutation), kind.dtype)


# What an operator becomes when the transpose of its data moves behind it: (attributes, permutation behind), or None
# where it cannot be moved across.
_Handler = Callable[[DraftNode, _Permutation], tuple[_Attributes, _Permutation] | None]


def _as_it_is(node: DraftNode, permutation: _Permutation) -> tuple[_Attributes, _Permutation] | None:
    return node.attributes, permutation


def _one_axis(node: DraftNode, permutation: _Permutation) -> tuple[_Attributes, _Permutation] | None:
    axis = node.attributes.get("axis", -1 if node.op.endswith("oftmax") else 0)
    if not isinstance(axis, int):
        return None
    return {**node.attributes, "axis": permutation[axis]}, permutation


def _slice(node: DraftNode, permutation: _Permutation) -> tuple[_Attributes, _Permutation] | None:
    axes = node.integers("axes")
    return ({**node.attributes, "axes": _moved(axes, permutation)}, permutation) if axes else None


def _pad(node: DraftNode, permutation: _Permutation) -> tuple[_Attributes, _Permutation] | None:
    pads, rank = node.integers("pads"), len(permutation)
    if len(pads) != 2 * rank:
        return None
    inverse = _inverse(permutation)
    ordered = (*(pads[axis] for axis in inverse), *(pads[rank + axis] for axis in inverse))
    return {**node.attributes, "pads": ordered}, permutation


def _reduce(node: DraftNode, permutation: _Permutation) -> tuple[_Attributes, _Permutation] | None:
    axes = node.integers("axes")
    if not axes:
        return None
    moved = tuple(sorted(_moved(axes, permutation)))
    behind = permutation if node.attributes.get("keepdims", 1) else _without(permutation, moved)
    return {**node.attributes, "axes": moved}, behind


def _squeeze(node: DraftNode, permutation: _Permutation) -> tuple[_Attributes, _Permutation] | None:
    axes = node.integers("axes")
    if not axes:
        return None
    moved = tuple(sorted(_moved(axes, permutation)))
    return {**node.attributes, "axes": moved}, _without(permutation, moved)


def _gather(node: DraftNode, permutation: _Permutation) -> tuple[_Attributes, _Permutation] | None:
    axis = node.attributes.get("axis", 0)
    if not isinstance(axis, int) or len(node.inputs) != 2 or node.inputs[1].shape != ():
        return None
    moved = permutation[axis]
    return {**node.attributes, "axis": moved}, _without(permutation, (moved,))


def _moved(axes: Sequence[int], permutation: _Permutation) -> tuple[int, ...]:
    return tuple(permutation[axis] for axis in axes)


def _without(permutation: _Permutation, axes: tuple[int, ...]) -> _Permutation:
    """What is left of a permutation once these axes of the untransposed value are gone."""
    return tuple(axis - sum(gone < axis for gone in axes) for axis in permutation if axis not in axes)


_HANDLERS: dict[str, _Handler] = {
    **dict.fromkeys((*_UNARY, *_BROADCAST), _as_it_is),
    **dict.fromkeys(("Concat", "Split", "Softmax", "LogSoftmax"), _one_axis),
    **dict.fromkeys(
        ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare"),
        _reduce,
    ),
    "Slice": _slice,
    "Pad": _pad,
    "Squeeze": _squeeze,
    "Gather": _gather,
}
