"""Random reductions, softmax and normalisations, over short and long rows and any axes."""

import dataclasses
import math
from typing import Any

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import layer_norm
from tvm_narcost.zoo.builder import FLOAT, INT64, Value
from tvm_narcost.zoo.corpus.draws import log_uniform, tensor_shape
from tvm_narcost.zoo.corpus.pool import Pool
from tvm_narcost.zoo.corpus.sample import Sample

__all__ = ["ROWS"]

_REDUCTIONS = (
    "ReduceMean", "ReduceMean", "ReduceMean", "ReduceSum", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1",
    "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd",
)  # fmt: skip
_LONGEST_PRODUCT = 12  # of elements below 1: a longer one vanishes


def _rows(p: Pool, ranks: tuple[int, ...] = (2, 3, 3, 4)) -> Value:
    """A tensor whose last axis is of any length, from a few to hundreds of thousands."""
    rng = p.rng
    rank = rng.choice(ranks)

    def draw() -> tuple[int, ...]:
        if rng.random() < 0.3:
            return tensor_shape(rng, p.most_elements, rank)
        last = log_uniform(rng, 2, max(2, min(200_000, p.most_elements)))
        return (*tensor_shape(rng, max(1, p.most_elements // last), rank - 1), last)

    return p.obtain(rank, lambda value: value.elements > 1, draw)


def _reduce(p: Pool) -> Value:
    """A reduction over inner, outer, middle or several axes."""
    b, rng = p.b, p.rng
    x = p.anything((2, 3, 3, 4, 4, 5)) if rng.random() < 0.5 else _rows(p)
    rank = len(x.shape)
    how = rng.choice(["last", "last", "first", "one", "tail", "head", "any", "all"])
    axes = {
        "last": [rank - 1], "first": [0], "one": [rng.randrange(rank)], "tail": list(range(rng.randrange(rank), rank)),
        "head": list(range(rng.randint(1, rank))), "any": sorted(rng.sample(range(rank), rng.randint(1, rank))),
        "all": list(range(rank)),
    }[how]  # fmt: skip
    count = math.prod(x.shape[axis] for axis in axes)
    kind = p.quick_of(_REDUCTIONS, x, "ReduceMean")
    if kind == "ReduceProd" and count > _LONGEST_PRODUCT:
        kind = "ReduceSum"
    level = {
        "ReduceSum": x.level * count, "ReduceL1": x.level * count, "ReduceL2": x.level * count**0.5,
        "ReduceSumSquare": x.level**2 * count, "ReduceLogSumExp": math.log(count) + x.level, "ReduceProd": 0.5,
    }.get(kind, x.level)  # fmt: skip
    keep = rng.random() < 0.6
    if kind == "ReduceSum":  # its axes became an input five opsets before those of the others
        shape = [1 if axis in axes else n for axis, n in enumerate(x.shape) if keep or axis not in axes]
        y = b.node(kind, [x, b.constant(axes)], shape, keepdims=int(keep))
    else:
        y = ops.reduce_mean(b, x, axes, keepdims=keep, op_type=kind)
    return dataclasses.replace(y, level=level)


def _softmax(p: Pool) -> Value:
    """Softmax, mostly over the last axis, else over any; scaled or masked at times; LogSoftmax now and then."""
    b, rng = p.b, p.rng
    x = _rows(p, (1, 2, 2, 3, 3, 4))
    axis = len(x.shape) - 1 if rng.random() < 0.65 else rng.randrange(len(x.shape))
    size = x.shape[axis]
    if rng.random() < 0.2:
        x = ops.mul(b, x, b.scalar(rng.choice([0.125, 0.5, 2.0, 0.088388])))
    if rng.random() < 0.2 and p.quick("LogSoftmax", x):
        return b.node("LogSoftmax", [x], x.shape, math.log(size) + 0.5, axis=axis)
    y = b.node("Softmax", [x], x.shape, 1 / size, axis=axis)
    if size > 50 and rng.random() < 0.5:  # else the pool scales it
        return ops.mul(b, y, p.like(y))
    return y


def _layer_norm(p: Pool) -> Value:
    """LayerNormalization as an operator or a chain; after a sum, which ONNX Runtime may fuse."""
    b, rng = p.b, p.rng
    x = _rows(p)
    if rng.random() < 0.4:
        other = p.like(x)
        x = ops.add(b, x, other)
        if rng.random() < 0.4:
            x = ops.add(b, x, b.weight((x.shape[-1],), 0.05))
        if rng.random() < 0.4:
            p.put(x)
    if b.opset >= 17 and len(x.shape) > 2 and rng.random() < 0.2:  # over several axes
        axis = rng.randrange(1, len(x.shape) - 1)
        scale, shift = b.weight(x.shape[axis:], 1.0), b.weight(x.shape[axis:], 0.5)
        return b.node("LayerNormalization", [x, scale, shift], x.shape, 0.5, axis=axis, epsilon=1e-5)
    return layer_norm(b, x)


def _rms_norm(p: Pool) -> Value:
    """RMSNorm spelled out: by Pow or Mul, by Div or Reciprocal."""
    b, rng = p.b, p.rng
    x = _rows(p)
    square = ops.mul(b, x, x) if rng.random() < 0.3 else ops.binary(b, "Pow", x, b.scalar(2.0), x.level**2)
    mean = ops.add(b, ops.reduce_mean(b, square, (len(x.shape) - 1,)), b.scalar(rng.choice([1e-5, 1e-6])))
    root = ops.unary(b, "Sqrt", mean, x.level)
    if rng.random() < 0.5:
        normal = ops.binary(b, "Div", x, root, 1.0)
    else:
        normal = ops.binary(b, "Mul", x, ops.unary(b, "Reciprocal", root, 1 / x.level), 1.0)
    scale = b.weight((x.shape[-1],), 1.0)
    return ops.mul(b, normal, scale) if rng.random() < 0.5 else ops.mul(b, scale, normal)


def _instance_norm(p: Pool) -> Value:
    """InstanceNormalization over one or two spatial axes."""
    b, rng = p.b, p.rng
    x = p.image(rng.choice([1, 2, 2, 2]))
    scale, shift = b.weight((x.shape[1],), 1.0), b.weight((x.shape[1],), 0.4)
    return b.node("InstanceNormalization", [x, scale, shift], x.shape, 0.5, epsilon=rng.choice([1e-5, 1e-3]))


def _group_norm(p: Pool) -> Value:
    """GroupNormalization, as exporters spell it: InstanceNormalization between two reshapes, scale and shift."""
    b, rng = p.b, p.rng
    x = p.image(2, lambda value: value.shape[1] > 1)
    n, c, h, w = x.shape
    groups = rng.choice([g for g in (1, 2, 3, 4, 5, 7, 8, 16, 32, c) if c % g == 0])
    flat = b.node("Reshape", [x, b.constant((n, groups, -1))], (n, groups, c // groups * h * w))
    scale, shift = b.weight((groups,), 1.0), b.weight((groups,), 0.4)
    y = b.node("InstanceNormalization", [flat, scale, shift], flat.shape, 0.5, epsilon=1e-5)
    y = b.node("Reshape", [y, b.constant(x.shape)], x.shape)
    y = ops.mul(b, y, b.weight((c, 1, 1), 1.0))
    return ops.add(b, y, b.weight((c, 1, 1), 0.1))


def _lrn(p: Pool) -> Value:
    b, rng = p.b, p.rng
    x = p.part("LRN", p.image())
    size, bias = rng.choice([1, 3, 5, 5, 7, 9]), rng.choice([1.0, 2.0])
    return b.node("LRN", [x], x.shape, size=size, alpha=rng.choice([1e-4, 1e-3]), beta=0.75, bias=bias)


def _batch_norm(p: Pool) -> Value:
    """BatchNormalization of rows, sequences, images and volumes."""
    return ops.batch_norm(p.b, p.anything((2, 2, 3, 4, 5)))


def _variance(p: Pool) -> Value:
    """Standardisation by hand: minus the mean, over the deviation, of any axis."""
    b, rng = p.b, p.rng
    x = _rows(p)
    axes = (len(x.shape) - 1,) if rng.random() < 0.5 else (rng.randrange(len(x.shape)),)
    centred = ops.binary(b, "Sub", x, ops.reduce_mean(b, x, axes), x.level)
    squared = ops.mul(b, centred, centred)
    deviation = ops.unary(b, "Sqrt", ops.add(b, ops.reduce_mean(b, squared, axes), b.scalar(0.01)), x.level)
    return ops.binary(b, "Div", centred, deviation, 1.0)


def _l2_norm(p: Pool) -> Value:
    """Rows divided by their length, as before a cosine similarity."""
    b, rng = p.b, p.rng
    x = _rows(p)
    axis = len(x.shape) - 1 if rng.random() < 0.7 else rng.randrange(len(x.shape))
    if rng.random() < 0.3:
        return b.node("LpNormalization", [x], x.shape, x.shape[axis] ** -0.5, axis=axis, p=rng.choice([1, 2, 2]))
    length = ops.reduce_mean(b, x, (axis,), op_type="ReduceL2")
    length = ops.clip(b, length, 1e-6, 1e30) if rng.random() < 0.5 else ops.add(b, length, b.scalar(1e-6))
    return ops.binary(b, "Div", x, length, x.shape[axis] ** -0.5)


def _cumulated(p: Pool) -> Value:
    """CumSum over one axis; exclusive or reversed at times."""
    b, rng = p.b, p.rng
    x = _rows(p)
    axis = rng.randrange(len(x.shape))
    flags: dict[str, Any] = {name: 1 if rng.random() < 0.2 else None for name in ("exclusive", "reverse")}
    return b.node("CumSum", [x, b.constant([axis], ())], x.shape, x.level * x.shape[axis] / 2, **flags)


def _position(p: Pool) -> Value:
    """ArgMax or ArgMin, cast to numbers."""
    b, rng = p.b, p.rng
    x = _rows(p)
    axis, keep = rng.randrange(len(x.shape)), rng.random() < 0.5
    kept = [1] if keep else []
    shape = [*x.shape[:axis], *kept, *x.shape[axis + 1 :]]
    kind = rng.choice(["ArgMax", "ArgMax", "ArgMin"])
    found = b.node(kind, [x], shape, x.shape[axis] / 2, dtype=INT64, axis=axis, keepdims=int(keep))
    return ops.add(b, b.node("Cast", [found], shape, dtype=FLOAT, to=1), b.scalar(1.0))


def _largest(p: Pool) -> Value:
    """The largest of each row."""
    b, rng = p.b, p.rng
    x = _rows(p)
    axis = len(x.shape) - 1 if rng.random() < 0.75 else rng.randrange(len(x.shape))
    x = p.part("TopK", x)
    count = log_uniform(rng, 1, min(x.shape[axis], rng.choice([5, 100, 1000])))
    shape = [*x.shape[:axis], count, *x.shape[axis + 1 :]]
    values, places = b.node_of_many("TopK", [x, b.constant([count])], [shape, shape], axis=axis)
    return ops.add(b, values, b.node("Cast", [places], shape, 1.0, dtype=FLOAT, to=1))


ROWS: tuple[Sample, ...] = (
    Sample(5.0, _reduce), Sample(3.5, _softmax), Sample(3.0, _layer_norm), Sample(1.5, _rms_norm),
    Sample(1.2, _instance_norm), Sample(1.0, _group_norm), Sample(0.6, _lrn), Sample(1.0, _batch_norm),
    Sample(0.7, _variance), Sample(0.8, _l2_norm), Sample(0.8, _cumulated), Sample(0.8, _position),
    Sample(0.7, _largest),
)  # fmt: skip
