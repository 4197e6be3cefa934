"""Convolutions, products and poolings of Relay as canonical operators; weights are put into ONNX's layout."""

from collections.abc import Mapping

from relay_frontend.graph import AttributeValue, Edge, TensorType
from relay_frontend.relay.call import Call, Converter, Host
from relay_frontend.relay.infer_windows import data_layout, kernel_layout, pads, per_axis, spatial_rank
from relay_frontend.relay.layouts import Layout, parse_layout

__all__ = [
    "adaptive_pool",
    "conv",
    "conv_transpose",
    "conv_winograd",
    "deformable_conv",
    "dense",
    "dense_pack",
    "global_pool",
    "matmul",
    "pool",
]

_CHANNELS_FIRST = {1: "NCW", 2: "NCHW", 3: "NCDHW"}
_CHANNELS_LAST = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


def _channels_last(call: Call, layout: Layout) -> Mapping[str, AttributeValue]:
    """``channels_last`` for NHWC; blocks were taken out before, see builder.py."""
    rank = spatial_rank(call)
    if layout.letters == _CHANNELS_FIRST[rank]:
        return {}
    if layout.letters == _CHANNELS_LAST[rank]:
        return {"channels_last": 1}
    raise call.refuse(f"layout {layout.letters}", f"{_CHANNELS_FIRST[rank]} or {_CHANNELS_LAST[rank]}")


def _relaid(call: Call, host: Host, index: int, order: tuple[int, ...], shape: tuple[int, ...]) -> Edge:
    """An input in another layout: a constant is stored so from the start, what is computed is transposed."""
    edge, kind = call.edges[index], TensorType(shape, call.inputs[index].dtype)
    if kind == call.inputs[index]:
        return edge
    name = host.parameter_name(edge)
    if name is not None:
        return host.add_parameter(name, kind)
    if sorted(order) != list(range(len(call.inputs[index].shape))):
        raise call.refuse(f"a weight of {list(call.inputs[index].shape)} that is computed", "a constant one")
    return host.emit("Transpose", (edge,), (kind,), {"perm": order})


def _weight(call: Call, host: Host, index: int, default: str, shape: tuple[int, ...]) -> Edge:
    layout = kernel_layout(call, default)
    spatial = _CHANNELS_FIRST[spatial_rank(call)][2:]
    order = tuple(layout.letters.index(letter) for letter in default + spatial)
    return _relaid(call, host, index, () if layout.blocked else order, shape)


def _kernel(call: Call, index: int, default: str) -> tuple[int, ...]:
    found = kernel_layout(call, default).extents(call.inputs[index].shape, call.label)
    return tuple(found[letter] for letter in _CHANNELS_FIRST[spatial_rank(call)][2:])


def _window(call: Call, kernel: tuple[int, ...]) -> dict[str, AttributeValue]:
    rank = len(kernel)
    return {
        "dilations": per_axis(call, "dilation", rank, 1),
        "kernel_shape": kernel,
        "pads": pads(call, rank),
        "strides": per_axis(call, "strides", rank, 1),
    }


