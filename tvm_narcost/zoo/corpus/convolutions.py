"""Random convolutions of one to three dimensions, with what fuses into them and what breaks their layout."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from tvm_narcost.errors import ZooError
from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation, global_pool
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.corpus.draws import log_uniform, width
from tvm_narcost.zoo.corpus.pool import Pool
from tvm_narcost.zoo.corpus.sample import Sample

__all__ = ["CONVOLUTIONS"]

_FUSED = ("Relu", "Relu", "Relu6", "Clip", "Sigmoid", "HardSigmoid", "Tanh", "LeakyRelu")
_UNFUSED = ("Swish", "Swish", "HardSwish", "Gelu", "Mish", "PRelu", "Elu", "Softplus")
_GROUPED_PENALTY = 6.0  # FLOPs of a dense convolution that cost as much as one of a grouped


@dataclasses.dataclass(frozen=True, slots=True)
class _Geometry:
    """A convolution but for its input; every tuple has an entry per spatial axis."""

    channels: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    groups: int = 1
    auto_pad: str | None = None


def _spatial(x: Value, g: _Geometry) -> tuple[int, ...]:
    axes = zip(x.shape[2:], g.kernel, g.strides, g.dilations, g.pads, strict=True)
    if g.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return tuple(-(-size // stride) for size, _, stride, _, _ in axes)
    return tuple((size + sum(pad) - d * (k - 1) - 1) // s + 1 for size, k, s, d, pad in axes)


def _attributes(g: _Geometry) -> dict[str, Any]:
    pads = (*(low for low, _ in g.pads), *(high for _, high in g.pads))
    return {
        "kernel_shape": g.kernel, "strides": g.strides, "dilations": g.dilations, "group": g.groups,
        "auto_pad": g.auto_pad, "pads": None if g.auto_pad else pads,
    }  # fmt: skip


def _convolved(b: GraphBuilder, x: Value, g: _Geometry) -> Value:
    fan_in = x.shape[1] // g.groups * math.prod(g.kernel)
    weight = b.weight((g.channels, x.shape[1] // g.groups, *g.kernel), 1 / (fan_in * x.level))
    bias = [b.weight((g.channels,), 0.05)] if b.rng.random() < 0.7 else []
    shape = (x.shape[0], g.channels, *_spatial(x, g))
    return b.node("Conv", [x, weight, *bias], shape, 1.0, 2.0 * math.prod(shape) * fan_in, **_attributes(g))


def _draw(p: Pool, x: Value, kind: str) -> _Geometry | None:
    """A geometry that fits ``x`` and the cap, or None; the dearer of two as often as any."""
    found: list[tuple[float, int, _Geometry]] = []
    for attempt in range(40):
        g = _drawn(p, x, kind)
        spatial = _spatial(x, g)
        if min(spatial) < 1 or (g.auto_pad and max(g.dilations) > 1):
            continue
        if any(sum(pad) >= d * (k - 1) + 1 + size for pad, d, k, size in zip(g.pads, g.dilations, g.kernel,
                                                                             x.shape[2:], strict=True)):  # fmt: skip
            continue
        outputs = x.shape[0] * g.channels * math.prod(spatial)
        fan_in = x.shape[1] // g.groups * math.prod(g.kernel)
        flops = 2.0 * outputs * fan_in * (_GROUPED_PENALTY if g.groups > 1 else 1.0)
        elements = x.elements + outputs + g.channels * fan_in
        if len(spatial) != 2 or g.channels % 16 or (x.shape[1] % 16 and x.shape[1] > 3):
            # no blocked layout: each window is first written out as a column
            elements += outputs // g.channels * g.groups * fan_in
        if p.affordable("Conv", flops, elements):
            found.append((flops, attempt, g))
            if len(found) == 2 or p.rng.random() < 0.5:
                break
    return max(found)[2] if found else None


def _kernel(p: Pool, x: Value, kind: str) -> tuple[int, ...]:
    rng, spatial = p.rng, len(x.shape) - 2
    if kind == "pointwise":
        return (1,) * spatial
    if spatial == 3:
        return rng.choice([(1, 1, 1), (3, 3, 3), (3, 3, 3), (1, 3, 3), (3, 1, 1), (2, 2, 2), (5, 5, 5)])
    if spatial == 1:
        return (rng.choice([1, 3, 3, 5, 7, 9, 15, 31, 80]),)
    how = rng.random()
    if how < 0.6:
        size = rng.choice([1, 2, 3, 3, 3, 3, 4, 5, 5, 7])
        return (size, size)
    if how < 0.72:
        size = log_uniform(rng, 7, 31)
        return (size, size)
    if how < 0.88:
        size = rng.choice([2, 3, 5, 7, 9, 11, 15, 21, 31])
        return (1, size) if rng.random() < 0.5 else (size, 1)
    return (rng.randint(1, 7), rng.randint(1, 7))


def _drawn(p: Pool, x: Value, kind: str) -> _Geometry:
    rng, inputs = p.rng, x.shape[1]
    kernel = _kernel(p, x, kind)
    rank = len(kernel)
    groups, channels = 1, width(rng)
    if kind == "depthwise":
        groups, channels = inputs, inputs * rng.choice([1, 1, 1, 1, 2, 3, 4])
    elif kind == "grouped":
        groups = rng.choice([g for g in range(2, inputs + 1) if inputs % g == 0] or [1])
        channels = max(1, round(channels / groups)) * groups
    dilation = rng.choice([1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 6, 12])
    stride = rng.choices([1, 2, 3, 4], [0.68, 0.22, 0.05, 0.05])[0]
    strides = tuple(stride if rng.random() < 0.9 else rng.randint(1, 4) for _ in range(rank))
    dilations = tuple(dilation if k > 1 else 1 for k in kernel)
    padding = rng.choices(["same", "valid", "any", "auto"], [0.62, 0.2, 0.1, 0.08])[0]
    if padding == "same":
        pads = [(d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2) for d, k in zip(dilations, kernel, strict=True)]
    elif padding == "any":
        pads = [(rng.randint(0, k - 1), rng.randint(0, k - 1)) for k in kernel]
    else:
        pads = [(0, 0)] * rank
    auto = rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]) if padding == "auto" else None
    return _Geometry(channels, kernel, strides, dilations, tuple(pads), groups, auto)


def _activated(p: Pool, x: Value, kinds: Sequence[str]) -> Value:
    kind = p.quick_of(kinds, x)
    if kind == "Mish":
        return ops.mul(p.b, x, ops.unary(p.b, "Tanh", ops.unary(p.b, "Softplus", x), 0.9))
    if kind == "Clip":
        return ops.clip(p.b, x, p.rng.choice([-1.0, -0.5, 0.0]), p.rng.choice([0.9, 1.0, 6.0, 20.0]))
    return activation(p.b, x, kind)


def _ended(p: Pool, x: Value, y: Value, g: _Geometry) -> Value:
    """What follows a convolution: nothing, normalisation, activation, a skip connection."""
    b, rng = p.b, p.rng
    how = rng.random()
    if how < 0.15:
        return y
    if how < 0.35:
        y = ops.batch_norm(b, y)
    if how < 0.72:
        return _activated(p, y, _FUSED if rng.random() < 0.72 else _UNFUSED)
    if how < 0.78:
        return y
    parallel = rng.random() < 0.4 and p.pick(lambda value: value.shape == y.shape) is None
    other = _convolved(b, x, g) if parallel else p.like(y)
    y = b.node(b.spelling.residual, [y, other] if rng.random() < 0.7 else [other, y], y.shape, y.level + other.level)
    return _activated(p, y, _FUSED) if rng.random() < 0.6 else y


def _sample(p: Pool, kind: str, spatial: int = 2) -> Value:
    b = p.b
    for _ in range(4):
        x = p.image(spatial, lambda value: kind not in ("depthwise", "grouped") or value.shape[1] > 1)
        g = _draw(p, x, kind)
        if g:
            return _ended(p, x, _convolved(b, x, g), g)
    raise ZooError(f"no {kind} convolution of {spatial} dimensions is affordable, expected one; draw again")


def _dense(p: Pool) -> Value:
    return _sample(p, "dense")


def _pointwise(p: Pool) -> Value:
    return _sample(p, "pointwise")


def _depthwise(p: Pool) -> Value:
    return _sample(p, "depthwise")


def _grouped(p: Pool) -> Value:
    return _sample(p, "grouped")


def _one_dimension(p: Pool) -> Value:
    return _sample(p, p.rng.choice(["dense", "dense", "pointwise", "depthwise", "grouped"]), 1)


def _three_dimensions(p: Pool) -> Value:
    return _sample(p, p.rng.choice(["dense", "dense", "dense", "pointwise", "depthwise", "grouped"]), 3)


def _separable(p: Pool) -> Value:
    """Depthwise, then 1x1, as mobile networks have them."""
    p.put(_sample(p, "depthwise"))
    return _sample(p, "pointwise")


def _transposed(p: Pool) -> Value:
    """ConvTranspose with strides, padding, output padding, dilation and groups."""
    b, rng = p.b, p.rng
    x = p.image(rng.choices([2, 1, 3], [0.85, 0.1, 0.05])[0])
    spatial = len(x.shape) - 2
    for _ in range(40):
        kernel = rng.choice([1, 2, 2, 3, 3, 4, 4, 5, 6, 8])
        stride = rng.choice([1, 2, 2, 2, 3, 4])
        dilation = rng.choice([1, 1, 1, 1, 1, 2])
        low, high = rng.randint(0, (kernel - 1) // 2), rng.randint(0, (kernel - 1) // 2)
        extra = rng.choice([0, 0, stride - 1]) if stride > 1 else 0
        sides = [(n - 1) * stride + extra + dilation * (kernel - 1) + 1 - low - high for n in x.shape[2:]]
        groups = rng.choice([1, 1, 1, 1, *[g for g in (2, 3, 4, 8, x.shape[1]) if x.shape[1] % g == 0]])
        each = max(1, width(rng, 1, 512) // groups)
        shape = (x.shape[0], each * groups, *sides)
        flops = 2.0 * x.elements * each * kernel**spatial
        elements = math.prod(shape) * (kernel // stride + 1) + x.elements
        if min(sides) > 0 and p.affordable("ConvTranspose", flops, elements):
            break
    else:
        raise ZooError("no ConvTranspose is affordable, expected one; draw again")
    fan_in = max(1, x.shape[1] // groups * kernel**spatial // stride**spatial)
    weight = b.weight((x.shape[1], each, *[kernel] * spatial), 1 / (fan_in * x.level))
    bias = [b.weight((each * groups,), 0.05)] if rng.random() < 0.7 else []
    y = b.node(
        "ConvTranspose", [x, weight, *bias], shape, 1.0, flops, kernel_shape=(kernel,) * spatial,
        strides=(stride,) * spatial, dilations=(dilation,) * spatial, pads=(low,) * spatial + (high,) * spatial,
        output_padding=(extra,) * spatial, group=groups,
    )  # fmt: skip
    if rng.random() < 0.2:
        y = ops.batch_norm(b, y)
    return _activated(p, y, _FUSED + _UNFUSED) if rng.random() < 0.5 else y


def _lone_norm(p: Pool) -> Value:
    """BatchNormalization that follows no convolution, with and without an activation."""
    x = p.image(p.rng.choice([2, 2, 2, 1, 3]))
    y = ops.batch_norm(p.b, x)
    return _activated(p, y, _FUSED + _UNFUSED) if p.rng.random() < 0.6 else y


def _blocked(p: Pool) -> Value:
    """An operator between convolutions that ONNX Runtime has in its blocked layout too, at least for some sizes."""
    b, rng = p.b, p.rng
    x = p.image()
    n, c, h, w = x.shape
    kind = rng.choice(["pool", "pool", "concat", "up", "gate"])
    if kind == "pool" and min(h, w) >= 3:
        k = rng.choice([2, 3, 3, 5]) if min(h, w) > 5 else 3
        return ops.pool(b, x, rng.choice(["MaxPool", "AveragePool"]), k, rng.choice([1, 2]), rng.choice([0, 1]))
    if kind == "concat":
        other = p.pick(lambda v: len(v.shape) == 4 and (v.shape[0], *v.shape[2:]) == (n, h, w) and v.name != x.name)
        return ops.concat(b, [x, other or p.fresh((n, width(rng, 1, max(2, 2 * c)), h, w))])
    if kind == "up" and x.elements * 4 <= p.most_elements:
        return ops.resize(b, x, 2, rng.choice(["nearest", "linear"]))
    gate = ops.conv(b, global_pool(b, x), c, 1)
    return ops.mul(b, x, activation(b, gate, rng.choice(["Sigmoid", "HardSigmoid"])))


def _plain(p: Pool) -> Value:
    """An operator between convolutions that only the plain layout has, so that the blocked one is left and entered."""
    b, rng = p.b, p.rng
    x = p.image()
    c = x.shape[1]
    kind = rng.choice(["lrn", "permute", "cut", "scale", "pad", "act"])
    if kind == "lrn" and p.quick("LRN", x):
        return ops.lrn(b, x)
    if kind == "permute":
        turned = ops.transpose(b, x, rng.choice([(0, 2, 3, 1), (0, 1, 3, 2)]))
        return activation(b, turned, rng.choice(["Relu", "Tanh"]))
    if kind == "cut" and c > 1:
        return ops.slice_axis(b, x, 1, rng.choice([0, c // 2]), c - 1)
    if kind == "pad":
        return ops.pad(b, x, (0, 0, 1, 1, 0, 0, rng.randint(0, 2), 1))
    if kind == "scale":
        return ops.add(b, ops.mul(b, x, b.weight((1, c, 1, 1), 1.0)), b.weight((1, c, 1, 1), 0.1))
    return _activated(p, x, _UNFUSED)


CONVOLUTIONS: tuple[Sample, ...] = (
    Sample(6.0, _dense), Sample(3.5, _pointwise), Sample(3.0, _depthwise), Sample(2.0, _grouped),
    Sample(1.5, _one_dimension), Sample(1.2, _three_dimensions), Sample(1.5, _separable), Sample(2.0, _transposed),
    Sample(0.8, _lone_norm), Sample(2.0, _blocked), Sample(2.0, _plain),
)  # fmt: skip
