"""Relax's operators as the canonical ones: the table.

Most are one for one. ``silu``, ``rsqrt`` and their like, which ONNX has no operator for, become several.
"""

from collections.abc import Mapping

from relay_frontend.relax.operators import (
    Converter,
    adaptive_average_pool,
    arg,
    attention,
    batch_norm,
    clip,
    conv,
    layer_norm,
    one_to_one,
    output_shape,
    pad,
    pool,
    reduce,
    resize,
    single,
    slice_window,
    split,
    stack,
    then,
    transpose,
    variance,
)

__all__ = ["CALL_TIR_OPERATORS", "CONSTANT_OPERATORS", "CONVERTERS"]

_NO_ATTRIBUTES = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "add": "Add", "asin": "Asin", "asinh": "Asinh", "atan": "Atan",
    "atanh": "Atanh", "bitwise_and": "BitwiseAnd", "bitwise_not": "BitwiseNot", "bitwise_or": "BitwiseOr",
    "bitwise_xor": "BitwiseXor", "ceil": "Ceil", "cos": "Cos",
    "cosh": "Cosh", "divide": "Div", "equal": "Equal", "erf": "Erf", "exp": "Exp", "floor": "Floor",
    "greater": "Greater", "greater_equal": "GreaterOrEqual", "isinf": "IsInf", "isnan": "IsNaN", "less": "Less",
    "less_equal": "LessOrEqual", "log": "Log", "logical_and": "And", "logical_not": "Not", "logical_or": "Or",
    "logical_xor": "Xor", "matmul": "MatMul", "maximum": "Max", "minimum": "Min", "multiply": "Mul",
    "negative": "Neg", "nn.dropout": "Dropout", "nn.gelu": "Gelu", "nn.prelu": "PRelu", "nn.relu": "Relu",
    "nn.selu": "Selu", "nn.softplus": "Softplus", "power": "Pow",
    "round": "Round", "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt",
    "subtract": "Sub", "tan": "Tan", "tanh": "Tanh", "where": "Where",
}  # fmt: skip

