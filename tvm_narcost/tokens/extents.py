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
    "rank", "inner", "reduced", "run", "broadcast",
)  # fmt: skip


@functools.lru_cache(maxsize=65536)
def node_extents(
    op: str,
    attributes: tuple[tuple[str, object], ...],
    inputs: tuple[TensorType, ...],
    outputs: tuple[TensorType, ...],
) -> tuple[float, ...]:
    """The extents of one node, in the order of ``EXTENTS``; what a node does not have is 0 or 1."""
    attribute_map = dict(attributes)
    out = outputs[0].shape if outputs else ()
    first = inputs[0].shape if inputs else ()
    window = _window(attribute_map, first, out)
    product = _product(op, attribute_map, inputs, out)
    nest = _loop_nest(op, attribute_map, inputs, outputs)
    return (*window, *product, *nest)


def _pair(value: object, default: int = 1) -> tuple[int, int]:
    """An attribute of one, two or more spatial axes as (h, w); a third axis is counted into h."""
    if not isinstance(value, tuple) or not value:
        return default, default
    if len(value) == 1:
        return 1, int(value[0])
    return math.prod(int(extent) for extent in value[:-1]), int(value[-1])


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
    op: str, attributes: dict[str, object], inputs: tuple[TensorType, ...], out: tuple[int, ...]
) -> tuple[float, ...]:
    """m, n, k and how many such products; zeros where the kernel is no matrix product."""
    if len(inputs) < 2 or not out:
        return 0, 0, 0, 0
    category = operator_category(op)
    first, second = inputs[0].shape, inputs[1].shape
    if category == "convolution" and len(first) > 2 and len(second) == len(first):
        group = attributes.get("group", 1)
        group = group if isinstance(group, int) else 1
        taps = math.prod(second[2:])
        return out[0] * math.prod(out[2:]), out[1] // max(group, 1), second[1] * taps, group
    if category == "matmul" and first and second:
        inner = first[0] if attributes.get("transA") and len(first) == 2 else first[-1]
        n = out[-1]
        if len(second) <= 2:  # one weight for all rows: the batch is part of m
            return math.prod(out[:-1]), n, inner, 1
        return (out[-2] if len(out) > 1 else 1), n, inner, math.prod(out[:-2])
    return 0, 0, 0, 0


def _loop_nest(
    op: str, attributes: dict[str, object], inputs: tuple[TensorType, ...], outputs: tuple[TensorType, ...]
) -> tuple[float, ...]:
    """rank, innermost extent, reduced elements a result, contiguous run that is copied, broadcast or not."""
    if not outputs:
        return 0, 1, 1, 1, 0
    out = outputs[0]
    inner = out.shape[-1] if out.shape else 1
    read = max((kind.elements for kind in inputs), default=1)
    reduced = max(read // max(out.elements, 1), 1)
    run = inner
    permutation = attributes.get("perm")
    if isinstance(permutation, tuple):
        run = _contiguous_run(permutation, out.shape)
    elif op in ("Concat", "Split", "Slice", "Gather", "Softmax", "LayerNormalization"):
        axis = attributes.get("axis", -1)
        axis = axis if isinstance(axis, int) else -1
        narrowest = min((kind.shape for kind in (*inputs[:1], *outputs)), key=math.prod)
        run = math.prod(narrowest[axis:]) if narrowest and -len(narrowest) <= axis < len(narrowest) else inner
    broadcast = float(any(1 < kind.elements < out.elements for kind in inputs[:2]))
    return len(out.shape), inner, reduced, max(run, 1), broadcast


def _contiguous_run(permutation: tuple[object, ...], shape: tuple[int, ...]) -> int:
    """Elements that a transpose copies in one piece: the extent of the axes that stay last."""
    run = 1
    for position in range(len(permutation) - 1, -1, -1):
        if permutation[position] != position or position >= len(shape):
            break
        run *= shape[position]
    return run
