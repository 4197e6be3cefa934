"""Relay's operators: how the types of their results follow, and what they are as canonical operators.

An operator that is not here is kept as it is where the file says its types (see builder.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from relay_frontend.graph import TensorType
from relay_frontend.relay import convert as to
from relay_frontend.relay import convert_windows as windows
from relay_frontend.relay import infer_moves as moves
from relay_frontend.relay import infer_values as values
from relay_frontend.relay import infer_windows as sizes
from relay_frontend.relay.call import Call, Converter, Infer

__all__ = ["CONSTANT_OPERATORS", "OPERATORS", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One operator; without ``convert`` it stays what it is called in Relay, and is told as unknown."""

    infer: Infer
    convert: Converter | None


_UNARY = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "asin": "Asin", "asinh": "Asinh", "atan": "Atan", "atanh": "Atanh",
    "bitwise_not": "BitwiseNot", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh", "erf": "Erf", "exp": "Exp",
    "fast_erf": "Erf", "fast_exp": "Exp", "fast_tanh": "Tanh", "floor": "Floor", "log": "Log", "log10": "Log",
    "log2": "Log", "logical_not": "Not", "negative": "Neg", "nn.relu": "Relu", "round": "Round", "sigmoid": "Sigmoid",
    "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt", "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip
_BINARY = {
    "add": "Add", "bitwise_and": "BitwiseAnd", "bitwise_or": "BitwiseOr", "bitwise_xor": "BitwiseXor", "divide": "Div",
    "floor_mod": "Mod", "left_shift": "BitShift", "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor",
    "maximum": "Max", "minimum": "Min", "mod": "Mod", "multiply": "Mul", "power": "Pow", "right_shift": "BitShift",
    "subtract": "Sub", "trunc_divide": "Div", "trunc_mod": "Mod",
}  # fmt: skip
_COMPARISONS = {"equal": "Equal", "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less",
                "less_equal": "LessOrEqual"}  # fmt: skip
_REDUCTIONS = {"all": "ReduceMin", "any": "ReduceMax", "max": "ReduceMax", "mean": "ReduceMean", "min": "ReduceMin",
               "prod": "ReduceProd", "sum": "ReduceSum"}  # fmt: skip
_SAME_AS_THEY_ARE = (
    "annotation.stop_fusion", "annotation.checkpoint", "annotation.cast_hint", "copy", "device_copy", "on_device",
    "annotation.compiler_begin", "annotation.compiler_end", "annotation.force_cast",
)  # fmt: skip

_VIEW = to.one_to_one("Reshape", to.output_shape)
_EXPAND = to.one_to_one("Expand", to.output_shape)
_CAST = to.one_to_one("Cast", to.to_dtype)


def _windows() -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for n in (1, 2, 3):
        found[f"nn.conv{n}d"] = Rule(sizes.conv, windows.conv("Conv"))
        found[f"nn.conv{n}d_transpose"] = Rule(sizes.conv_transpose, windows.conv_transpose)
        for name, op in (("max", "Max"), ("avg", "Average")):
            found[f"nn.{name}_pool{n}d"] = Rule(sizes.pool, windows.pool(f"{op}Pool"))
            found[f"nn.global_{name}_pool{n}d"] = Rule(sizes.global_pool, windows.global_pool(f"Global{op}Pool"))
            found[f"nn.adaptive_{name}_pool{n}d"] = Rule(sizes.adaptive_pool, windows.adaptive_pool(op))
    for name in ("conv2d_NCHWc", "depthwise_conv2d_NCHWc", "conv2d_NCHWc_int8"):
        found[f"nn.contrib_{name}"] = Rule(sizes.conv, windows.conv("Conv"))
    found["nn.contrib_conv2d_winograd_without_weight_transform"] = Rule(sizes.conv_winograd, windows.conv_winograd)
    found["nn.contrib_conv2d_winograd_weight_transform"] = Rule(sizes.winograd_weight, None)
    found["nn.deformable_conv2d"] = Rule(sizes.deformable_conv, windows.deformable_conv)
    found["nn.dense"] = Rule(sizes.dense, windows.dense("MatMul"))
    found["nn.contrib_dense_pack"] = Rule(sizes.dense_pack, windows.dense_pack)
    found["nn.matmul"] = Rule(sizes.matmul, windows.matmul())
    found["nn.batch_matmul"] = Rule(sizes.batch_matmul, windows.matmul())
    return found