CONVERTERS: Mapping[str, Converter] = {
    **{f"relax.{name}": one_to_one(op) for name, op in _NO_ATTRIBUTES.items()},
    **{f"relax.nn.conv{n}d": conv("Conv") for n in (1, 2, 3)},
    **{f"relax.nn.conv{n}d_transpose": conv("ConvTranspose") for n in (1, 2, 3)},
    **{f"relax.nn.max_pool{n}d": pool("MaxPool") for n in (1, 2, 3)},
    **{f"relax.nn.avg_pool{n}d": pool("AveragePool") for n in (1, 2, 3)},
    **{f"relax.nn.adaptive_avg_pool{n}d": adaptive_average_pool for n in (1, 2, 3)},
    **{f"relax.{name}": reduce(f"Reduce{name.capitalize()}") for name in ("max", "mean", "min", "prod", "sum")},
    # Views of the same bytes, whatever they are called.
    **{
        f"relax.{name}": one_to_one("Reshape", output_shape)
        for name in ("expand_dims", "flatten", "nn.batch_flatten", "reshape", "squeeze")
    },
    "relax.argmax": arg("ArgMax"),
    "relax.argmin": arg("ArgMin"),
    "relax.astype": one_to_one("Cast", lambda call: {"to": call.outputs[0].dtype}),
    "relax.broadcast_to": one_to_one("Expand", output_shape),
    "relax.clip": one_to_one("Clip", clip),
    "relax.concat": one_to_one("Concat", lambda call: {"axis": call.axis()}),
    "relax.cumsum": one_to_one("CumSum"),
    "relax.einsum": one_to_one("Einsum", lambda call: {"equation": str(call.attributes.subscripts)}),
    "relax.gather_elements": one_to_one("GatherElements", lambda call: {"axis": call.axis()}),
    "relax.gather_nd": one_to_one("GatherND", lambda call: {"batch_dims": int(call.attributes.batch_dims)}),
    "relax.floor_mod": one_to_one("Mod", lambda call: {"fmod": 0}),
    "relax.image.resize2d": one_to_one("Resize", resize),
    "relax.mod": one_to_one("Mod", lambda call: {"fmod": 1}),
    "relax.nn.attention": attention,
    "relax.nn.attention_bias": attention,
    "relax.nn.batch_norm": one_to_one("BatchNormalization", batch_norm),
    "relax.nn.gelu_tanh": one_to_one("Gelu", lambda call: {"approximate": "tanh"}),
    "relax.nn.group_norm": one_to_one(
        "GroupNormalization",
        lambda call: {"epsilon": single(call.attributes.epsilon), "num_groups": int(call.attributes.num_groups)},
    ),
    "relax.nn.instance_norm": one_to_one(
        "InstanceNormalization", lambda call: {"epsilon": single(call.attributes.epsilon)}
    ),
    "relax.nn.layer_norm": one_to_one("LayerNormalization", layer_norm),
    "relax.nn.leakyrelu": one_to_one("LeakyRelu", lambda call: {"alpha": single(call.attributes.alpha)}),
    "relax.nn.log_softmax": one_to_one("LogSoftmax", lambda call: {"axis": call.axis()}),
    "relax.nn.pad": one_to_one("Pad", pad),
    "relax.nn.pixel_shuffle": one_to_one(
        "DepthToSpace", lambda call: {"blocksize": int(call.attributes.upscale_factor)}
    ),
    "relax.nn.relu6": one_to_one("Clip", lambda call: {"max": 6.0, "min": 0.0}),
    "relax.nn.rms_norm": one_to_one("RMSNormalization", layer_norm),
    "relax.nn.silu": then("Sigmoid", "Mul", again=True),
    "relax.nn.softmax": one_to_one("Softmax", lambda call: {"axis": call.axis()}),
    "relax.not_equal": then("Equal", "Not", again=False),
    "relax.permute_dims": one_to_one("Transpose", transpose),
    "relax.rsqrt": then("Sqrt", "Reciprocal", again=False),
    "relax.scatter_elements": one_to_one("ScatterElements", lambda call: {"axis": call.axis()}),
    "relax.scatter_nd": one_to_one("ScatterND"),
    "relax.split": one_to_one("Split", split),
    "relax.square": lambda call, emit: emit("Mul", (*call.inputs, *call.inputs), call.outputs, {}),
    "relax.stack": stack,
    "relax.strided_slice": one_to_one("Slice", slice_window),
    "relax.take": one_to_one("Gather", lambda call: {"axis": call.axis()}),
    "relax.tile": one_to_one("Tile"),
    "relax.tril": one_to_one("Trilu", lambda call: {"upper": 0}),
    "relax.triu": one_to_one("Trilu", lambda call: {"upper": 1}),
    "relax.variance": variance,
    "relax.topk": one_to_one("TopK", lambda call: {"axis": call.axis(), "largest": int(call.attributes.largest)}),
}

# Constants, since every shape is known when a module is read.
CONSTANT_OPERATORS = frozenset(
    f"relax.{name}"
    for name in ("arange", "eye", "full", "full_like", "ones", "ones_like", "shape_of", "shape_to_tensor",
                 "tensor_to_shape", "zeros", "zeros_like")
)  # fmt: skip

# The ONNX importer and passes on high-level modules write these as call_tir: PrimFunc's name, no number -> operator.
CALL_TIR_OPERATORS: Mapping[str, Converter] = {
    "maximum": one_to_one("Max"),
    "minimum": one_to_one("Min"),
    "mirror_pad": one_to_one("Pad", lambda call: {"mode": "reflect"}),
    "NT_matmul": one_to_one("MatMul", lambda call: {"transB": 1}),  # by relax.transform.FuseTransposeMatmul
    "pad": one_to_one("Pad", lambda call: {"mode": "constant"}),
    "replicate_pad": one_to_one("Pad", lambda call: {"mode": "edge"}),
    "tile": one_to_one("Tile"),
}
