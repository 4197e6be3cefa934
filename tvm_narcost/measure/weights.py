"""Weights for networks that are only timed: stand-ins for missing ones, and no two that a runtime could merge."""

from collections import Counter
from collections.abc import Iterator
from math import isfinite, prod

import numpy as np
import onnx
from onnx import numpy_helper

from tvm_narcost.errors import MeasurementError

__all__ = ["with_unique_weights", "with_weights"]

_FLOATS = {
    onnx.TensorProto.FLOAT: 1e-6,
    onnx.TensorProto.DOUBLE: 1e-6,
    onnx.TensorProto.FLOAT16: 2e-3,
    onnx.TensorProto.BFLOAT16: 2e-2,
}  # dtype -> relative step between two weights, several units in the last place

# operator -> inputs that hold weights in every network; a graph input that only feeds these is a missing weight
_WEIGHT_SLOTS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (1,),
    "BatchNormalization": (1, 2, 3, 4),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "PRelu": (1,),
}
_NORMALIZATIONS = {"BatchNormalization", "InstanceNormalization", "LayerNormalization"}


def with_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with a ConstantOfShape node in place of each weight whose data is not there.

    Missing are: an initializer whose data lies in an external file that was not loaded; an initializer without any
    data; a graph input that only feeds slots that hold weights (Conv's kernel, BatchNormalization's mean ...). Each
    gets one small value of its own, about 1/fan_in, so that activations keep their size from layer to layer: a
    vanishing activation ends in denormal numbers, which run ten times slower. ``model`` itself is not changed, and
    is returned as it is when nothing is missing.

    Raises:
        MeasurementError: an integer constant is missing (it decides shapes or indices, so none can be made up), or a
            missing weight has no static shape.
    """
    missing = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in _missing_initializers(model)}
    missing |= dict(_weight_inputs(model))
    if not missing:
        return model
    for name, (dtype, _) in missing.items():
        if dtype not in _FLOATS:
            raise MeasurementError(
                f"constant {name!r} of {model.graph.name!r} has no data and is {_dtype_name(dtype)}, expected a "
                "floating-point weight: give the model together with its external data file"
            )
    roles = _roles(model)
    filled = onnx.ModelProto()
    filled.CopyFrom(model)
    kept = [tensor for tensor in filled.graph.initializer if tensor.name not in missing]
    inputs = [value for value in filled.graph.input if value.name not in missing]
    nodes = list(filled.graph.node)
    del filled.graph.initializer[:], filled.graph.input[:], filled.graph.node[:]
    filled.graph.initializer.extend(kept)
    filled.graph.input.extend(inputs)
    for ordinal, (name, (dtype, shape)) in enumerate(missing.items()):
        value = _stand_in(roles.get(name, ("", 0)), shape) * (1 + _step(dtype, ordinal))
        shape_name = f"{name}__narcost_shape"
        filled.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), shape_name))
        filled.graph.node.append(
            onnx.helper.make_node(
                "ConstantOfShape",
                [shape_name],
                [name],
                name=f"{name}__narcost_weight",
                value=onnx.helper.make_tensor("value", dtype, [1], [value]),
            )
        )
    filled.graph.node.extend(nodes)
    return filled


def with_unique_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with no two floating-point ConstantOfShape nodes of the same value and shape.

    Networks distributed without weights hold them as ConstantOfShape nodes of one value. A runtime then sees that
    parallel layers compute the same and merges them (common-subexpression elimination), and the network that is
    timed is not the network that was meant. Each value is changed by a few parts in a million times its ordinal
    (a zero becomes 1e-6 times it), so that activations stay what they were. Scalars and single elements (epsilons,
    bounds, exponents), infinities and integers are left alone. Weights that are stored as data are left alone too.
    """
    shapes = {
        tensor.name: tuple(int(extent) for extent in numpy_helper.to_array(tensor).ravel())
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT64 and prod(tensor.dims) <= 16 and not _has_no_data(tensor)
    }
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value" and attribute.t.data_type == onnx.TensorProto.INT64:
                    shapes[node.output[0]] = tuple(int(e) for e in numpy_helper.to_array(attribute.t).ravel())
    unique = onnx.ModelProto()
    unique.CopyFrom(model)
    seen: Counter[tuple[int, tuple[int, ...]]] = Counter()
    for node in unique.graph.node:
        if node.op_type != "ConstantOfShape" or not node.attribute or prod(shapes.get(node.input[0], (1,))) <= 1:
            continue
        tensor = node.attribute[0].t
        if tensor.data_type not in _FLOATS:
            continue
        value = float(numpy_helper.to_array(tensor).astype(np.float64).ravel()[0])
        key = (tensor.data_type, shapes[node.input[0]])
        ordinal = seen[key]
        seen[key] += 1
        if isfinite(value):
            step = _step(tensor.data_type, ordinal)
            changed = value * (1 + step) if value else step
            tensor.CopyFrom(onnx.helper.make_tensor("value", tensor.data_type, [1], [changed]))
    return unique


def _missing_initializers(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    return (tensor for tensor in model.graph.initializer if _has_no_data(tensor))


def _has_no_data(tensor: onnx.TensorProto) -> bool:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return True
    fields = (tensor.raw_data, tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data)
    return prod(tensor.dims) > 0 and not any((*fields, tensor.uint64_data, tensor.string_data))


def _roles(model: onnx.ModelProto) -> dict[str, tuple[str, int]]:
    """Value name -> the operator and slot that read it first."""
    roles: dict[str, tuple[str, int]] = {}
    for node in model.graph.node:
        for slot, name in enumerate(node.input):
            roles.setdefault(name, (node.op_type, slot))
    return roles


def _weight_inputs(model: onnx.ModelProto) -> Iterator[tuple[str, tuple[int, tuple[int, ...]]]]:
    readers: dict[str, list[bool]] = {}
    for node in model.graph.node:
        for slot, name in enumerate(node.input):
            readers.setdefault(name, []).append(slot in _WEIGHT_SLOTS.get(node.op_type, ()))
    has_data = {tensor.name for tensor in model.graph.initializer}
    candidates = [value for value in model.graph.input if value.name not in has_data and value.name in readers]
    weights = [value for value in candidates if all(readers[value.name])]
    if len(weights) == len(candidates):
        # every input looks like a weight (a lone MatMul of two inputs): then the network is fed through them
        weights = [value for value in weights if any(node.input[0] not in has_data for node in model.graph.node)][1:]
    for value in weights:
        kind = value.type.tensor_type
        if any(not extent.HasField("dim_value") for extent in kind.shape.dim):
            raise MeasurementError(
                f"weight {value.name!r} of {model.graph.name!r} has no data and a dimension without a value, expected "
                "a static shape: bind its dimensions first"
            )
        yield value.name, (kind.elem_type, tuple(extent.dim_value for extent in kind.shape.dim))


def _stand_in(role: tuple[str, int], shape: tuple[int, ...]) -> float:
    """A value that keeps activations about as large as they come in."""
    op, slot = role
    if op in _NORMALIZATIONS:
        return 1.0 if slot in (1, 4) else 0.01  # scale and variance one; bias and mean small
    if len(shape) < 2:
        return 0.01  # biases
    rows, *rest = shape
    fan_in = rows if op in ("MatMul", "ConvTranspose") else prod(rest)
    return 1.0 / max(fan_in, 1)


def _step(dtype: int, ordinal: int) -> float:
    return _FLOATS[dtype] * (ordinal + 1)


def _dtype_name(dtype: int) -> str:
    return onnx.TensorProto.DataType.Name(dtype)
