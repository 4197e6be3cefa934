"""Elementwise operators and activations, spelt as torch.onnx spells them."""

from relay_frontend.graph import Edge, TensorType
from relay_frontend.torch_export.call import NOT_MAPPED, Converter, Edges, TorchCall

__all__ = ["ELEMENTWISE"]


def _operands(call: TorchCall, *names: str, dtype: str | None = None) -> Edges:
    """Tensors and numbers, cast to ``dtype`` or else to the widest of theirs."""
    kinds = [call.kind(name) for name in names if call.has_tensor(name)]
    dtype = dtype or max((kind.dtype for kind in kinds), key=_width)
    if dtype in _INTEGERS and any(isinstance(call.argument(name), float) for name in names):
        dtype = "float32"
    return tuple(call.cast(call.tensor(name), dtype) if call.has_tensor(name) else call.scalar(dtype) for name in names)


_INTEGERS = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_ORDER = (*_INTEGERS, "float16", "bfloat16", "float32", "float64", "complex64", "complex128")


def _width(dtype: str) -> int:
    return _ORDER.index(dtype) if dtype in _ORDER else len(_ORDER)


def unary(op: str, **attributes: float | str) -> Converter:
    """One operator of one tensor; integers are cast where the result is none."""

    def convert(call: TorchCall) -> Edge:
        data = call.tensor("self")
        wanted = call.output.dtype
        kept = wanted == "bool" or wanted in _INTEGERS
        return call.add(op, (data if kept else call.cast(data, wanted),), call.output, **attributes)

    return convert


def _binary(op: str, *, reverse: bool = False) -> Converter:
    def convert(call: TorchCall) -> Edge:
        left, right = _operands(call, "self", "other", dtype=call.output.dtype)
        return call.add(op, (right, left) if reverse else (left, right), call.output)

    return convert


def _scaled(op: str, *, reverse: bool = False) -> Converter:
    """Addition and subtraction, whose second operand may have a factor."""

    def convert(call: TorchCall) -> Edge:
        left, right = _operands(call, "self", "other", dtype=call.output.dtype)
        if call.number("alpha", 1) != 1:
            kind = call.type_of(right)
            right = call.add("Mul", (right, call.scalar(kind.dtype)), kind)
        return call.add(op, (right, left) if reverse else (left, right), call.output)

    return convert


def _compare(op: str, *, negate: bool = False) -> Converter:
    def convert(call: TorchCall) -> Edge:
        found = call.add(op, _operands(call, "self", "other"), call.output)
        return call.add("Not", (found,), call.output) if negate else found

    return convert


def _logical(op: str, bitwise: str) -> Converter:
    """Of truth values the logical operator, of integers the bitwise one."""

    def convert(call: TorchCall) -> Edge:
        names = ("self", "other") if "other" in call.call.arguments else ("self",)
        operands = _operands(call, *names, dtype=call.output.dtype)
        return call.add(op if call.output.dtype == "bool" else bitwise, operands, call.output)

    return convert


def _divide(call: TorchCall) -> Edge:
    mode = call.text("rounding_mode", "none")
    found = call.add("Div", _operands(call, "self", "other", dtype=call.output.dtype), call.output)
    return found if mode == "none" else _rounded(call, found, mode)


def _rounded(call: TorchCall, edge: Edge, mode: str) -> Edge:
    if call.output.dtype in _INTEGERS:
        return edge  # a division of integers is whole
    if mode == "floor":
        return call.add("Floor", (edge,), call.output)
    return call.cast(call.cast(edge, "int64"), call.output.dtype)


def _floor_divide(call: TorchCall) -> Edge:
    found = call.add("Div", _operands(call, "self", "other", dtype=call.output.dtype), call.output)
    return _rounded(call, found, "trunc")


