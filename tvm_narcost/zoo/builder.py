"""GraphBuilder: collects the nodes of one network and tracks shapes; knows nothing of protobuf."""

import math
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm_narcost.errors import ZooError
from tvm_narcost.zoo.cost import coarse_cost_us
from tvm_narcost.zoo.spelling import Spelling

__all__ = ["Constant", "GraphBuilder", "Node", "Value", "Weight"]

FLOAT = "float32"
INT64 = "int64"


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the network: its name, shape, dtype and the rough size of its elements on an input of ones."""

    name: str
    shape: tuple[int, ...]
    level: float = 1.0
    dtype: str = FLOAT

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Weight:
    """A float32 parameter, all elements equal; becomes a ConstantOfShape node."""

    name: str
    shape: tuple[int, ...]
    fill: float


@dataclass(frozen=True, slots=True)
class Constant:
    """A small tensor with its data: a shape, axes, a scalar, a mask."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """An operator to write; attributes are ints, floats, strings or tuples of them."""

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


class GraphBuilder:
    """Collects the nodes of one network.

    Every weight has a value of its own: ONNX Runtime's common-subexpression elimination would merge parallel layers
    of equal weights. The value is near 1 / (fan-in x level of the input), which keeps activations of order 1.

    Attributes:
        rng: source of every choice.
        spelling: how this network spells things.
        batch: batch size.
        flops: so far, 2 per multiply-accumulate.
        weight_bytes: so far.
        cost_us: coarse time on one core so far.
    """

    def __init__(self, rng: random.Random, spelling: Spelling, batch: int = 1) -> None:
        self.rng = rng
        self.spelling = spelling
        self.batch = batch
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.weights: list[Weight] = []
        self.constants: list[Constant] = []
        self.nodes: list[Node] = []
        self.flops = 0.0
        self.weight_bytes = 0
        self.cost_us = 0.0
        self._fills: set[float] = set()
        self._constant_of: dict[tuple[Any, ...], Value] = {}

    # ---- inputs, outputs, parameters

    def input(self, shape: Sequence[int], name: str = "input", dtype: str = FLOAT) -> Value:
        """Declare an input of the network."""
        value = Value(name, tuple(shape), 1.0, dtype)
        self.inputs.append(value)
        return value

    def image(self, height: int, width: int | None = None, channels: int = 3) -> Value:
        """Declare an image input, [batch, channels, height, width]."""
        return self.input((self.batch, channels, height, width or height))

    def output(self, value: Value) -> None:
        """Declare an output of the network."""
        self.outputs.append(value)

    def weight(self, shape: Sequence[int], near: float) -> Value:
        """A parameter whose elements all have one value close to ``near`` that no other weight has."""
        # Alternating signs, so that the offsets do not add up with depth.
        count = len(self.weights)
        step = (1 + count // 2) * (1 if count % 2 else -1)
        fill = _to_float32(near * (1 + 9.7e-5 * step))
        while fill in self._fills:
            step += 1 if step > 0 else -1
            fill = _to_float32(near * (1 + 9.7e-5 * step + 3.1e-6))
        self._fills.add(fill)
        parameter = Weight(f"w{count}", tuple(shape), fill)
        self.weights.append(parameter)
        self.weight_bytes += 4 * math.prod(parameter.shape)
        return Value(parameter.name, parameter.shape, fill)

    def constant(self, data: Sequence[float], shape: Sequence[int] | None = None, dtype: str = INT64) -> Value:
        """A small tensor with its data; equal ones are shared."""
        dims = (len(data),) if shape is None else tuple(shape)
        key = (tuple(data), dims, dtype)
        if key not in self._constant_of:
            name = f"c{len(self.constants)}"
            self.constants.append(Constant(name, dims, dtype, tuple(data)))
            level = max((abs(x) for x in data), default=1.0)
            self._constant_of[key] = Value(name, dims, level, dtype)
        return self._constant_of[key]

    def scalar(self, number: float) -> Value:
        """A float32 scalar."""
        return self.constant([number], (), FLOAT)

    # ---- nodes

    def node(
        self,
        op_type: str,
        inputs: Sequence[Value | None],
        shape: Sequence[int],
        level: float | None = None,
        flops: float = 0.0,
        dtype: str | None = None,
        **attributes: Any,
    ) -> Value:
        """Add an operator of one output; a None input is an absent optional one.

        Raises:
            ZooError: an extent of the output is below 1.
        """
        return self.node_of_many(op_type, inputs, [shape], level, flops, dtype, **attributes)[0]

    def node_of_many(
        self,
        op_type: str,
        inputs: Sequence[Value | None],
        shapes: Sequence[Sequence[int]],
        level: float | None = None,
        flops: float = 0.0,
        dtype: str | None = None,
        **attributes: Any,
    ) -> list[Value]:
        """Add an operator of several outputs."""
        if any(extent < 1 for shape in shapes for extent in shape):
            raise ZooError(
                f"{op_type} would have output {list(shapes)}, expected extents of 1 or more; use a larger input"
            )
        present = [value for value in inputs if value is not None]
        first = present[0] if present else Value("", ())
        level = first.level if level is None else level
        stem = f"{op_type}_{len(self.nodes)}"
        names = [f"{stem}_out{index}" if len(shapes) > 1 else f"{stem}_out" for index in range(len(shapes))]
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(
            Node(op_type, tuple("" if value is None else value.name for value in inputs), tuple(names), kept)
        )
        outputs = [
            Value(name, tuple(shape), level, dtype or first.dtype) for name, shape in zip(names, shapes, strict=True)
        ]
        elements = sum(value.elements for value in outputs)
        moved_bytes = 4.0 * (elements + sum(value.elements for value in present))
        self.flops += flops
        self.cost_us += coarse_cost_us(op_type, flops, moved_bytes, elements)
        return outputs

    @property
    def opset(self) -> int:
        """Version of the operator set."""
        return self.spelling.opset


def _to_float32(number: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", number))[0])
