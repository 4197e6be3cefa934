"""FLOPs of the operators that do not count by element: from attributes and types alone.

Each rule takes (attributes, input types, output types) and returns (flops, padding_flops); costs.py says what is
counted. Optional inputs that a network leaves out are not listed, so a rule reads only inputs that are always there.
"""

from math import prod

from relay_frontend.flops_algebra import ALGEBRA_FLOPS
from relay_frontend.flops_attention import ATTENTION_FLOPS
from relay_frontend.flops_rule import Attributes, FlopsRule, Types, integer, integers
from relay_frontend.graph import TensorType
from relay_frontend.taps import valid_taps

__all__ = ["FLOPS_RULES"]


def _spatial(kind: TensorType, channels_last: bool) -> tuple[int, ...]:
    return kind.shape[1:-1] if channels_last else kind.shape[2:]


def _window(
    attributes: Attributes, kernel: tuple[int, ...], slid: tuple[int, ...], over: tuple[int, ...]
) -> tuple[int, int]:
    """All taps of a window and those that fall on data, for one channel.

    ``slid`` are the positions of the window along each axis, ``over`` the extents that its taps fall on.
    """
    rank = len(kernel)
    strides = integers(attributes, "strides", (1,) * rank)
    dilations = integers(attributes, "dilations", (1,) * rank)
    pads = integers(attributes, "pads", (0,) * 2 * rank)
    axes = zip(slid, kernel, strides, dilations, pads[:rank], over, strict=True)
    return prod(slid) * prod(kernel), prod(valid_taps(*axis) for axis in axes)


def _fused(attributes: Attributes, output: TensorType) -> int:
    """FLOPs of what a runtime fused behind a convolution or a product: an activation, a residual sum."""
    count = int(attributes.get("activation", "") not in ("", "none")) + integer(attributes, "fused_sum", 0)
    return count * output.elements


