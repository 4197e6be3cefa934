"""Types of convolutions, products and poolings."""

from relay_frontend.graph import TensorType
from relay_frontend.relay.call import Call
from relay_frontend.relay.layouts import Layout, parse_layout

__all__ = [
    "adaptive_pool",
    "batch_matmul",
    "conv",
    "conv_transpose",
    "conv_winograd",
    "data_layout",
    "deformable_conv",
    "dense",
    "dense_pack",
    "global_pool",
    "kernel_layout",
    "matmul",
    "pads",
    "per_axis",
    "pool",
    "spatial_rank",
    "winograd_weight",
]

Types = tuple[TensorType, ...]

_SPATIAL = {1: "W", 2: "HW", 3: "DHW"}


def spatial_rank(call: Call) -> int:
    """How many spatial axes an operator has: the digit in its name."""
    return next((int(letter) for letter in call.op.rsplit(".", 1)[-1] if letter in "123"), 2)


def data_layout(call: Call, name: str = "data_layout") -> Layout:
    """The layout of the data; it has N, C and the spatial axes."""
    spatial = _SPATIAL[spatial_rank(call)]
    found = parse_layout(call.text(name, "NC" + spatial), call.label)
    if set(found.letters) != set("NC" + spatial):
        raise call.wrong(f"{name} {call.text(name, '')}", f"one with the axes NC{spatial}")
    return found


def kernel_layout(call: Call, default: str) -> Layout:
    """The layout of the weight; it has O, I and the spatial axes."""
    spatial = _SPATIAL[spatial_rank(call)]
    found = parse_layout(call.text("kernel_layout", default + spatial), call.label)
    if set(found.letters) != set("OI" + spatial):
        raise call.wrong(f"kernel_layout {call.text('kernel_layout', '')}", f"one with the axes OI{spatial}")
    return found


def pads(call: Call, rank: int) -> tuple[int, ...]:
    """Padding of ``rank`` axes: all befores, then all afters; one number is for all, one an axis for both sides."""
    found = call.ints("padding", (0,))
    if len(found) == 1:
        found *= 2 * rank
    elif len(found) == rank:
        found *= 2
    if len(found) != 2 * rank:
        raise call.wrong(f"padding {found[:12]}", f"1, {rank} or {2 * rank} numbers")
    return found


def per_axis(call: Call, name: str, rank: int, default: int) -> tuple[int, ...]:
    """A number an axis; one is for all."""
    found = call.ints(name, (default,))
    return found * rank if len(found) == 1 else found