def _remainder(call: TorchCall) -> Edge:
    left, right = _operands(call, "self", "other", dtype=call.output.dtype)
    if call.output.dtype in _INTEGERS:
        return call.add("Mod", (left, right), call.output, fmod=0)
    whole = call.add("Floor", (call.add("Div", (left, right), call.output),), call.output)
    again = right if call.has_tensor("other") else call.scalar(call.output.dtype)  # a number is written out each time
    return call.add("Sub", (left, call.add("Mul", (whole, again), call.output)), call.output)


def _power(call: TorchCall) -> Edge:
    return call.add("Pow", _operands(call, "self", "exponent", dtype=call.output.dtype), call.output)


def _clamp(call: TorchCall) -> Edge:
    """Bounds that are numbers are attributes, bounds that are tensors operands."""
    data = call.cast(call.tensor("self"), call.output.dtype)
    bounds = {name: call.number(name) for name in ("min", "max") if isinstance(call.argument(name), int | float)}
    if bounds:
        data = call.add("Clip", (data,), call.output, **bounds)
    for name, op in (("min", "Max"), ("max", "Min")):
        if call.has_tensor(name):
            data = call.add(op, (data, call.cast(call.tensor(name), call.output.dtype)), call.output)
    return data


def _bounded(low: str | float, high: str | float) -> Converter:
    def convert(call: TorchCall) -> Edge:
        bounds = [call.number(*_BOUND_DEFAULTS[end]) if isinstance(end, str) else end for end in (low, high)]
        return call.add("Clip", (call.tensor("self"),), call.output, min=bounds[0], max=bounds[1])

    return convert


_BOUND_DEFAULTS = {"min_val": ("min_val", -1.0), "max_val": ("max_val", 1.0)}


def _where(call: TorchCall) -> Edge:
    branches = _operands(call, "self", "other", dtype=call.output.dtype)
    return call.add("Where", (call.cast(call.tensor("condition"), "bool"), *branches), call.output)


def _masked_fill(call: TorchCall) -> Edge:
    data, value = _operands(call, "self", "value", dtype=call.output.dtype)
    return call.add("Where", (call.tensor("mask"), value, data), call.output)


def _chain(*steps: str) -> Converter:
    """Operators in turn; ``Mul`` and its like take a constant for their second operand, ``-Mul`` for their first."""

    def convert(call: TorchCall) -> Edge:
        edge = call.cast(call.tensor("self"), call.output.dtype)
        for step in steps:
            op, constant_first = step.lstrip("-"), step.startswith("-")
            inputs: Edges = (edge,)
            if op in ("Add", "Div", "Mul", "Pow", "Sub"):
                constant = call.scalar(call.output.dtype)
                inputs = (constant, edge) if constant_first else (edge, constant)
            edge = call.add(op, inputs, call.output)
        return edge

    return convert


def _gated(*steps: str) -> Converter:
    """The input times a function of itself."""

    def convert(call: TorchCall) -> Edge:
        return call.add("Mul", (call.tensor("self"), _of(_chain(*steps), call)), call.output)

    return convert


def _of(converter: Converter, call: TorchCall) -> Edge:
    found = converter(call)
    return found if isinstance(found, Edge) else call.tensor("self")


def _square(call: TorchCall) -> Edge:
    data = call.tensor("self")
    return call.add("Mul", (data, data), call.output)


def _gelu(call: TorchCall) -> Edge:
    return call.add("Gelu", (call.tensor("self"),), call.output, approximate=call.text("approximate", "none"))


def _glu(call: TorchCall) -> Edge:
    half = call.output
    axis = call.axis("dim", -1)
    data, gate = call.add_all("Split", (call.tensor("self"),), (half, half), axis=axis)
    return call.add("Mul", (data, call.add("Sigmoid", (gate,), half)), half)


def _elu(call: TorchCall) -> Edge:
    alpha, scale = call.number("alpha", 1.0), call.number("scale", 1.0)
    if abs(scale - 1.0507009873554805) < 1e-6:
        return call.add("Selu", (call.tensor("self"),), call.output)
    found = call.add("Elu", (call.tensor("self"),), call.output, alpha=alpha)
    return found if scale == 1 else call.add("Mul", (found, call.scalar(call.output.dtype)), call.output)


