"""Normalisations and softmax."""

from math import prod

from relay_frontend.graph import Edge, TensorType
from relay_frontend.torch_export.call import NOT_MAPPED, Converter, TorchCall

__all__ = ["NORMALIZATIONS"]


def _affine(call: TorchCall, shape: tuple[int, ...], dtype: str) -> tuple[Edge, Edge]:
    """Scale and shift; constants where the layer has none, since ONNX's operators want both."""
    kind = TensorType(shape, dtype)
    weight, bias = call.optional("weight"), call.optional("bias")
    return (call.constant(kind) if weight is None else weight, call.constant(kind) if bias is None else bias)


def _batch_norm(call: TorchCall) -> Edge | None:
    data = call.tensor("input")
    kind = call.type_of(data)
    if call.flag("training") or not (call.has_tensor("running_mean") and call.has_tensor("running_var")):
        return NOT_MAPPED  # statistics of the batch: another operator altogether
    channels = kind.shape[1:2]
    moments = (call.tensor("running_mean"), call.tensor("running_var"))
    inputs = (data, *_affine(call, channels, kind.dtype), *moments)
    epsilon = call.number("eps", call.number("epsilon", 1e-5))
    return call.add("BatchNormalization", inputs, call.output, epsilon=epsilon, training_mode=0)


def _layer_norm(call: TorchCall) -> Edge:
    data, shape = call.tensor("input"), call.integers("normalized_shape")
    kind = call.type_of(data)
    inputs = (data, *_affine(call, shape, kind.dtype))
    axis = len(kind.shape) - len(shape)
    return call.add("LayerNormalization", inputs, call.output, axis=axis, epsilon=call.number("eps", 1e-5))


def _rms_norm(call: TorchCall) -> Edge:
    data, shape = call.tensor("input"), call.integers("normalized_shape")
    kind = call.type_of(data)
    weight = call.optional("weight")
    scale = call.constant(TensorType(shape, kind.dtype)) if weight is None else weight
    axis = len(kind.shape) - len(shape)
    epsilon = call.number("eps", 1.1920929e-07)  # torch's default is the smallest step of the dtype
    return call.add("RMSNormalization", (data, scale), call.output, axis=axis, epsilon=epsilon)


def _group_norm(call: TorchCall) -> Edge:
    """As exporters spell it: InstanceNormalization of the groups, then the channels' scale and shift."""
    data = call.tensor("input")
    groups = call.integer("num_groups" if "num_groups" in call.call.arguments else "group")
    kind = call.type_of(data)
    batch, channels, *image = kind.shape
    flat = call.reshape(data, (batch, groups, prod(kind.shape) // max(batch * groups, 1)))
    one = TensorType((groups,), kind.dtype)
    inputs = (flat, call.constant(one), call.constant(one))
    normal = call.add("InstanceNormalization", inputs, call.type_of(flat), epsilon=call.number("eps", 1e-5))
    whole = call.reshape(normal, kind.shape)
    scale, shift = (
        call.reshape(edge, (channels, *(1,) * len(image))) for edge in _affine(call, (channels,), kind.dtype)
    )
    return call.add("Add", (call.add("Mul", (whole, scale), kind), shift), kind)


def _instance_norm(call: TorchCall) -> Edge | None:
    data = call.tensor("input")
    kind = call.type_of(data)
    if not call.flag("use_input_stats", True):
        return _batch_norm(call)
    inputs = (data, *_affine(call, kind.shape[1:2], kind.dtype))
    return call.add("InstanceNormalization", inputs, call.output, epsilon=call.number("eps", 1e-5))


def _softmax(op: str) -> Converter:
    def convert(call: TorchCall) -> Edge:
        data = call.cast(call.tensor("self"), call.output.dtype)
        return call.add(op, (data,), call.output, axis=call.axis("dim"))

    return convert


def _vector_norm(call: TorchCall) -> Edge | None:
    """Of order 1 or 2."""
    order = call.argument("ord", call.argument("p", 2))
    op = {1.0: "ReduceL1", 2.0: "ReduceL2"}.get(order) if isinstance(order, int | float) else None
    if op is None:
        return NOT_MAPPED
    data = call.cast(call.tensor("self"), call.output.dtype)
    return call.add(op, (data,), call.output, axes=call.axes("dim"), keepdims=int(call.flag("keepdim")))


NORMALIZATIONS: dict[str, Converter] = {
    **dict.fromkeys(
        ("batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm",
         "_batch_norm_no_update"),
        _batch_norm,
    ),
    "layer_norm": _layer_norm, "native_layer_norm": _layer_norm, "rms_norm": _rms_norm, "_fused_rms_norm": _rms_norm,
    "group_norm": _group_norm, "native_group_norm": _group_norm, "instance_norm": _instance_norm,
    **dict.fromkeys(("softmax", "_softmax", "_safe_softmax"), _softmax("Softmax")),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _softmax("LogSoftmax")),
    "linalg_vector_norm": _vector_norm, "norm": _vector_norm,
}  # fmt: skip