def _elementwise() -> dict[str, Rule]:
    same = values.same
    return {
        **{name: Rule(same, to.one_to_one(op)) for name, op in _UNARY.items()},
        **{name: Rule(same, to.one_to_one("Identity")) for name in _SAME_AS_THEY_ARE},
        **{name: Rule(values.broadcast, to.one_to_one(op)) for name, op in _BINARY.items()},
        **{name: Rule(values.compare, to.one_to_one(op)) for name, op in _COMPARISONS.items()},
        "cast": Rule(values.cast, _CAST),
        "cast_like": Rule(values.like(0, 1), to.leading("Cast", 1, to.to_dtype)),
        "clip": Rule(same, to.one_to_one("Clip", to.clip)),
        "fixed_point_multiply": Rule(same, None),
        "floor_divide": Rule(values.broadcast, to.then("Div", "Floor")),
        "isfinite": Rule(values.boolean, None),
        "isinf": Rule(values.boolean, to.one_to_one("IsInf")),
        "isnan": Rule(values.boolean, to.one_to_one("IsNaN")),
        "nn.bias_add": Rule(values.bias_add, to.bias_add),
        "nn.dropout": Rule(values.dropout, to.one_to_one("Dropout")),
        "nn.leaky_relu": Rule(same, to.one_to_one("LeakyRelu", lambda call: {"alpha": call.number("alpha", 0.25)})),
        "nn.prelu": Rule(same, to.prelu),
        "not_equal": Rule(values.compare, to.then("Equal", "Not")),
        "reinterpret": Rule(values.cast, to.one_to_one("BitCast")),
        "rsqrt": Rule(same, to.then("Sqrt", "Reciprocal")),
        "trunc": Rule(same, None),
        "where": Rule(values.where, to.one_to_one("Where")),
    }


def _over_axes() -> dict[str, Rule]:
    same = values.same
    return {
        **{name: Rule(values.reduce, to.one_to_one(op, to.reduce)) for name, op in _REDUCTIONS.items()},
        "argmax": Rule(values.arg_reduce, to.arg_reduce("ArgMax")),
        "argmin": Rule(values.arg_reduce, to.arg_reduce("ArgMin")),
        "argsort": Rule(lambda call: values.cast(call) if call.text("dtype", "") else values.same(call), None),
        "cumprod": Rule(moves.cumulative, to.one_to_one("CumProd", to.cumulative)),
        "cumsum": Rule(moves.cumulative, to.one_to_one("CumSum", to.cumulative)),
        "nn.batch_norm": Rule(values.batch_norm, to.one_to_one("BatchNormalization", to.batch_norm)),
        "nn.fast_softmax": Rule(same, to.one_to_one("Softmax", to.softmax)),
        "nn.group_norm": Rule(values.norm(1), to.one_to_one("GroupNormalization", to.norm(1, "num_groups"))),
        "nn.instance_norm": Rule(values.norm(1), to.one_to_one("InstanceNormalization", to.norm(1))),
        "nn.l2_normalize": Rule(
            same, to.one_to_one("LpNormalization", lambda call: {"axis": call.integer("axis", 1), "p": 2})
        ),
        "nn.layer_norm": Rule(values.norm(-1), to.one_to_one("LayerNormalization", to.norm(-1, "axis"))),
        "nn.log_softmax": Rule(same, to.one_to_one("LogSoftmax", to.softmax)),
        "nn.lrn": Rule(same, to.one_to_one("LRN", to.lrn)),
        "nn.nll_loss": Rule(values.nll_loss, to.one_to_one("NegativeLogLikelihoodLoss")),
        "nn.softmax": Rule(same, to.one_to_one("Softmax", to.softmax)),
        "sort": Rule(same, None),
        "topk": Rule(values.topk, to.one_to_one("TopK", to.topk)),
        "variance": Rule(values.reduce, to.variance),
    }


