"""The values that the next random kernel may read."""

import math
from collections.abc import Callable, Sequence

from tvm_narcost.errors import ZooError
from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.builder import FLOAT, INT64, GraphBuilder, Value
from tvm_narcost.zoo.corpus.draws import factorised, image_shape, tensor_shape, width
from tvm_narcost.zoo.cost import coarse_cost_us

__all__ = ["Pool"]

_KERNEL_US = (15.0, 12e3)  # what the dearest kernel of a network may cost
_ELEMENTS_PER_US = 2000
_MOST_ELEMENTS = 20_000_000
_MOST_OUTPUT_ELEMENTS = 10_000  # the copy to the caller is no kernel's time, so outputs stay small
_SHARE_OF_INPUTS = 0.13
_SHARE_OF_LARGE = 0.45
# Operators whose elements take long in ONNX Runtime, elements of input a microsecond on one core; others do thousands.
_SLOW_PER_US: dict[str, int] = {
    "Softplus": 80, "Mish": 80, "LpPool": 40, "GlobalLpPool": 150, "LRN": 50, "TopK": 80, "Mod": 160, "Pow": 340,
    "ReduceLogSumExp": 260, "Sin": 400, "Cos": 400, "Atan": 400, "Resize": 150, "Where": 700, "Elu": 700, "Selu": 700,
    "Celu": 700, "Log": 700, "LogSoftmax": 550, "Erf": 2000, "Gelu": 1500, "HardSwish": 600,
}  # fmt: skip
_SHARE_OF_RESHAPES = 0.4


