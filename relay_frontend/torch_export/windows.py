"""Convolutions, poolings and resizing."""

from relay_frontend.graph import AttributeValue, Edge, TensorType
from relay_frontend.torch_export.call import NOT_MAPPED, Converter, Edges, TorchCall

__all__ = ["WINDOWS"]


def _batched(call: TorchCall, edge: Edge, rank: int) -> tuple[Edge, TensorType]:
    """The input with a batch, and the result that goes with it; torch lets the batch be left out."""
    kind = call.type_of(edge)
    if len(kind.shape) != rank - 1:
        return edge, call.output
    added = call.add("Unsqueeze", (edge,), TensorType((1, *kind.shape), kind.dtype), axes=(0,))
    return added, TensorType((1, *call.output.shape), call.output.dtype)


def _unbatched(call: TorchCall, edge: Edge) -> Edge:
    if call.type_of(edge) == call.output:
        return edge
    return call.add("Squeeze", (edge,), call.output, axes=(0,))


def _convolution(call: TorchCall) -> Edge:
    """Of every rank, transposed ones too."""
    weight = call.kind("weight")
    rank = len(weight.shape)
    spatial = rank - 2
    data, made = _batched(call, call.tensor("input"), rank)
    bias = call.optional("bias")
    attributes: dict[str, AttributeValue] = {
        "dilations": call.integers("dilation", (1,), spatial),
        "group": call.integer("groups", 1),
        "kernel_shape": weight.shape[2:],
        "pads": _pads(call, weight.shape[2:]),
        "strides": call.integers("stride", (1,), spatial),
    }
    transposed = "transpose" in call.call.target or call.flag("transposed")
    if transposed:
        attributes["output_padding"] = call.integers("output_padding", (0,), spatial)
    inputs = (data, call.tensor("weight"), *(() if bias is None else (bias,)))
    return _unbatched(call, call.add("ConvTranspose" if transposed else "Conv", inputs, made, **attributes))


