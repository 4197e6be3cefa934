"""The blocked layout ("nchwc"): what ONNX Runtime computes in it, and where it goes into it and out of it.

Channels are stored in blocks that fill a vector register. Convolutions and pools are moved into the layout where
channels permit; what stands between them stays in it where it can; everything else reads a reordered copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from relay_frontend.graph import AttributeValue, TensorType
from tvm_narcost.fusion.draft import Draft, DraftNode, Value, constant_operand

__all__ = ["block_layout"]

_POOLS = ("MaxPool", "AveragePool")
_GLOBAL_POOLS = ("GlobalMaxPool", "GlobalAveragePool")
_STAY_BLOCKED = ("Relu", "Sigmoid", "Tanh", "Gelu", "QuickGelu")
_FUSED_LATE = ("Relu", "Sigmoid", "Tanh")  # into a convolution that has just taken in a sum
_CHANNEL_ALIGNMENT = 4  # ReorderInput copies so many channels at once
_TO_CHANNELS_LAST, _TO_CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def block_layout(draft: Draft, block: int) -> None:
    """Move a graph into the blocked layout wherever ONNX Runtime would.

    Args:
        draft: a graph whose activations are already fused.
        block: channels in one block: 16 for AVX-512, 8 for AVX2.
    """
    blocking = _Blocking(draft, block)
    for node in draft.ordered():
        if node in draft:
            blocking.visit(node)
    blocking.finish()


@dataclass(frozen=True, slots=True)
class _Blocked:
    """A value in blocks: how many of its channels are real, how often the plain one it stands for was used."""

    value: Value
    channels: int
    uses: int


@dataclass(eq=False, slots=True)
class _Blocking:
    """The walk. A plain value whose writer is gone keeps its readers until they are moved, or until the end.

    Attributes:
        blocked: plain value -> the blocked one that stands for it.
        entered: plain value -> what ReorderInput makes of it.
        padded: (parameter, shape) -> the parameter with its channels rounded up to whole blocks.
    """

    draft: Draft
    block: int
    blocked: dict[Value, _Blocked] = field(default_factory=dict)
    entered: dict[Value, Value] = field(default_factory=dict)
    padded: dict[tuple[Value, tuple[int, ...]], Value] = field(default_factory=dict)

    def visit(self, node: DraftNode) -> None:
        """Move one node into the layout, if it can be."""
        if node.op == "Conv":
            self._convolution(node)
        elif node.op in _POOLS:
            self._pool(node)
        elif node.op in ("Add", "Sum", "Mul"):
            self._elementwise(node)
        elif node.op == "Concat":
            self._concat(node)
        elif node.inputs and node.inputs[0] in self.blocked:
            self._follow(node)

    def finish(self) -> None:
        """Give every reader that stays in plain layout its copy."""
        for plain, blocked in self.blocked.items():
            if plain.uses:
                attributes: dict[str, AttributeValue] = {"channels": blocked.channels, "channels_last": 0}
                copy = self.draft.add("ReorderOutput", [blocked.value], [plain.kind], attributes)
                self.draft.replace(plain, copy.output)

    def _convolution(self, node: DraftNode) -> None:
        data, weight = node.inputs[:2]
        group = node.attributes.get("group", 1)
        if not all(value.parameter for value in node.inputs[1:]) or len(weight.shape) != 4 or not _is_float(weight):
            return
        outputs, inputs = weight.shape[:2]
        if not isinstance(group, int) or not self._takes_channels(outputs, inputs, group):
            return
        reads_plain = group == 1 and inputs < self.block
        source = data if reads_plain else self._enter(data)
        attributes = {**node.attributes, "layout": "nchwc"}
        if group > 1 and inputs == 1:
            attributes["group"] = self._whole(outputs)
        channels = inputs if reads_plain or group > 1 else self._whole(inputs)
        constants = [self._pad(weight, (self._whole(outputs), channels, *weight.shape[2:]))]
        constants += [self._pad(bias, (self._whole(outputs),)) for bias in node.inputs[2:]]
        self._move(node, "Conv", [source, *constants], attributes, outputs)

    def _takes_channels(self, outputs: int, inputs: int, group: int) -> bool:
        """Whether there is a blocked convolution of so many channels; ``inputs`` counts those of one group."""
        if group == 1:
            return inputs < self.block or inputs % _CHANNEL_ALIGNMENT == 0
        if outputs % _CHANNEL_ALIGNMENT:
            return False
        depthwise = inputs == 1 and outputs == group
        return depthwise or (inputs % self.block == 0 and outputs % (group * self.block) == 0)

    def _pool(self, node: DraftNode) -> None:
        data = node.inputs[0]
        if len(data.shape) == 4 and data.shape[1] % self.block == 0 and len(node.outputs) == 1 and _is_float(data):
            attributes = {name: value for name, value in node.attributes.items() if name != "storage_order"}
            attributes["layout"] = "nchwc"
            self._move(node, node.op, [self._enter(data)], attributes, data.shape[1])

    def _elementwise(self, node: DraftNode) -> None:
        operand = constant_operand(node) if node.op == "Mul" else None
        if operand is not None:
            data, scale = operand
            if data in self.blocked and _is_per_channel(scale.shape, data.shape):
                self._depthwise(node, data, [scale])
            return
        if node.op == "Mul" and self._hard_swish(node):
            return
        if any(value not in self.blocked for value in node.inputs):
            return
        sources = [self.blocked[value] for value in node.inputs]
        if len({value.shape for value in node.inputs}) > 1:
            if node.op != "Mul" and len({source.channels for source in sources}) == 1:
                self._add_broadcast(node, sources)
            return
        if node.op != "Mul" and len(sources) == 2:
            for source, other in (sources, sources[::-1]):
                conv = source.value.producer
                if conv is not None and source.uses == 1 and _takes_sum(conv):
                    self.draft.set_inputs(conv, (*conv.inputs, other.value))
                    conv.attributes["fused_sum"] = 1
                    self._stand_for(node, source)
                    return
        self._keep(node, sources, sources[0].channels)

    def _add_broadcast(self, node: DraftNode, sources: list[_Blocked]) -> None:
        """Add values of other heights and widths: with an axis for the inside of a block, the usual kernel can."""
        split = [self._reshape(source.value, self._split_shape(source.value.kind)) for source in sources]
        kind = self._blocked_kind(node.output.kind)
        made = self.draft.add(node.op, split, [TensorType(self._split_shape(kind), kind.dtype)], {}, node.name)
        made.rank = node.rank
        self._move(node, "Reshape", [made.output], {"shape": kind.shape}, sources[0].channels)

    def _split_shape(self, kind: TensorType) -> tuple[int, ...]:
        batch, channels, *spatial = kind.shape
        return batch, channels // self.block, *spatial, self.block

    def _reshape(self, value: Value, shape: tuple[int, ...]) -> Value:
        return self.draft.add("Reshape", [value], [TensorType(shape, value.kind.dtype)], {"shape": shape}).output

    def _hard_swish(self, node: DraftNode) -> bool:
        """Fuse x times HardSigmoid(x) into the convolution that writes x, if nobody else reads x."""
        for data, gate in (node.inputs, node.inputs[::-1]):
            source, sigmoid = self.blocked.get(data), gate.producer
            if source is None or sigmoid is None or sigmoid.op != "HardSigmoid" or sigmoid.inputs[0] is not data:
                continue
            conv = source.value.producer
            if conv is not None and source.uses == 2 and gate.uses == 1 and _takes_activation(conv):
                conv.attributes["activation"] = "HardSwish"
                self._stand_for(node, source)
                self.draft.remove(sigmoid)
                return True
        return False

    def _concat(self, node: DraftNode) -> None:
        sources = [self.blocked[value] for value in node.inputs if value in self.blocked]
        aligned = all(source.channels % self.block == 0 for source in sources)
        if len(sources) == len(node.inputs) and aligned and node.attributes.get("axis") == 1:
            self._keep(node, sources, sum(source.channels for source in sources))

    def _follow(self, node: DraftNode) -> None:
        """A node that stays in the layout when what it reads is in it."""
        source = self.blocked[node.inputs[0]]
        if node.op in _STAY_BLOCKED:
            conv = source.value.producer
            if conv is not None and source.uses == 1 and node.op in _FUSED_LATE and _takes_activation(conv):
                conv.attributes["activation"] = node.op
                self._stand_for(node, source)
            else:
                self._keep(node, [source], source.channels)
        elif node.op in _GLOBAL_POOLS:
            self._pool(node)
        elif node.op == "BatchNormalization" and len(node.outputs) == 1:
            self._depthwise(node, node.inputs[0], node.inputs[1:3])
        elif node.op in ("Resize", "Upsample") and _is_simple_resize(node):
            kept = ("coordinate_transformation_mode", "mode", "scales")
            attributes = {name: value for name, value in node.attributes.items() if name in kept}
            self._move(node, "Upsample", [source.value], {**attributes, "layout": "nchwc"}, source.channels)
        elif node.op == "Transpose" and node.attributes.get("perm") == _TO_CHANNELS_LAST:
            leaving: dict[str, AttributeValue] = {"channels": source.channels, "channels_last": 1}
            copy = self.draft.add("ReorderOutput", [source.value], [node.output.kind], leaving, node.name)
            self.draft.replace(node.output, copy.output)
            self.draft.remove(node)

    def _depthwise(self, node: DraftNode, data: Value, constants: Sequence[Value]) -> None:
        """A scale a channel, perhaps with a shift, as a depthwise convolution of one tap."""
        source = self.blocked[data]
        channels = self._whole(source.channels)
        shapes = ((channels, 1, 1, 1), (channels,))
        padded = [self._pad(constant, shape) for constant, shape in zip(constants, shapes, strict=False)]
        attributes: dict[str, AttributeValue] = {
            "dilations": (1, 1), "group": channels, "kernel_shape": (1, 1), "layout": "nchwc", "pads": (0, 0, 0, 0),
            "strides": (1, 1),
        }  # fmt: skip
        self._move(node, "Conv", [source.value, *padded], attributes, source.channels)

    def _enter(self, plain: Value) -> Value:
        """A value in blocks; it is reordered if nothing has written it so."""
        if plain in self.blocked:
            return self.blocked[plain].value
        if plain not in self.entered:
            source, last = plain, 0
            writer = plain.producer
            if writer is not None and plain.uses == 1 and writer.attributes.get("perm") == _TO_CHANNELS_FIRST:
                source, last = writer.inputs[0], 1  # the reorder transposes as well
            made = self.draft.add("ReorderInput", [source], [self._blocked_kind(plain.kind)], {"channels_last": last})
            self.entered[plain] = made.output
        return self.entered[plain]

    def _move(
        self, node: DraftNode, op: str, inputs: list[Value], attributes: dict[str, AttributeValue], channels: int
    ) -> DraftNode:
        """Put a blocked node in the place of a plain one."""
        plain = node.output
        made = self.draft.add(op, inputs, [self._blocked_kind(plain.kind)], attributes, node.name)
        self.blocked[plain] = _Blocked(made.output, channels, plain.uses)
        abandoned = list(node.inputs)
        self.draft.remove(node)
        self.draft.remove_chain(value for value in abandoned if value.producer in self.draft)
        return made

    def _keep(self, node: DraftNode, sources: list[_Blocked], channels: int) -> None:
        """The same operator, on blocked values; it keeps its place in the order of creation."""
        made = self._move(node, node.op, [source.value for source in sources], node.attributes, channels)
        made.rank = node.rank

    def _stand_for(self, node: DraftNode, source: _Blocked) -> None:
        """The value of ``source`` now holds what ``node`` computed."""
        self.blocked[node.output] = _Blocked(source.value, source.channels, node.output.uses)
        self.draft.remove(node)

    def _blocked_kind(self, kind: TensorType) -> TensorType:
        return TensorType((kind.shape[0], self._whole(kind.shape[1]), *kind.shape[2:]), kind.dtype)

    def _whole(self, channels: int) -> int:
        return -(-channels // self.block) * self.block

    def _pad(self, parameter: Value, shape: tuple[int, ...]) -> Value:
        """A parameter of another shape; the same one for the same parameter and shape."""
        if parameter.shape == shape:
            return parameter
        key = (parameter, shape)
        if key not in self.padded:
            kind = TensorType(shape, parameter.kind.dtype)
            self.padded[key] = Value(kind, parameter=True, name=f"{parameter.name}.blocked")
        return self.padded[key]


def _is_float(value: Value) -> bool:
    return value.kind.dtype == "float32"


def _takes_activation(conv: DraftNode) -> bool:
    """Whether a blocked node can still apply an activation to its result."""
    return conv.op == "Conv" and "activation" not in conv.attributes


def _takes_sum(conv: DraftNode) -> bool:
    """Whether a blocked convolution can still add another value to its result."""
    return _takes_activation(conv) and "fused_sum" not in conv.attributes


def _is_simple_resize(node: DraftNode) -> bool:
    """Whether height and width grow by whole factors, from the nearest neighbour or linearly."""
    scales = node.attributes.get("scales")
    if len(node.inputs) != 1 or not isinstance(scales, tuple) or len(scales) != 4:
        return False
    whole = all(isinstance(scale, int | float) and scale > 0 and float(scale).is_integer() for scale in scales)
    mode, nearest = node.attributes.get("mode", "nearest"), node.attributes.get("nearest_mode")
    position = node.attributes.get("coordinate_transformation_mode", "asymmetric")
    from_floor = mode == "nearest" and nearest in (None, "floor") and position == "asymmetric"
    return whole and scales[:2] == (1, 1) and (from_floor or mode == "linear")


def _is_per_channel(constant: tuple[int, ...], data: tuple[int, ...]) -> bool:
    """Whether a constant has one number a channel."""
    channels = data[1]
    return channels > 1 and constant in ((channels, 1, 1), (1, channels, 1, 1))