def _convolution(weight_input: int, *, channels_last: bool = False) -> FlopsRule:
    """2 x MAC; the weight is [M, C / group, kernel...] in every layout."""

    def rule(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
        data, weight, output = inputs[0], inputs[weight_input], outputs[0]
        last = channels_last or integer(attributes, "channels_last", 0) == 1
        slid = _spatial(output, last)
        taps, valid = _window(attributes, weight.shape[2:], slid, _spatial(data, last))
        filters = output.shape[0] * weight.shape[0] * weight.shape[1]  # batch x M x C / group
        return 2 * filters * taps + _fused(attributes, output), 2 * filters * (taps - valid)

    return rule


def _transposed_convolution(weight_input: int, *, pads_known: bool = True) -> FlopsRule:
    """2 x MAC; the weight is [C, M / group, kernel...], the window slides over the input and taps the output."""

    def rule(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
        data, weight, output = inputs[0], inputs[weight_input], outputs[0]
        taps, valid = _window(attributes, weight.shape[2:], data.shape[2:], output.shape[2:])
        filters = data.shape[0] * weight.shape[0] * weight.shape[1]
        return 2 * filters * taps + _fused(attributes, output), 2 * filters * (taps - valid) * pads_known

    return rule


def _deformable_convolution(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """2 x MAC; where the taps fall depends on the data, so none counts as padding."""
    weight, output = inputs[1], outputs[0]
    return 2 * output.shape[0] * prod(output.shape[2:]) * weight.elements + _fused(attributes, output), 0


def _causal_convolution(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """2 x MAC, depthwise: the weight is [C, 1, kernel...]; the state stands where padding would be."""
    return 2 * outputs[0].elements * prod(inputs[1].shape[2:]) + _fused(attributes, outputs[0]), 0


def _pooling(*, channels_last: bool = False) -> FlopsRule:
    """1 a tap."""

    def rule(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
        output = outputs[0]
        last = channels_last or integer(attributes, "channels_last", 0) == 1
        slid = _spatial(output, last)
        kernel = integers(attributes, "kernel_shape", (1,) * len(slid))
        taps, valid = _window(attributes, kernel, slid, _spatial(inputs[0], last))
        planes = output.shape[0] * output.shape[-1 if last else 1]
        return planes * taps, planes * (taps - valid)

    return rule


def _per_input_element(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """1 an input element: global pooling, unpooling."""
    return inputs[0].elements, 0


def _matmul(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """2 x MAC: each output element sums over the inner extent, which is A's last, or another if A is transposed."""
    shape = inputs[0].shape
    inner = shape[-1]
    if integer(attributes, "transA", 0) and len(shape) > 1:
        inner = shape[0] if integer(attributes, "transBatchA", 0) else shape[-2]
    return 2 * outputs[0].elements * inner + _fused(attributes, outputs[0]), 0


def _gemm_fast_gelu(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    flops, padding_flops = _matmul(attributes, inputs, outputs)
    return flops + outputs[0].elements, padding_flops


def _einsum(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """2 x the product of the extents of all labels, contracted at once; 1 x for a single operand, which only sums."""
    equation = str(attributes["equation"]).replace(" ", "").split("->")[0]
    extents: dict[str, int] = {}
    for term, kind in zip(equation.split(","), inputs, strict=True):
        head, dots, tail = term.partition("...")
        hidden = len(kind.shape) - len(head) - len(tail)
        if hidden < 0 or (hidden and not dots):
            raise ValueError(f"Einsum term {term!r} does not fit the shape {kind.shape}")
        # The axes behind an ellipsis align at the right, as broadcasting does.
        labels = [*head, *(f"...{axis}" for axis in range(hidden, 0, -1)), *tail]
        for label, extent in zip(labels, kind.shape, strict=True):
            extents[label] = max(extent, extents.get(label, 0))
    return (2 if len(inputs) > 1 else 1) * prod(extents.values()), 0


def _interpolation(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """2 x taps an output element: 0 for nearest, 2 (linear) or 4 (cubic) taps along each axis that changes."""
    data, output = inputs[0], outputs[0]
    mode = str(attributes.get("mode", "nearest"))
    axes = sum(before != after for before, after in zip(data.shape, output.shape, strict=True))
    if "nearest" in mode:
        return 0, 0
    return int(2 * (4 if "cubic" in mode else 2) ** axes * output.elements), 0


def _grid_sample(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """As interpolation, along every spatial axis."""
    mode = str(attributes.get("mode", "linear"))
    if "nearest" in mode:
        return 0, 0
    return int(2 * (4 if "cubic" in mode else 2) ** len(outputs[0].shape[2:]) * outputs[0].elements), 0


def _region(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """Bilinear samples of a region: 8 a sample; an adaptive number of samples counts as one."""
    samples = max(integer(attributes, "sampling_ratio", 0), 1) ** 2
    return 8 * samples * outputs[0].elements, 0


def _variadic(per_input: int) -> FlopsRule:
    """Sum, Max, Min of n inputs do n - 1 operations an element, Mean n."""

    def rule(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
        return (max(len(inputs) - 1, 1) + per_input) * outputs[0].elements, 0

    return rule


def _local_response(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """A square and a sum for each of ``size`` channels, then scale, power and division."""
    return (2 * integer(attributes, "size", 1) + 3) * outputs[0].elements, 0


FLOPS_RULES: dict[str, FlopsRule] = {
    **ALGEBRA_FLOPS,
    **ATTENTION_FLOPS,
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "NhwcConv": _convolution(1, channels_last=True),
    "NhwcFusedConv": _convolution(1, channels_last=True),
    "ConvTranspose": _transposed_convolution(1),
    "QLinearConvTranspose": _transposed_convolution(3),
    "ConvTransposeWithDynamicPads": _transposed_convolution(1, pads_known=False),
    "DeformConv": _deformable_convolution,
    "CausalConvWithState": _causal_convolution,
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool", "MaxpoolWithMask", "QLinearAveragePool"), _pooling()),
    "NhwcMaxPool": _pooling(channels_last=True),
    **dict.fromkeys(
        ("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool", "QLinearGlobalAveragePool", "MaxUnpool"),
        _per_input_element,
    ),
    **dict.fromkeys(
        (
            "MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "FusedMatMulActivation", "TransposeMatMul",
            "MatMulInteger16", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "MatMulNBits", "MatMulBnb4",
            "MatMulFpQ4", "QGemm", "GemmFloat8",
        ),
        _matmul,
    ),
    "GemmFastGelu": _gemm_fast_gelu,
    "Einsum": _einsum,
    "Resize": _interpolation,
    "Upsample": _interpolation,
    "GridSample": _grid_sample,
    "RoiAlign": _region,
    "CropAndResize": _region,
    **dict.fromkeys(("Sum", "Max", "Min"), _variadic(0)),
    "Mean": _variadic(1),
    "LRN": _local_response,
}  # fmt: skip