def _prelu(call: TorchCall) -> Edge:
    """The slope of a channel is broadcast over what comes after it."""
    data, slope = call.tensor("self"), call.tensor("weight")
    rank = len(call.type_of(data).shape)
    if rank > 2:
        slope = call.reshape(slope, (call.type_of(slope).elements, *(1,) * (rank - 2)))
    return call.add("PRelu", (data, slope), call.output)


def _softplus(call: TorchCall) -> Edge:
    converter = _chain("Softplus") if call.number("beta", 1) == 1 else _chain("Mul", "Softplus", "Div")
    return _of(converter, call)


def _threshold(call: TorchCall) -> Edge:
    data = call.tensor("self")
    if call.number("threshold") == call.number("value") == 0:
        return call.add("Relu", (data,), call.output)
    above = call.add("Greater", (data, call.scalar(call.output.dtype)), TensorType(call.output.shape, "bool"))
    return call.add("Where", (above, data, call.scalar(call.output.dtype)), call.output)


def _addcmul(op: str) -> Converter:
    def convert(call: TorchCall) -> Edge:
        data, *factors = (call.tensor(name) for name in ("self", "tensor1", "tensor2"))
        product = call.add(op, tuple(factors), call.output)
        if call.number("value", 1) != 1:
            product = call.add("Mul", (product, call.scalar(call.output.dtype, (1,))), call.output)
        return call.add("Add", (data, product), call.output)

    return convert


def _lerp(call: TorchCall) -> Edge:
    start, end = call.tensor("self"), call.tensor("end")
    weight = call.tensor("weight") if call.has_tensor("weight") else call.scalar(call.output.dtype)
    step = call.add("Mul", (weight, call.add("Sub", (end, start), call.output)), call.output)
    return call.add("Add", (start, step), call.output)


def _atan2(call: TorchCall) -> Edge:
    """The quotient's angle, moved by half a turn where the second operand is negative."""
    y, x = call.tensor("self"), call.tensor("other")
    kind, mask = call.output, TensorType(call.output.shape, "bool")
    angle = call.add("Atan", (call.add("Div", (y, x), kind),), kind)
    positive = call.add("Greater", (y, call.scalar(kind.dtype)), mask)
    moved = tuple(call.add(op, (angle, call.scalar(kind.dtype)), kind) for op in ("Add", "Sub"))
    negative = call.add("Less", (x, call.scalar(kind.dtype)), mask)
    return call.add("Where", (negative, call.add("Where", (positive, *moved), kind), angle), kind)


def _cast(call: TorchCall) -> Edge:
    return call.cast(call.tensor("self"), call.output.dtype)


def _dropout(call: TorchCall) -> Edge:
    """Nothing at inference; a mask is drawn only while training."""
    data = call.tensor("input")
    trains = call.flag("train", call.call.target.startswith("aten.native_dropout"))
    kinds = call.outputs if trains else call.outputs[:1]
    return call.add_all("Dropout", (data,), kinds, training_mode=1)[0] if trains else data


def _alias(name: str) -> Converter:
    return lambda call: call.tensor(name)


def _copy(call: TorchCall) -> Edge:
    source = call.cast(call.tensor("src"), call.output.dtype)
    return source if call.type_of(source) == call.output else call.add("Expand", (source,), call.output)


def _bit_shift(direction: str) -> Converter:
    return lambda call: call.add(
        "BitShift", _operands(call, "self", "other", dtype=call.output.dtype), call.output, direction=direction
    )


def _is_infinite(call: TorchCall) -> Edges | Edge | None:
    return call.add("IsInf", (call.tensor("self"),), call.output) if _is_float(call) else NOT_MAPPED


def _is_float(call: TorchCall) -> bool:
    return "float" in call.kind("self").dtype


