"""Random element-wise arithmetic, activations, comparisons, broadcasts in every direction, and pooling."""

import math
from collections.abc import Callable
from typing import Any

from tvm_narcost.errors import ZooError
from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation
from tvm_narcost.zoo.builder import FLOAT, GraphBuilder, Value
from tvm_narcost.zoo.corpus.pool import Pool
from tvm_narcost.zoo.corpus.sample import Sample

__all__ = ["ELEMENTWISE"]

# operator -> level of its result, of any input
_UNARY: dict[str, float | None] = {
    "Relu": None, "Tanh": 0.7, "Sigmoid": 0.7, "Erf": 0.7, "Abs": None, "Neg": None, "Floor": None, "Ceil": None,
    "Round": None, "Sin": 0.7, "Cos": 0.7, "Atan": 0.7, "Elu": None, "Selu": None, "Softplus": None, "Softsign": 0.6,
    "LeakyRelu": None, "HardSigmoid": 0.7, "Celu": None, "ThresholdedRelu": None, "Sign": 0.9,
}  # fmt: skip
_COMPOSED = ("Gelu", "Gelu", "Swish", "HardSwish", "Mish", "PRelu", "Relu6")
_SINCE = {"Mish": 18}
_BROADCASTS = ("same", "same", "scalar", "constant_scalar", "channel", "row", "column", "both", "weight", "inner")


def _unary(p: Pool) -> Value:
    b, rng = p.b, p.rng
    x = p.anything()
    if rng.random() < 0.35:
        return _composed(b, x, p.quick_of(_COMPOSED, x))
    kind = p.quick_of(sorted(_UNARY), x)
    attributes: dict[str, Any] = {}
    if kind == "ThresholdedRelu":
        attributes["alpha"] = 0.3
    if kind in ("LeakyRelu", "Elu") and rng.random() < 0.7:
        attributes["alpha"] = rng.choice([0.01, 0.1, 0.2, 0.5])
    y = ops.unary(b, kind, x, _UNARY[kind] and min(_UNARY[kind] or 0, x.level), **attributes)
    return ops.add(b, y, b.scalar(0.3)) if kind in ("Floor", "Ceil", "Round", "Sign") else y


def _composed(b: GraphBuilder, x: Value, kind: str) -> Value:
    if kind == "Mish":
        if b.opset >= _SINCE["Mish"] and b.rng.random() < 0.3:
            return ops.unary(b, "Mish", x)
        return ops.mul(b, x, ops.unary(b, "Tanh", ops.unary(b, "Softplus", x), 0.9))
    if kind == "PRelu" and len(x.shape) < 2:
        return b.node("PRelu", [x, b.weight((1,), 0.25)], x.shape)
    return activation(b, x, kind)


def _positive(p: Pool, x: Value) -> Value:
    """A value above 0, whatever ``x`` holds: roots, logarithms and quotients need one."""
    b = p.b
    kind = p.rng.choice(["abs", "sigmoid", "softplus" if p.quick("Softplus", x) else "abs", "square"])
    if kind == "sigmoid":
        return ops.unary(b, "Sigmoid", x, 0.6)
    if kind == "softplus":
        return ops.unary(b, "Softplus", x, x.level + 0.7)
    y = ops.unary(b, "Abs", x) if kind == "abs" else ops.mul(b, x, x)
    return ops.add(b, y, b.scalar(p.rng.choice([0.1, 0.5, 1.0])))


def _of_positive(p: Pool) -> Value:
    """Log, Sqrt, Reciprocal, Pow or Exp of a value for which it is defined."""
    b, rng = p.b, p.rng
    x = p.anything()
    kind = p.quick_of(["Log", "Sqrt", "Reciprocal", "Pow", "Exp", "Exp", "Square", "Cube"], x)
    if kind == "Exp":
        return ops.unary(b, "Exp", ops.unary(b, "Tanh", x, 0.7) if x.level > 2 else x, math.exp(min(x.level, 2)))
    if kind in ("Square", "Cube"):
        power = 2.0 if kind == "Square" else 3.0
        return ops.binary(b, "Pow", x, b.scalar(power), x.level**power)
    x = _positive(p, x)
    if kind == "Pow":
        power = rng.choice([0.5, 1.5, 2.2, 0.45, -0.5])
        return ops.binary(b, "Pow", x, b.scalar(power), x.level**power)
    return ops.unary(b, kind, x, {"Log": 1.0, "Sqrt": x.level**0.5, "Reciprocal": 1 / x.level}[kind])


