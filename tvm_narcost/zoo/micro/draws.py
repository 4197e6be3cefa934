"""Shapes and cheap or dear element-wise steps that the micro-graphs share."""

import random

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.corpus.draws import log_uniform, width

__all__ = ["CHEAP", "DEAR", "MOST_ELEMENTS", "affine", "dear", "image", "matrix", "step"]

MOST_ELEMENTS = 1_000_000
_LEAST_ELEMENTS = 4096

DEAR = ("Exp", "Tanh", "Sigmoid", "Erf", "Log", "Softplus")
"""Tens of instructions an element: computing one twice costs more than a trip to memory."""

CHEAP = ("Relu", "scale", "shift", "Abs", "Neg", "LeakyRelu")


def matrix(rng: random.Random, least: int = _LEAST_ELEMENTS, most: int = MOST_ELEMENTS) -> tuple[int, int]:
    """[rows, columns], neither below 4."""
    elements = log_uniform(rng, least, most)
    rows = log_uniform(rng, 4, max(4, elements // 4))
    return rows, max(4, elements // rows)


def image(b: GraphBuilder, least_channels: int = 4, most_channels: int = 512, unit: int = 1) -> Value:
    """Declare an image input [1, c, h, h] whose channels are a multiple of ``unit``."""
    rng = b.rng
    channels = max(unit, width(rng, least_channels, most_channels) // unit * unit)
    elements = log_uniform(rng, _LEAST_ELEMENTS, MOST_ELEMENTS)
    side = min(128, max(4, round((elements / channels) ** 0.5)))
    return b.input((1, channels, side, side), f"input{len(b.inputs)}")


def dear(b: GraphBuilder, x: Value, kind: str | None = None) -> Value:
    """A transcendental function, of what it is defined for and does not overflow on."""
    kind = kind or b.rng.choice(DEAR)
    if kind == "Exp":
        return ops.unary(b, "Exp", ops.mul(b, x, b.scalar(b.rng.choice([-0.5, -0.25, 0.125, 0.25]))), 1.2)
    if kind == "Log":
        return ops.unary(b, "Log", ops.add(b, ops.unary(b, "Abs", x), b.scalar(1.0)), 0.7)
    return ops.unary(b, kind, x, 0.7 if kind != "Softplus" else x.level + 0.7)


def step(b: GraphBuilder, x: Value, share_of_dear: float = 0.4) -> Value:
    """One cheap or dear step of one operand."""
    rng = b.rng
    if rng.random() < share_of_dear:
        return dear(b, x)
    kind = rng.choice(CHEAP)
    if kind == "scale":
        return ops.mul(b, x, b.scalar(float(f"{rng.uniform(0.4, 1.6):.4g}")))
    if kind == "shift":
        return ops.add(b, x, b.scalar(float(f"{rng.uniform(0.05, 0.5):.4g}")))
    return activation(b, x, kind)


def affine(b: GraphBuilder, x: Value, *, shift: bool = True) -> Value:
    """Times a scale, plus a shift, a channel each: a normalisation at inference, written out."""
    shape = (x.shape[1], *[1] * (len(x.shape) - 2)) if len(x.shape) > 2 else x.shape[-1:]
    x = ops.binary(b, "Mul", x, b.weight(shape, 1.0), x.level)
    return ops.binary(b, "Add", x, b.weight(shape, 0.05), x.level) if shift else x
