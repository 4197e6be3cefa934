"""Extents of one node: window, matrix product and loop nest, as plain numbers."""

import functools
import math

from relay_frontend.graph import TensorType
from relay_frontend.ops import operator_category

__all__ = ["EXTENTS", "node_extents"]

EXTENTS = (
    # convolution and pooling: extents of the output, taps, steps
    "batch", "in_channels", "out_channels", "in_h", "in_w", "out_h", "out_w",
    "kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w", "group",
    # the matrix product that the kernel is or amounts to
    "m", "n", "k", "products",
    # the loop nest of everything else
    "rank", "inner", "reduced", "run", "stride", "single_axis", "broadcast",
)  # fmt: skip


# Value, scale and zero point of the data, then of the weight.
_VALUE_SCALE_ZERO = {"QGemm", "QLinearConv", "QLinearConvTranspose", "QLinearMatMul"}
_TRANSPOSED = {"ConvTranspose", "QLinearConvTranspose"}


@functools.lru_cache(maxsize=65536)
def node_extents(
    op: str,
    attributes: tuple[tuple[str, object], ...],
    inputs: tuple[TensorType, ...],
    outputs: tuple[TensorType, ...],
) -> tuple[float, ...]:
    """The extents of one node, in the order of ``EXTENTS``; what a node does not have is 0 or 1."""
    attribute_map = dict(attributes)
    inputs = _operands(op, inputs)
    out = outputs[0].shape if outputs else ()
    first = inputs[0].shape if inputs else ()
    nest = _loop_nest(op, attribute_map, inputs, outputs)  # of memory as it lies there
    # A change of layout says by this attribute what it changes, not how its own types are to be read.
    if attribute_map.get("channels_last") == 1 and operator_category(op) != "layout":
        first, out = _channels_first(first), _channels_first(out)
    window = _window(attribute_map, first, out)
    product = _product(op, attribute_map, (first, *(kind.shape for kind in inputs[1:])), out)
    return (*window, *product, *nest)


def _operands(op: str, inputs: tuple[TensorType, ...]) -> tuple[TensorType, ...]:
    """The inputs; of a quantised operator those that its counterpart in floats has, without scales and zero points."""
    if op in _VALUE_SCALE_ZERO:
        return inputs[::3][:2]
    if op == "QLinearConcat":  # scale and zero point of the result come first
        return inputs[2::3]
    if op == "QLinearWhere":
        return (*inputs[:2], *inputs[4:5])
    if op in ("QLinearAdd", "QLinearMul"):  # zero points may be left out, but each value stands before its scale
        scales = [slot for slot, kind in enumerate(inputs) if kind.dtype.startswith("float")]
        return tuple(inputs[slot - 1] for slot in scales[:2])
    return inputs


def _pair(value: object, default: int = 1) -> tuple[int, int]:
    """An attribute of one, two or more spatial axes as (h, w); a third axis is counted into h."""
    if not isinstance(value, tuple) or not value:
        return default, default
    if len(value) == 1:
        return 1, int(value[0])
    return math.prod(int(extent) for extent in value[:-1]), int(value[-1])


def _channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[-1], *shape[1:-1]) if len(shape) > 2 else shape