def conv(op: str, inputs: int = 2) -> Converter:
    """A convolution; ``inputs`` of a quantised one: zero points come after the weight."""

    def convert(call: Call, host: Host) -> Edge:
        layout, groups = data_layout(call), call.integer("groups", 1)
        data = layout.extents(call.shape, call.label)
        output = _output_channels(call, layout)
        kernel = _kernel(call, 1, "OI")
        weight = _weight(call, host, 1, "OI", (output, data["C"] // groups, *kernel))
        attributes = {**_window(call, kernel), "group": groups, **_channels_last(call, layout)}
        return host.emit(op, (call.edges[0], weight, *call.edges[2:inputs]), call.outputs, attributes)

    return convert


def _output_channels(call: Call, layout: Layout) -> int:
    written = call.text("out_layout", "")
    return (parse_layout(written, call.label) if written else layout).extents(call.outputs[0].shape, call.label)["C"]


def conv_winograd(call: Call, host: Host) -> Edge:
    """The convolution that it computes; its weight is transformed beforehand, and counted as it was before."""
    layout, kernel = data_layout(call), call.ints("kernel_size", None)
    channels, groups = layout.extents(call.shape, call.label)["C"], call.integer("groups", 1)
    shape = (call.integer("channels"), channels // max(1, groups), *kernel)
    weight = _relaid(call, host, 1, (), shape)
    attributes = {**_window(call, kernel), "group": groups, **_channels_last(call, layout)}
    return host.emit("Conv", (call.edges[0], weight), call.outputs, attributes)


def conv_transpose(call: Call, host: Host) -> Edge:
    """A transposed convolution."""
    layout = data_layout(call)
    if _channels_last(call, layout):
        raise call.refuse(f"layout {layout.letters}", "channels as the second axis")
    extents = kernel_layout(call, "IO").extents(call.input(1).shape, call.label)
    kernel = _kernel(call, 1, "IO")
    weight = _weight(call, host, 1, "IO", (extents["I"], extents["O"], *kernel))
    attributes = {**_window(call, kernel), "group": call.integer("groups", 1),
                  "output_padding": per_axis(call, "output_padding", len(kernel), 0)}  # fmt: skip
    return host.emit("ConvTranspose", (call.edges[0], weight), call.outputs, attributes)


def deformable_conv(call: Call, host: Host) -> Edge:
    """Relay has data, offset, weight; ONNX data, weight, offset."""
    attributes = {**_window(call, _kernel(call, 2, "OI")), "group": call.integer("groups", 1)}
    return host.emit("DeformConv", (call.edges[0], call.edges[2], call.edges[1]), call.outputs, attributes)


def pool(op: str) -> Converter:
    """A pooling window."""

    def convert(call: Call, host: Host) -> Edge:
        attributes = {
            **_window(call, call.ints("pool_size", None)),
            "ceil_mode": int(bool(call.attributes.get("ceil_mode"))),
            **_channels_last(call, data_layout(call, "layout")),
        }
        if op == "AveragePool":
            attributes["count_include_pad"] = int(bool(call.attributes.get("count_include_pad")))
        return host.emit(op, call.edges, call.outputs, attributes)

    return convert


def global_pool(op: str) -> Converter:
    """A pooling of everything."""
    return lambda call, host: host.emit(op, call.edges, call.outputs, _channels_last(call, data_layout(call, "layout")))


def adaptive_pool(kind: str) -> Converter:
    """Global down to one; a window where all are equal."""

    def convert(call: Call, host: Host) -> Edge:
        layout = data_layout(call, "layout")
        given, wanted = (layout.extents(found.shape, call.label) for found in (call.inputs[0], call.outputs[0]))
        spatial = _CHANNELS_FIRST[spatial_rank(call)][2:]
        last = _channels_last(call, layout)
        if all(wanted[letter] == 1 for letter in spatial):
            return host.emit(f"Global{kind}Pool", call.edges, call.outputs, last)
        if any(given[letter] % wanted[letter] for letter in spatial):
            raise call.refuse("windows of unequal size", "an output size that divides the input's")
        window = tuple(given[letter] // wanted[letter] for letter in spatial)
        fixed: dict[str, AttributeValue] = {"ceil_mode": 0, "dilations": (1,) * len(window), "kernel_shape": window,
                                            "pads": (0,) * (2 * len(window)), "strides": window, **last}  # fmt: skip
        if kind == "Average":
            fixed["count_include_pad"] = 0
        return host.emit(f"{kind}Pool", call.edges, call.outputs, fixed)

    return convert


def dense(op: str, inputs: int = 2) -> Converter:
    """A product by a weight of [units, inner], which is stored the other way round."""

    def convert(call: Call, host: Host) -> Edge:
        weight = _transposed(call, host, 1)
        return host.emit(op, (call.edges[0], weight, *call.edges[2:inputs]), call.outputs)

    return convert


def dense_pack(call: Call, host: Host) -> Edge:
    """The same with a blocked weight."""
    weight = _relaid(call, host, 1, (), (call.shape[-1], call.outputs[0].shape[-1]))
    return host.emit("MatMul", (call.edges[0], weight), call.outputs)


def _transposed(call: Call, host: Host, index: int) -> Edge:
    """An operand with its last two axes exchanged."""
    shape = call.inputs[index].shape
    rank = len(shape)
    order = (*range(rank - 2), rank - 1, rank - 2)
    kind = TensorType((*shape[:-2], shape[-1], shape[-2]), call.inputs[index].dtype)
    name = host.parameter_name(call.edges[index])
    if name is not None:
        return host.add_parameter(name, kind)
    return host.emit("Transpose", (call.edges[index],), (kind,), {"perm": order})


def matmul(op: str = "MatMul", inputs: int = 2) -> Converter:
    """A product; operands that are to be transposed are, by an operator of its own."""

    def convert(call: Call, host: Host) -> Edge:
        edges = [
            _transposed(call, host, index) if call.attributes.get(name) else call.edges[index]
            for index, name in enumerate(("transpose_a", "transpose_b"))
        ]
        return host.emit(op, (*edges, *call.edges[2:inputs]), call.outputs)

    return convert