def conv(call: Call) -> Types:
    """Convolutions, of blocked layouts too."""
    rank = spatial_rank(call)
    layout, kernel = data_layout(call), kernel_layout(call, "OI")
    data = layout.extents(call.shape, call.label)
    weight = kernel.extents(call.input(1).shape, call.label)
    groups = call.integer("groups", 1)
    # A depthwise weight in HWOI has the input's channels as O and the multiplier as I: only their product is certain.
    outputs = call.integer("channels", weight["O"])
    fits = groups > 0 and outputs > 0 and not data["C"] % groups and not outputs % groups
    if not fits or weight["O"] * weight["I"] != outputs * (data["C"] // groups):
        raise call.wrong(
            f"{data['C']} channels in {groups} groups and a weight of {list(call.input(1).shape)}",
            "weights for as many channels",
        )
    extents = {**data, "C": outputs}
    _slide(call, extents, tuple(weight[letter] for letter in _SPATIAL[rank]))
    written = call.text("out_layout", "")
    target = parse_layout(written, call.label) if written else layout
    return (TensorType(target.shape(extents, call.label), _out_dtype(call)),)


def _out_dtype(call: Call) -> str:
    found = call.text("out_dtype", "")
    return call.dtype if found in ("", "void") else found


def conv_transpose(call: Call) -> Types:
    """Transposed convolutions."""
    rank = spatial_rank(call)
    layout, kernel = data_layout(call), kernel_layout(call, "IO")
    data = layout.extents(call.shape, call.label)
    weight = kernel.extents(call.input(1).shape, call.label)
    groups = call.integer("groups", 1)
    if data["C"] != weight["I"] or groups < 1 or data["C"] % groups:
        raise call.wrong(f"{data['C']} channels in {groups} groups", f"weights for them, got some for {weight['I']}")
    around, strides = pads(call, rank), per_axis(call, "strides", rank, 1)
    extra, dilation = per_axis(call, "output_padding", rank, 0), per_axis(call, "dilation", rank, 1)
    if not len(strides) == len(extra) == len(dilation) == rank:
        raise call.wrong(f"strides {strides}, dilation {dilation}", f"{rank} numbers each")
    extents = {"N": data["N"], "C": weight["O"] * groups}
    for axis, letter in enumerate(_SPATIAL[rank]):
        reach = (weight[letter] - 1) * dilation[axis] + 1
        size = (data[letter] - 1) * strides[axis] + reach - around[axis] - around[axis + rank] + extra[axis]
        if size < 0:
            raise call.wrong(f"padding {around}", "less than what it computes")
        extents[letter] = size
    return (TensorType(layout.shape(extents, call.label), _out_dtype(call)),)


def conv_winograd(call: Call) -> Types:
    """A convolution whose weight is transformed already, so that its window is in ``kernel_size`` alone."""
    data = data_layout(call).extents(call.shape, call.label)
    extents = {**data, "C": call.integer("channels")}
    _slide(call, extents, call.ints("kernel_size", None))
    return (TensorType(data_layout(call).shape(extents, call.label), _out_dtype(call)),)


def winograd_weight(call: Call) -> Types:
    """A weight of OIHW as its transform: [tile + kernel - 1] twice, O, I."""
    outputs, inputs, *kernel = (*call.shape, 1, 1, 1, 1)[:4]
    tile = call.integer("tile_size")
    return (TensorType((*(tile + extent - 1 for extent in kernel), outputs, inputs), call.dtype),)


def deformable_conv(call: Call) -> Types:
    """data, offset, weight."""
    return conv(Call(call.op, call.label, (call.input(0), call.input(2)), call.attributes))


def _slide(call: Call, extents: dict[str, int], kernel: tuple[int, ...]) -> None:
    """Replace the spatial extents by the number of places that a window takes on each axis."""
    rank = spatial_rank(call)
    around, strides, dilation = (
        pads(call, rank),
        per_axis(call, "strides", rank, 1),
        per_axis(call, "dilation", rank, 1),
    )
    if not len(kernel) == len(strides) == len(dilation) == rank or min(*kernel, *strides, *dilation) < 1:
        raise call.wrong(
            f"a window of {kernel}, strides {strides}, dilation {dilation}", f"{rank} positive numbers each"
        )
    for axis, letter in enumerate(_SPATIAL[rank]):
        room = extents[letter] + around[axis] + around[axis + rank] - (kernel[axis] - 1) * dilation[axis] - 1
        if room < 0:
            raise call.wrong(f"a window of {kernel[axis]} over {extents[letter]}", "it to fit")
        extra = strides[axis] - 1 if call.attributes.get("ceil_mode") else 0
        extents[letter] = (room + extra) // strides[axis] + 1


def pool(call: Call) -> Types:
    """A pooling window; Relay's ceil_mode lets windows begin in the padding behind the data, as older Caffe does."""
    spatial_rank(call)
    layout = data_layout(call, "layout")
    extents = layout.extents(call.shape, call.label)
    _slide(call, extents, call.ints("pool_size", None))
    return (TensorType(layout.shape(extents, call.label), call.dtype),)


def global_pool(call: Call) -> Types:
    """A pooling of everything."""
    layout = data_layout(call, "layout")
    extents = layout.extents(call.shape, call.label)
    extents.update(dict.fromkeys(_SPATIAL[spatial_rank(call)], 1))
    return (TensorType(layout.shape(extents, call.label), call.dtype),)


def adaptive_pool(call: Call) -> Types:
    """A pooling down to ``output_size``; without one, to the size that is there."""
    layout, spatial = data_layout(call, "layout"), _SPATIAL[spatial_rank(call)]
    extents = layout.extents(call.shape, call.label)
    wanted = call.ints("output_size")
    if wanted:
        wanted = wanted * len(spatial) if len(wanted) == 1 else wanted
        if len(wanted) != len(spatial) or min(wanted) < 1:
            raise call.wrong(f"output_size {wanted}", f"{len(spatial)} positive numbers")
        extents.update(zip(spatial, wanted, strict=True))
    return (TensorType(layout.shape(extents, call.label), call.dtype),)


def dense(call: Call) -> Types:
    """The last axis by a weight of [units, inner]."""
    data, weight = call.shape, call.input(1).shape
    if not data or len(weight) != 2 or data[-1] != weight[1]:
        raise call.wrong(f"data {list(data)} and weight {list(weight)}", "a weight of [units, last extent of the data]")
    return (TensorType((*data[:-1], weight[0]), _out_dtype(call)),)


def dense_pack(call: Call) -> Types:
    """The same with a blocked weight."""
    layout = parse_layout(call.text("weight_layout", "NC8n"), call.label)
    weight = layout.extents(call.input(1).shape, call.label)
    if set(weight) != {"N", "C"} or not call.shape or call.shape[-1] != weight["C"]:
        raise call.wrong(f"data {list(call.shape)} and weight {list(call.input(1).shape)}", "as many columns")
    return (TensorType((*call.shape[:-1], weight["N"]), _out_dtype(call)),)


def _product(call: Call, transpose_a: bool, transpose_b: bool) -> tuple[int, int]:
    """Rows and columns of the product of the last two axes."""
    first, second = call.shape, call.input(1).shape
    if len(first) < 2 or len(second) < 2:
        raise call.wrong(f"operands {list(first)} and {list(second)}", "matrices")
    rows, inner = (first[-1], first[-2]) if transpose_a else first[-2:]
    other, columns = (second[-1], second[-2]) if transpose_b else second[-2:]
    if inner != other:
        raise call.wrong(f"operands {list(first)} and {list(second)}", "the same inner extent")
    return rows, columns


def matmul(call: Call) -> Types:
    """The last axes by a matrix."""
    transpose_a, transpose_b = (bool(call.attributes.get(name)) for name in ("transpose_a", "transpose_b"))
    rows, columns = _product(call, transpose_a, transpose_b)
    if len(call.input(1).shape) != 2:
        raise call.wrong(f"a second operand of {list(call.input(1).shape)}", "a matrix")
    return (TensorType((*call.shape[:-2], rows, columns), _out_dtype(call)),)


def batch_matmul(call: Call) -> Types:
    """Products of a batch of matrices; a batch of one is for all."""
    transpose_a, transpose_b = bool(call.attributes.get("transpose_a")), bool(call.attributes.get("transpose_b"))
    rows, columns = _product(call, transpose_a, transpose_b)
    batches = {call.shape[0], call.input(1).shape[0]}
    if len(call.shape) != 3 or len(call.input(1).shape) != 3 or len(batches - {1}) > 1:
        raise call.wrong(f"operands {list(call.shape)} and {list(call.input(1).shape)}", "two batches of matrices")
    return (TensorType((max(batches), rows, columns), _out_dtype(call)),)