def _other_shape(p: Pool, x: Value, how: str) -> tuple[int, ...]:
    """The shape of an operand that broadcasts against ``x``."""
    shape, rank = x.shape, len(x.shape)
    ones = (1,) * rank
    if how == "channel":
        return (1, shape[1], *ones[2:]) if rank > 1 else ones
    if how == "row":
        return shape[-1:]
    if how == "column":
        return (*shape[:-1], 1)
    if how == "inner":
        return shape[rank // 2 :]
    if how == "scalar":
        return (1,)
    return shape


def _binary(p: Pool) -> Value:
    """Two operands: equal shapes, or one of them spread over rows, columns, channels or all of the other."""
    b, rng = p.b, p.rng
    x = p.anything()
    how = rng.choice(_BROADCASTS)
    kind = rng.choice(["Add", "Add", "Mul", "Mul", "Sub", "Div", "Max", "Min"])
    if how == "constant_scalar":
        other = b.scalar(float(f"{rng.uniform(0.3, 2.5):.4g}"))
    elif how == "weight":
        other = b.weight(_other_shape(p, x, rng.choice(["channel", "row", "same", "inner"])), rng.choice([0.5, 1.0]))
    elif how == "both":
        return _outer(p, x, kind)
    else:
        shape = _other_shape(p, x, how)
        other = p.like(x) if shape == x.shape else p.pick(lambda v: v.shape == shape) or p.fresh(shape)
    if kind == "Div" and how not in ("constant_scalar", "weight"):
        other = _positive(p, other)
    swapped = rng.random() < 0.3 and kind != "Div"
    level = max(x.level, other.level) if kind in ("Max", "Min", "Sub") else None
    return ops.binary(b, kind, *((other, x) if swapped else (x, other)), level)


def _outer(p: Pool, x: Value, kind: str) -> Value:
    """Both operands spread: a column of one by a row of the other."""
    b, rng = p.b, p.rng
    if x.elements > p.most_elements // 2 or x.elements > 4096:
        x = p.fresh((rng.randint(2, 64), rng.randint(2, 64)))
    rank = len(x.shape)
    most = max(1, min(2048, p.most_elements // x.elements))
    left = ops.unsqueeze(b, x, (rank,))
    other = p.fresh((*(extent if rng.random() < 0.3 else 1 for extent in x.shape), rng.randint(1, most)))
    kind = "Mul" if kind == "Div" else kind
    shape = (*x.shape, other.shape[-1])
    return b.node(kind, [left, other], shape, max(left.level, other.level))


def _compared(p: Pool) -> Value:
    """A comparison or a logical operator of two, as a mask that multiplies or chooses."""
    b, rng = p.b, p.rng
    x = p.anything()
    other = p.like(x) if rng.random() < 0.5 else b.scalar(rng.choice([0.3, 0.5, 0.7]))
    comparisons = ["Greater", "Less", "Equal"]
    if b.opset >= 16:  # older ones are functions whose shapes onnx does not infer
        comparisons += ["GreaterOrEqual", "LessOrEqual"]
    mask = b.node(rng.choice(comparisons), [x, other], x.shape, dtype="bool")
    if rng.random() < 0.25:
        second = b.node("Less", [p.like(x), b.scalar(0.9)], x.shape, dtype="bool")
        mask = b.node(rng.choice(["And", "Or", "Xor"]), [mask, second], x.shape, dtype="bool")
    if rng.random() < 0.2:
        mask = b.node("Not", [mask], x.shape, dtype="bool")
    if rng.random() < 0.5:
        otherwise = b.scalar(0.1) if rng.random() < 0.5 else b.weight((x.shape[-1],), 0.2)
        return b.node("Where", [mask, x, otherwise], x.shape, x.level, dtype=FLOAT)
    gate = b.node("Cast", [mask], x.shape, 1.0, dtype=FLOAT, to=1)
    return ops.binary(b, "Add", ops.mul(b, x, gate), b.scalar(0.1), x.level)


def _many(p: Pool) -> Value:
    """Sum, Max, Min or Mean of two to eight values."""
    b, rng = p.b, p.rng
    x = p.anything()
    kind = rng.choice(["Sum", "Sum", "Max", "Min", "Mean"])
    parts = [x]
    for _ in range(rng.choice([1, 2, 2, 3, 7])):
        parts.append(p.beside(parts, lambda v: v.shape == x.shape) or p.fresh(x.shape))
    level = sum(part.level for part in parts) if kind == "Sum" else max(part.level for part in parts)
    return b.node(kind, parts, x.shape, level)


def _modulo(p: Pool) -> Value:
    b, rng = p.b, p.rng
    x = p.part("Mod", p.anything())
    y = ops.mul(b, x, b.scalar(rng.choice([3.0, 7.5])))
    return ops.add(b, b.node("Mod", [y, b.scalar(1.0)], x.shape, 0.5, fmod=1), b.scalar(0.1))


def _chain(p: Pool) -> Value:
    """Four to twelve operators of one value in a row."""
    b, rng = p.b, p.rng
    x = p.anything()
    for _ in range(rng.randint(4, 12)):
        kind = rng.choice(["scale", "shift", "act", "clip", "skip", "gate"])
        if kind == "scale":
            x = ops.mul(b, x, b.scalar(float(f"{rng.uniform(0.7, 1.4):.4g}")))
        elif kind == "shift":
            x = ops.binary(b, rng.choice(["Add", "Sub"]), x, b.scalar(float(f"{rng.uniform(0.05, 0.4):.4g}")), x.level)
        elif kind == "clip":
            x = ops.clip(b, x, -3.0, 3.0)
        elif kind == "skip":
            x = ops.binary(b, "Add", x, p.like(x), x.level)
        elif kind == "gate":
            x = ops.mul(b, x, ops.unary(b, rng.choice(["Sigmoid", "Tanh"]), x, 0.7))
        else:
            x = ops.unary(b, rng.choice(["Relu", "Tanh", "Sigmoid", "Elu", "Erf", "Abs", "Neg"]), x)
        if x.level < 0.05:
            x = ops.add(b, x, b.scalar(0.5))
    return x


def _pool(p: Pool) -> Value:
    """Pooling of one to three dimensions: odd windows, strides, padding, ceil, dilation."""
    b, rng = p.b, p.rng
    x = p.image(rng.choices([2, 1, 3], [0.86, 0.08, 0.06])[0])
    spatial = len(x.shape) - 2
    kind = p.quick_of(["MaxPool", "MaxPool", "MaxPool", "AveragePool", "AveragePool", "LpPool"], x)
    for _ in range(40):
        kernel = tuple(rng.choice([1, 2, 2, 3, 3, 3, 4, 5, 7, 9, 13]) for _ in range(spatial))
        kernel = kernel if rng.random() < 0.25 else (kernel[0],) * spatial
        stride = rng.choice([1, 1, 2, 2, 2, 3, 4, max(kernel)])
        dilation = rng.choice([1, 1, 1, 1, 1, 2, 3]) if kind == "MaxPool" else 1
        pads = tuple(rng.choice([0, k // 2, k // 2, (k - 1) // 2]) if k > 1 else 0 for k in kernel)
        spans = [n + 2 * pad - dilation * (k - 1) - 1 for n, pad, k in zip(x.shape[2:], pads, kernel, strict=True)]
        ceil = rng.random() < 0.2 and not any(pads) and kind != "LpPool"
        sides = [(-(-span // stride) if ceil else span // stride) + 1 for span in spans]
        # a window of a rounded-up size must begin inside the image
        begins = all((side - 1) * stride < n for side, n in zip(sides, x.shape[2:], strict=True))
        work = 2.0 * x.shape[0] * x.shape[1] * math.prod(max(s, 0) for s in sides) * math.prod(kernel) * 10
        if min(spans) >= 0 and begins and max(kernel) > 1 and p.affordable(kind, work, 2 * x.elements):
            break
    else:
        return _global_pool(p, x)
    return b.node(
        kind, [x], (*x.shape[:2], *sides), kernel_shape=kernel, strides=(stride,) * spatial, pads=(*pads, *pads),
        ceil_mode=1 if ceil else None, dilations=(dilation,) * spatial if dilation > 1 else None,
        count_include_pad=rng.randint(0, 1) if kind == "AveragePool" and any(pads) else None,
        p=rng.choice([1, 2]) if kind == "LpPool" else None,
    )  # fmt: skip


def _global_pool(p: Pool, x: Value) -> Value:
    kind = p.quick_of(["GlobalAveragePool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"], x)
    return p.b.node(kind, [x], (*x.shape[:2], *(1 for _ in x.shape[2:])))


def _global(p: Pool) -> Value:
    """A pooling over all positions, and what it gates."""
    b, rng = p.b, p.rng
    x = p.image(rng.choice([2, 2, 2, 2, 1, 3]))
    if math.prod(x.shape[2:]) == 1:
        raise ZooError(f"{x.shape} has one position, expected more to pool; draw again")
    y = _global_pool(p, x)
    if rng.random() < 0.4:
        return ops.mul(b, x, ops.unary(b, "Sigmoid", y, 0.7))
    return y


_WEIGHTED: tuple[tuple[float, Callable[[Pool], Value]], ...] = (
    (5.0, _unary), (2.0, _of_positive), (6.0, _binary), (1.2, _compared), (1.5, _many), (0.4, _modulo), (1.5, _chain),
    (3.0, _pool), (0.8, _global),
)  # fmt: skip
ELEMENTWISE: tuple[Sample, ...] = tuple(Sample(weight, build) for weight, build in _WEIGHTED)