def _pads(call: TorchCall, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """All befores and then all afters; ``same`` puts the odd one behind."""
    mode = call.argument("padding")
    if not isinstance(mode, str):
        return call.integers("padding", (0,), len(kernel)) * 2
    if mode == "valid":
        return (0,) * (2 * len(kernel))
    dilations = call.integers("dilation", (1,), len(kernel))
    totals = [dilation * (size - 1) for size, dilation in zip(kernel, dilations, strict=True)]
    return (*(total // 2 for total in totals), *(total - total // 2 for total in totals))


def _pool(op: str) -> Converter:
    """MaxPool, whose second output are the places of the maxima, and AveragePool."""

    def convert(call: TorchCall) -> Edges:
        kernel = call.integers("kernel_size")
        spatial = _spatial(call)
        kernel = kernel * spatial if len(kernel) == 1 else kernel
        data, made = _batched(call, call.tensor("self"), spatial + 2)
        attributes: dict[str, AttributeValue] = {
            "ceil_mode": int(call.flag("ceil_mode")),
            "dilations": call.integers("dilation", (1,), spatial),
            "kernel_shape": kernel,
            "pads": call.integers("padding", (0,), spatial) * 2,
            "strides": call.integers("stride", kernel, spatial),
        }
        if op == "AveragePool":
            attributes["count_include_pad"] = int(call.flag("count_include_pad", True))
        places = tuple(TensorType(made.shape, kind.dtype) for kind in call.outputs[1 : call.results_read()])
        first, *others = call.add_all(op, (data,), (made, *places), **attributes)
        if call.argument("divisor_override") is not None:
            first = call.add("Mul", (first, call.scalar(made.dtype)), made)
        return (_unbatched(call, first), *others)

    return convert


def _spatial(call: TorchCall) -> int:
    """How many spatial axes the operator's name says."""
    name = call.call.target.split(".")[1]
    return next((int(digit) for digit in name if digit in "123" and f"{digit}d" in name), 2)


def _adaptive(op: str) -> Converter:
    """A window of its own for each output, equal ones if the sizes divide."""

    def convert(call: TorchCall) -> Edges | Edge | None:
        spatial = _spatial(call)
        data, made = _batched(call, call.tensor("self"), spatial + 2)
        given, wanted = call.type_of(data).shape[2:], made.shape[2:]
        if op == "AveragePool" and set(wanted) == {1}:
            return _unbatched(call, call.add("GlobalAveragePool", (data,), made))
        if len(given) != len(wanted) or any(
            not part or whole % part for whole, part in zip(given, wanted, strict=True)
        ):
            return NOT_MAPPED
        window = tuple(whole // part for whole, part in zip(given, wanted, strict=True))
        fixed: dict[str, AttributeValue] = {"kernel_shape": window, "strides": window}
        places = tuple(TensorType(made.shape, kind.dtype) for kind in call.outputs[1 : call.results_read()])
        first, *others = call.add_all(op, (data,), (made, *places), **fixed)
        return (_unbatched(call, first), *others)

    return convert


def _resize(mode: str) -> Converter:
    """Interpolation to a size, or by factors."""

    def convert(call: TorchCall) -> Edge:
        attributes: dict[str, AttributeValue] = {"mode": mode, "cubic_coeff_a": -0.75, "nearest_mode": "floor"}
        name = call.call.target
        coordinates = "asymmetric" if mode == "nearest" and "exact" not in name else "half_pixel"
        if call.flag("align_corners"):
            coordinates = "align_corners"
        attributes["coordinate_transformation_mode"] = coordinates
        factors = call.argument("scale_factors")
        if isinstance(factors, tuple) and all(isinstance(factor, int | float) for factor in factors):
            attributes["scales"] = (1.0, 1.0, *(float(factor) for factor in factors if isinstance(factor, int | float)))
        else:
            attributes["sizes"] = call.output.shape
        return call.add("Resize", (call.tensor("self" if "self" in call.call.arguments else "input"),), call.output,
                        **attributes)  # fmt: skip

    return convert


def _grid_sample(call: TorchCall) -> Edge:
    mode = ("linear", "nearest", "cubic")[call.integer("interpolation_mode", 0)]
    padding = ("zeros", "border", "reflection")[call.integer("padding_mode", 0)]
    inputs = (call.tensor("input"), call.tensor("grid"))
    return call.add("GridSample", inputs, call.output, align_corners=int(call.flag("align_corners")), mode=mode,
                    padding_mode=padding)  # fmt: skip


def _pad(mode: str | None = None) -> Converter:
    """Axes are counted from the last one on, (before, after) each."""

    def convert(call: TorchCall) -> Edge | None:
        widths = call.integers("pad" if call.argument("pad") is not None else "padding")
        rank = len(call.output.shape)
        style = mode or _PAD_MODES[call.text("mode", "constant")]
        missing = rank - len(widths) // 2
        if len(widths) % 2 or missing < 0:
            raise call.wrong("pad", widths, f"two numbers an axis, of at most {rank} axes")
        befores, afters = widths[::2][::-1], widths[1::2][::-1]
        pads = ((0,) * missing + befores) + ((0,) * missing + afters)
        value = call.number("value", 0.0) if style == "constant" else 0.0
        return call.add("Pad", (call.tensor("self"),), call.output, mode=style, pads=pads, value=value)

    return convert


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pixel_shuffle(call: TorchCall) -> Edge:
    factor = call.integer("upscale_factor")
    return call.add("DepthToSpace", (call.tensor("self"),), call.output, blocksize=factor, mode="CRD")


def _pixel_unshuffle(call: TorchCall) -> Edge:
    """As views and a transpose: SpaceToDepth orders the channels otherwise."""
    data, factor = call.tensor("self"), call.integer("downscale_factor")
    *lead, channels, height, width = call.type_of(data).shape
    batch = tuple(lead)
    first = len(batch)
    parts = (*batch, channels, height // factor, factor, width // factor, factor)
    order = (*range(first + 1), first + 2, first + 4, first + 1, first + 3)
    return call.reshape(call.transpose(call.reshape(data, parts), order), call.output.shape)


def _channel_shuffle(call: TorchCall) -> Edge:
    data, groups = call.tensor("self"), call.integer("groups")
    batch, channels, *image = call.type_of(data).shape
    parts = (batch, groups, channels // groups, *image)
    order = (0, 2, 1, *range(3, len(parts)))
    return call.reshape(call.transpose(call.reshape(data, parts), order), call.output.shape)


WINDOWS: dict[str, Converter] = {
    **{f"conv{rank}d": _convolution for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d": _convolution for rank in (1, 2, 3)},
    "convolution": _convolution, "_convolution": _convolution,
    **{f"max_pool{rank}d{name}": _pool("MaxPool") for rank in (1, 2, 3) for name in ("", "_with_indices")},
    **{f"avg_pool{rank}d": _pool("AveragePool") for rank in (1, 2, 3)},
    **{f"{lead}adaptive_avg_pool{rank}d": _adaptive("AveragePool") for rank in (1, 2, 3) for lead in ("", "_")},
    **{f"adaptive_max_pool{rank}d": _adaptive("MaxPool") for rank in (1, 2, 3)},
    **{f"{lead}upsample_nearest{exact}{rank}d": _resize("nearest")
       for rank in (1, 2, 3) for lead, exact in (("", ""), ("_", "_exact"))},
    **{f"upsample_{name}": _resize("linear") for name in ("linear1d", "bilinear2d", "trilinear3d")},
    "_upsample_bilinear2d_aa": _resize("linear"), "_upsample_bicubic2d_aa": _resize("cubic"),
    "upsample_bicubic2d": _resize("cubic"),
    **dict.fromkeys(("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"), _grid_sample),
    "pad": _pad(), "constant_pad_nd": _pad("constant"),
    **{f"reflection_pad{rank}d": _pad("reflect") for rank in (1, 2, 3)},
    **{f"replication_pad{rank}d": _pad("edge") for rank in (1, 2, 3)},
    "pixel_shuffle": _pixel_shuffle, "pixel_unshuffle": _pixel_unshuffle, "channel_shuffle": _channel_shuffle,
    "native_channel_shuffle": _channel_shuffle,
}  # fmt: skip