class Pool:
    """Hands out values of a wanted form: mostly one made shortly before, else an old one, a reshaped one, an input.

    Attributes:
        b: where the nodes go.
        rng: the builder's.
        cap_us: coarse cost that no kernel should exceed; drawn log-uniformly, so that small networks exist too.
        most_elements: of a tensor.
    """

    def __init__(self, b: GraphBuilder) -> None:
        self.b, self.rng = b, b.rng
        low, high = _KERNEL_US
        self.cap_us: float = low * (high / low) ** self.rng.random()
        self.most_elements = min(_MOST_ELEMENTS, round(self.cap_us * _ELEMENTS_PER_US))
        self._values: list[Value] = []

    # ---- what a kernel reads

    def image(self, spatial: int = 2, ok: Callable[[Value], bool] = lambda value: True) -> Value:
        """[n, c, spatial...], float32."""
        return self.obtain(spatial + 2, ok, lambda: image_shape(self.rng, self.most_elements, spatial))

    def tensor(self, rank: int, ok: Callable[[Value], bool] = lambda value: True) -> Value:
        """Any float32 tensor of this rank."""
        return self.obtain(rank, ok, lambda: tensor_shape(self.rng, self.most_elements, rank))

    def anything(self, ranks: Sequence[int] = (1, 2, 3, 4, 5)) -> Value:
        """Any float32 tensor of one of these ranks."""
        found = None if self.rng.random() < _SHARE_OF_INPUTS else self.pick(lambda value: len(value.shape) in ranks)
        return found or self.tensor(self.rng.choice(ranks))

    def obtain(self, rank: int, ok: Callable[[Value], bool], draw: Callable[[], tuple[int, ...]]) -> Value:
        """A value of ``rank`` axes that is ``ok``; ``draw`` gives the shape of a new input."""
        if self.rng.random() >= _SHARE_OF_INPUTS:
            found = self.pick(lambda value: len(value.shape) == rank and ok(value))
            if found and self.rng.random() < 0.9:
                return found
            if self.rng.random() < _SHARE_OF_RESHAPES and (reshaped := self._reshaped(rank, ok)):
                return reshaped
        for _ in range(40):
            shape = draw()
            if ok(Value("", shape)):
                return self.fresh(shape)
        raise ZooError(f"no input of rank {rank} that a kernel can read was drawn, expected one; draw again")

    def pick(self, ok: Callable[[Value], bool]) -> Value | None:
        """The youngest value that is ``ok``, or now and then an older one."""
        fitting = [value for value in reversed(self._values) if ok(value)]
        for value in fitting:
            if self.rng.random() < 0.65:
                return value
        return fitting[0] if fitting else None

    def beside(self, parts: Sequence[Value], ok: Callable[[Value], bool]) -> Value | None:
        """A value that is ``ok`` and none of ``parts``."""
        taken = {part.name for part in parts}
        return self.pick(lambda value: value.name not in taken and ok(value))

    def like(self, x: Value) -> Value:
        """Another value of the shape of ``x``: made before, or an input."""
        found = self.pick(lambda value: value.shape == x.shape and value.name != x.name)
        return found if found and self.rng.random() < 0.8 else self.fresh(x.shape)

    def fresh(self, shape: Sequence[int]) -> Value:
        """A new input of the network."""
        count = len(self.b.inputs)
        value = self.b.input(shape, f"input_{count}" if count else "input")
        self._values.append(value)
        return value

    def indices(self, shape: Sequence[int]) -> Value:
        """A new int64 input; at run time its elements are 0 or 1."""
        return self.b.input(shape, f"ids_{len(self.b.inputs)}", INT64)

    def _reshaped(self, rank: int, ok: Callable[[Value], bool]) -> Value | None:
        x = self.pick(lambda value: 1 < value.elements <= 4_000_000)
        shape = x and factorised(self.rng, x.elements, rank)
        if not x or not shape or shape == x.shape or not ok(Value("", shape)):
            return None
        return self.b.node("Reshape", [x, self.b.constant(shape)], shape)

    # ---- what a kernel may cost

    def quick(self, op_type: str, x: Value) -> bool:
        """Whether an operator that handles each element on its own keeps to the cap."""
        return op_type not in _SLOW_PER_US or x.elements <= self.cap_us * _SLOW_PER_US[op_type]

    def quick_of(self, op_types: Sequence[str], x: Value, default: str = "Relu") -> str:
        """One of the operators that keep to the cap; ``default`` where none does."""
        return self.rng.choice([op_type for op_type in op_types if self.quick(op_type, x)] or [default])

    def part(self, op_type: str, x: Value) -> Value:
        """``x``, or as much of its longest axis as an operator can handle within the cap."""
        if self.quick(op_type, x):
            return x
        axis = max(range(len(x.shape)), key=lambda a: x.shape[a])
        few = max(1, round(x.shape[axis] * self.cap_us * _SLOW_PER_US[op_type] / x.elements))
        return x if few >= x.shape[axis] else ops.slice_axis(self.b, x, axis, 0, few)

    def affordable(self, op_type: str, flops: float, elements: int) -> bool:
        """Whether a kernel of that much arithmetic, and of so many elements read and written, keeps to the cap."""
        return elements <= 2 * _MOST_ELEMENTS and coarse_cost_us(op_type, flops, 4.0 * elements, 0) <= self.cap_us + 2

    def budget(self, op_type: str, low: int, high: int, weigh: Callable[[int], tuple[float, int]]) -> int:
        """An extent: near the largest that is affordable, or anything below; ``weigh`` gives its FLOPs and elements."""
        while high > low and not self.affordable(op_type, *weigh(high)):
            high = max(low, high * 3 // 4)
        return width(self.rng, max(low, high // 5) if self.rng.random() < _SHARE_OF_LARGE else low, high)

    # ---- what a kernel leaves

    def put(self, *values: Value) -> None:
        """Take in results; a level far from 1 is scaled back, so that nothing overflows or vanishes later."""
        for value in values:
            if value.dtype != FLOAT:
                raise ZooError(f"{value.name} is {value.dtype}, expected float32; cast it first")
            if not 0.02 < value.level < 50:
                scale = self.b.scalar(float(f"{self.rng.uniform(0.5, 1) / max(value.level, 1e-30):.4g}"))
                value = ops.mul(self.b, value, scale)
            self._values.append(value)

    def finish(self) -> None:
        """Declare the outputs: whatever nothing reads, made small first.

        Raises:
            ZooError: two nodes are the same, so ONNX Runtime would merge them.
        """
        read = {name for node in self.b.nodes for name in node.inputs}
        self.b.inputs = [value for value in self.b.inputs if value.name in read]
        inputs = {value.name for value in self.b.inputs}
        made = {name for node in self.b.nodes for name in node.outputs}
        for value in self._values:
            if value.name in made and value.name not in read and value.name not in inputs:
                self.b.output(self._small(value))
        twins = [(node.op_type, node.inputs, tuple(sorted(node.attributes.items()))) for node in self.b.nodes]
        if len(set(twins)) < len(twins):
            raise ZooError("two nodes of a network are the same, expected all to differ; draw again")

    def _small(self, x: Value) -> Value:
        """A reduction or a corner of a value that is too large for an output."""
        if x.elements <= _MOST_OUTPUT_ELEMENTS:
            return x
        rng, rank = self.rng, len(x.shape)
        if rng.random() < 0.4 or rank == 1:
            axis = max(range(rank), key=lambda a: x.shape[a])
            few = max(1, x.shape[axis] * _MOST_OUTPUT_ELEMENTS // x.elements)
            return self._small(ops.slice_axis(self.b, x, axis, 0, few))
        if rank == 4 and x.shape[0] * x.shape[1] <= _MOST_OUTPUT_ELEMENTS and rng.random() < 0.5:
            return self.b.node(rng.choice(["GlobalAveragePool", "GlobalMaxPool"]), [x], (*x.shape[:2], 1, 1))
        order = rng.sample(range(rank), rank)
        axes: list[int] = []
        while math.prod(x.shape[axis] for axis in order) > _MOST_OUTPUT_ELEMENTS:
            axes.append(order.pop())
        kind = rng.choice(["ReduceMean", "ReduceMean", "ReduceMax", "ReduceMin"])
        return ops.reduce_mean(self.b, x, sorted(axes), keepdims=rng.random() < 0.5, op_type=kind)