_SAME = """Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor IsNaN Log Neg Reciprocal Relu Round Selu
    Sigmoid Sign Sin Sinh Sqrt Tan Tanh"""
_ALIASES = """alias alias_copy clone contiguous detach detach_copy lift lift_fresh lift_fresh_copy positive conj
    resolve_conj resolve_neg"""

ELEMENTWISE: dict[str, Converter] = {
    **{op.lower(): unary(op) for op in _SAME.split()},
    "hardswish": unary("HardSwish"), "hardsigmoid": unary("HardSigmoid", alpha=1 / 6, beta=0.5), "isinf": _is_infinite,
    "add": _scaled("Add"), "sub": _scaled("Sub"), "rsub": _scaled("Sub", reverse=True), "mul": _binary("Mul"),
    "maximum": _binary("Max"), "minimum": _binary("Min"), "max.other": _binary("Max"), "min.other": _binary("Min"),
    "div": _divide, "true_divide": _divide, "floor_divide": _floor_divide, "remainder": _remainder,
    "fmod": lambda call: call.add(
        "Mod", _operands(call, "self", "other", dtype=call.output.dtype), call.output, fmod=1
    ),
    "pow": _power, "eq": _compare("Equal"), "ne": _compare("Equal", negate=True), "gt": _compare("Greater"),
    "ge": _compare("GreaterOrEqual"), "lt": _compare("Less"), "le": _compare("LessOrEqual"),
    **{name: _logical("And", "BitwiseAnd") for name in ("logical_and", "bitwise_and", "__and__")},
    **{name: _logical("Or", "BitwiseOr") for name in ("logical_or", "bitwise_or", "__or__")},
    **{name: _logical("Xor", "BitwiseXor") for name in ("logical_xor", "bitwise_xor", "__xor__")},
    **{name: _logical("Not", "BitwiseNot") for name in ("logical_not", "bitwise_not")},
    **dict.fromkeys(("bitwise_left_shift", "__lshift__"), _bit_shift("LEFT")),
    **dict.fromkeys(("bitwise_right_shift", "__rshift__"), _bit_shift("RIGHT")),
    **dict.fromkeys(("clamp", "clip", "clamp_min", "clamp_max"), _clamp),
    "hardtanh": _bounded("min_val", "max_val"), "relu6": _bounded(0.0, 6.0),
    "where": _where, "masked_fill": _masked_fill, "threshold": _threshold, "gelu": _gelu, "glu": _glu, "elu": _elu,
    "celu": lambda call: call.add("Celu", (call.tensor("self"),), call.output, alpha=call.number("alpha", 1.0)),
    "leaky_relu": lambda call: call.add(
        "LeakyRelu", (call.tensor("self"),), call.output, alpha=call.number("negative_slope", 0.01)
    ),
    "prelu": _prelu, "_prelu_kernel": _prelu, "softplus": _softplus, "silu": _gated("Sigmoid"),
    "mish": _gated("Softplus", "Tanh"), "log_sigmoid": _chain("Sigmoid", "Log"), "rsqrt": _chain("Sqrt", "-Div"),
    "log1p": _chain("-Add", "Log"), "expm1": _chain("Exp", "Sub"), "log2": _chain("Log", "Div"),
    "log10": _chain("Log", "Div"), "exp2": _chain("-Pow"), "erfc": _chain("Erf", "-Sub"),
    "trunc": lambda call: call.cast(call.cast(call.tensor("self"), "int64"), call.output.dtype), "square": _square,
    "addcmul": _addcmul("Mul"), "addcdiv": _addcmul("Div"), "lerp": _lerp, "atan2": _atan2, "copy": _copy,
    **dict.fromkeys(("to", "_to_copy", "type_as", "float", "half", "double", "long", "int", "bool"), _cast),
    **dict.fromkeys(("dropout", "native_dropout", "feature_dropout", "alpha_dropout"), _dropout),
    **dict.fromkeys(_ALIASES.split(), _alias("self")),
}  # fmt: skip