def _data_movement() -> dict[str, Rule]:
    same = values.same
    return {
        "adv_index": Rule(moves.adv_index, to.one_to_one("GatherND")),
        "broadcast_to": Rule(moves.broadcast_to, to.leading("Expand", 1, to.output_shape)),
        "broadcast_to_like": Rule(values.like(1, 0), to.leading("Expand", 1, to.output_shape)),
        "concatenate": Rule(moves.concatenate, to.one_to_one("Concat", to.axis_only(0))),
        "contrib_reverse_reshape": Rule(moves.reverse_reshape, _VIEW),
        "dyn.broadcast_to": Rule(moves.broadcast_to, to.leading("Expand", 1, to.output_shape)),
        "dyn.reshape": Rule(moves.reshape, to.leading("Reshape", 1, to.output_shape)),
        "einsum": Rule(values.einsum, to.one_to_one("Einsum", lambda call: {"equation": call.text("equation", "")})),
        "expand_dims": Rule(moves.expand_dims, _VIEW),
        "gather": Rule(moves.gather, to.one_to_one("GatherElements", to.axis_only(0))),
        "gather_nd": Rule(
            moves.gather_nd, to.one_to_one("GatherND", lambda call: {"batch_dims": call.integer("batch_dims", 0)})
        ),
        "layout_transform": Rule(moves.layout_transform, None),  # builder.py: a transpose, or a change of blocks
        "meshgrid": Rule(moves.meshgrid, None),
        "nn.batch_flatten": Rule(moves.batch_flatten, _VIEW),
        "nn.depth_to_space": Rule(moves.depth_to_space(True), to.one_to_one("DepthToSpace", to.depth_to_space)),
        "nn.mirror_pad": Rule(moves.pad, to.one_to_one("Pad", to.mirror_pad)),
        "nn.pad": Rule(moves.pad, to.pad),
        "nn.space_to_depth": Rule(moves.depth_to_space(False), to.one_to_one("SpaceToDepth", to.depth_to_space)),
        "one_hot": Rule(values.one_hot, to.one_to_one("OneHot", to.one_hot)),
        "repeat": Rule(moves.repeat, to.one_to_one("Tile")),
        "reshape": Rule(moves.reshape, to.leading("Reshape", 1, to.output_shape)),
        "reshape_like": Rule(values.like(1, 0), to.leading("Reshape", 1, to.output_shape)),
        "reverse": Rule(same, to.one_to_one("Slice", to.reverse)),
        "reverse_sequence": Rule(same, to.one_to_one("ReverseSequence")),
        "scatter": Rule(same, to.one_to_one("ScatterElements", to.axis_only(0))),
        "scatter_add": Rule(same, to.one_to_one("ScatterElements", to.axis_only(0))),
        "scatter_elements": Rule(same, to.one_to_one("ScatterElements", to.axis_only(0))),
        "scatter_nd": Rule(same, to.one_to_one("ScatterND")),
        "sequence_mask": Rule(same, None),
        "slice_like": Rule(moves.slice_like, to.leading("Slice", 1)),
        "split": Rule(moves.split, to.one_to_one("Split", to.split)),
        "squeeze": Rule(moves.squeeze, _VIEW),
        "stack": Rule(moves.stack, to.stack),
        "strided_slice": Rule(moves.strided_slice, to.leading("Slice", 1, to.strided_slice)),
        "take": Rule(moves.take, to.gather),
        "tile": Rule(moves.tile, to.one_to_one("Tile")),
        "transpose": Rule(moves.transpose, to.one_to_one("Transpose", to.transpose)),
        "trilu": Rule(same, to.one_to_one("Trilu", to.trilu)),
    }