def _spatial(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(batch, channels, h, w) of a value in NCHW order; axes that are not there are 1."""
    if len(shape) < 3:
        return (shape[0] if shape else 1), (shape[1] if len(shape) > 1 else 1), 1, 1
    if len(shape) == 3:
        return shape[0], shape[1], 1, shape[2]
    return shape[0], shape[1], math.prod(shape[2:-1]), shape[-1]


def _window(attributes: dict[str, object], first: tuple[int, ...], out: tuple[int, ...]) -> tuple[float, ...]:
    _, in_channels, in_h, in_w = _spatial(first)
    batch, out_channels, out_h, out_w = _spatial(out)
    kernel = attributes.get("kernel_shape")
    group = attributes.get("group", 1)
    return (
        batch, in_channels, out_channels, in_h, in_w, out_h, out_w,
        *_pair(kernel), *_pair(attributes.get("strides")), *_pair(attributes.get("dilations")),
        group if isinstance(group, int) else 1,
    )  # fmt: skip


def _product(
    op: str, attributes: dict[str, object], inputs: tuple[tuple[int, ...], ...], out: tuple[int, ...]
) -> tuple[float, ...]:
    """m, n, k and how many such products; zeros where the kernel is no matrix product."""
    if len(inputs) < 2 or not out:
        return 0, 0, 0, 0
    category = operator_category(op)
    first, second = inputs[:2]
    if category == "convolution" and len(first) > 2 and len(second) == len(first):
        group = attributes.get("group", 1)
        group = group if isinstance(group, int) else 1
        taps = math.prod(second[2:])
        if op in _TRANSPOSED:  # the window slides over the input, and the weight is [C, M / group, taps]
            return first[0] * math.prod(first[2:]), second[1] * taps, first[1] // max(group, 1), group
        return out[0] * math.prod(out[2:]), out[1] // max(group, 1), second[1] * taps, group
    if category == "matmul" and first and second:
        inner = first[-2] if attributes.get("transA") and len(first) > 1 else first[-1]
        n = out[-1]
        if len(second) <= 2 or op == "MatMulNBits":  # one weight for all rows: the batch is part of m
            return math.prod(out[:-1]), n, inner, 1
        return (out[-2] if len(out) > 1 else 1), n, inner, math.prod(out[:-2])
    return 0, 0, 0, 0


def _loop_nest(
    op: str, attributes: dict[str, object], inputs: tuple[TensorType, ...], outputs: tuple[TensorType, ...]
) -> tuple[float, ...]:
    """rank, innermost extent, reduced elements a result, run, stride, single axis moved or not, broadcast or not.

    The run is how many neighbours in memory are treated alike: copied in one piece, normalised together, or met by
    one operand of a broadcast.
    """
    if not outputs:
        return 0, 1, 1, 1, 1, 0, 0
    out = outputs[0].shape
    inner = out[-1] if out else 1
    read = max((kind.elements for kind in inputs), default=1)
    reduced = max(read // max(outputs[0].elements, 1), 1)
    broadcast = float(any(1 < kind.elements < outputs[0].elements for kind in inputs[:2]))
    run, stride, single_axis = inner, 1, 0.0
    permutation = attributes.get("perm")
    category = operator_category(op)
    if isinstance(permutation, tuple) and len(permutation) == len(out):
        axes = tuple(int(axis) for axis in permutation)
        run, stride, single_axis = _contiguous_run(axes, out), _read_stride(axes, out), float(_moves_one_axis(axes))
    elif category in ("softmax", "normalization") or op in ("Concat", "QLinearConcat", "Split", "Slice", "Gather"):
        run = _axis_run(attributes.get("axis", -1), (*inputs[:1], *outputs), inner)
    elif category == "reduction" and inputs:
        run = _kept_run(attributes.get("axes"), inputs[0].shape)
    elif category == "elementwise" and len(inputs) > 1:
        run = _broadcast_run(inputs[0].shape, inputs[1].shape)
    return len(out), inner, reduced, max(run, 1), stride, single_axis, broadcast


def _contiguous_run(permutation: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Elements that a transpose copies in one piece: the extent of the axes that stay last."""
    run = 1
    for position in range(len(permutation) - 1, -1, -1):
        if permutation[position] != position:
            break
        run *= shape[position]
    return run


def _read_stride(permutation: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Elements between two neighbours of the result in what a transpose reads."""
    inside = permutation[-1] if permutation else 0
    return math.prod(extent for axis, extent in zip(permutation, shape, strict=True) if axis > inside)


def _moves_one_axis(permutation: tuple[int, ...]) -> bool:
    """Whether taking one axis out and putting it elsewhere is all that a transpose does."""
    for axis in range(len(permutation)):
        rest = [other for other in permutation if other != axis]
        if rest == sorted(rest):
            return True
    return False


def _axis_run(axis: object, kinds: tuple[TensorType, ...], otherwise: int) -> int:
    """Elements from ``axis`` inwards of the smallest value."""
    axis = axis if isinstance(axis, int) else -1
    narrowest = min((kind.shape for kind in kinds), key=math.prod)
    return math.prod(narrowest[axis:]) if -len(narrowest) <= axis < len(narrowest) else otherwise


def _kept_run(axes: object, shape: tuple[int, ...]) -> int:
    """Elements of the innermost axes that a reduction keeps; 1 where it reduces the last one."""
    reduced = {int(axis) % max(len(shape), 1) for axis in axes} if isinstance(axes, tuple) else set(range(len(shape)))
    run = 1
    for axis in range(len(shape) - 1, -1, -1):
        if axis in reduced:
            break
        run *= shape[axis]
    return run


def _broadcast_run(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """Elements of the innermost axes over which two operands pair up in one way: each with each, or all with one."""
    rank = max(len(first), len(second))
    pairs = zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True)
    run, before = 1, None
    for left, right in reversed(list(pairs)):
        if left == right == 1:
            continue
        mode = (left > 1, right > 1)
        if before is not None and mode != before:
            break
        run, before = run * max(left, right), mode
    return run