def _images() -> dict[str, Rule]:
    found = {
        f"image.resize{n}d": Rule(moves.resize(letters), to.one_to_one("Resize", to.resize("linear")))
        for n, letters in ((1, "W"), (2, "HW"), (3, "DHW"))
    }
    return {
        **found,
        "image.affine_grid": Rule(moves.affine_grid, to.one_to_one("AffineGrid")),
        "image.crop_and_resize": Rule(moves.crop_and_resize, to.one_to_one("CropAndResize")),
        "image.grid_sample": Rule(
            moves.grid_sample, to.one_to_one("GridSample", lambda call: {"mode": call.text("method", "bilinear")})
        ),
        "nn.upsampling": Rule(moves.upsampling("HW"), to.one_to_one("Resize", to.resize("nearest_neighbor"))),
        "nn.upsampling3d": Rule(moves.upsampling("DHW"), to.one_to_one("Resize", to.resize("nearest_neighbor"))),
        "vision.roi_align": Rule(moves.roi, to.one_to_one("RoiAlign", to.roi_align)),
        "vision.roi_pool": Rule(moves.roi, to.one_to_one("MaxRoiPool")),
    }


def _quantized() -> dict[str, Rule]:
    """Integer arithmetic of the qnn dialect; its scales and zero points are inputs behind the data."""
    found = {
        f"qnn.{name}": Rule(values.broadcast, to.one_to_one(op))
        for name, op in (("add", "QLinearAdd"), ("mul", "QLinearMul"), ("subtract", "QLinearAdd"))
    }
    return {
        **found,
        "qnn.batch_matmul": Rule(values.quantized(sizes.batch_matmul), windows.matmul("MatMulInteger", 4)),
        "qnn.conv2d": Rule(values.quantized(sizes.conv), windows.conv("ConvInteger", 4)),
        "qnn.conv2d_transpose": Rule(values.quantized(sizes.conv_transpose), windows.conv_transpose),
        "qnn.concatenate": Rule(_quantized_parts, to.one_to_one("QLinearConcat", to.axis_only(0))),
        "qnn.dense": Rule(values.quantized(sizes.dense), windows.dense("MatMulInteger", 4)),
        "qnn.dequantize": Rule(values.quantized(values.same, "float32"), to.one_to_one("DequantizeLinear")),
        "qnn.quantize": Rule(values.quantized(values.same, "int8"), to.one_to_one("QuantizeLinear")),
        "qnn.requantize": Rule(values.quantized(values.same, "int8"), to.one_to_one("QuantizeLinear")),
    }


def _quantized_parts(call: Call) -> tuple[TensorType, ...]:
    """Parts, then a scale and a zero point of each, then those of the result; axis 0 where a text names none."""
    parts = max(1, (len(call.inputs) - 2) // 3)
    return moves.concatenate(replace(call, inputs=call.inputs[:parts]))


def _constants() -> dict[str, Rule]:
    return {
        **{name: Rule(values.full, None) for name in ("full", "ones", "zeros")},
        **{name: Rule(values.same, None) for name in ("full_like", "ones_like", "zeros_like")},
        "ndarray_size": Rule(lambda call: (TensorType((), call.text("dtype", "int32")),), None),
        "arange": Rule(values.arange, None),
        "shape_of": Rule(values.shape_of, None),
    }


OPERATORS: Mapping[str, Rule] = MappingProxyType(
    {**_windows(), **_elementwise(), **_over_axes(), **_data_movement(), **_images(), **_quantized(), **_constants()}
)

# Constants, since every shape is known when a module is read.
CONSTANT_OPERATORS = frozenset(_constants())
