"""Weights for networks that are only timed: stand-ins for missing ones, and no two that a runtime could merge."""

from collections import Counter
from collections.abc import Collection, Iterator
from math import isfinite, prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tvm_narcost.errors import MeasurementError

__all__ = ["can_be_filled", "with_unique_weights", "with_weights"]

# dtype -> relative difference between two weights, a few units in the last place
_STEP: dict[int, float] = {
    onnx.TensorProto.FLOAT: 1e-6,
    onnx.TensorProto.DOUBLE: 1e-6,
    onnx.TensorProto.FLOAT16: 2e-3,
    onnx.TensorProto.BFLOAT16: 2e-2,
}

# operator -> slot -> ranks of a graph input that is taken for a weight when it is read there
_ANY = (0, 1, 2, 3, 4, 5)
_WEIGHT_SLOTS: dict[str, dict[int, tuple[int, ...]]] = {
    "Conv": {1: _ANY, 2: _ANY},
    "ConvTranspose": {1: _ANY, 2: _ANY},
    "Gemm": {1: _ANY, 2: _ANY},
    "MatMul": {1: (2,)},  # of higher rank it is an activation: attention multiplies two of them
    "BatchNormalization": {slot: _ANY for slot in (1, 2, 3, 4)},
    "InstanceNormalization": {1: _ANY, 2: _ANY},
    "LayerNormalization": {1: _ANY, 2: _ANY},
    "GroupNormalization": {1: _ANY, 2: _ANY},
    "PRelu": {1: _ANY},
    "Gather": {0: (2,)},  # an embedding table
    "Add": {0: (1,), 1: (1,)},  # a bias
    "Mul": {0: (1,), 1: (1,)},  # a scale
}
_NORMALIZATIONS = {"BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"}
_SMALL = 0.01  # biases, means
_INPUTS_VARY = 4  # version of the file format
_VANISHING = 1e-6  # in half precision already denormal

_Missing = dict[str, tuple[int, tuple[int, ...]]]  # name -> dtype, shape


def with_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with a ConstantOfShape node in place of each weight whose data is not there.

    Missing are: an initializer whose data lies in an external file that was not loaded; an initializer without any
    data; a graph input that only feeds slots that hold weights (Conv's kernel, BatchNormalization's mean ...), unless
    all inputs do. Each gets one small value of its own, about 1/fan_in, so that activations keep their size from
    layer to layer: vanishing ones end in denormal numbers, which run ten times slower. ``model`` is not changed, and
    is returned as it is when nothing is missing.

    Raises:
        MeasurementError: an integer constant is missing (it decides shapes or indices, so none can be made up), or a
            missing weight has no static shape.
    """
    missing: _Missing = {
        tensor.name: (tensor.data_type, tuple(tensor.dims))
        for tensor in model.graph.initializer
        if _has_no_data(tensor)
    }
    missing |= _weight_inputs(model)
    if not missing:
        return model
    _check_floats(missing, model.graph.name)
    filled = onnx.ModelProto()
    filled.CopyFrom(model)
    graph = filled.graph
    initializers = [tensor for tensor in graph.initializer if tensor.name not in missing]
    inputs = [value for value in graph.input if value.name not in missing]
    nodes = list(graph.node)
    del graph.initializer[:], graph.input[:], graph.node[:]
    graph.initializer.extend(initializers)
    graph.input.extend(inputs)
    roles = _roles(model)
    for ordinal, (name, (dtype, shape)) in enumerate(missing.items()):
        value = _stand_in(roles.get(name, ("", 0)), shape) * (1 + _STEP[dtype] * ordinal)
        _add_weight(graph, name, dtype, shape, value)
    graph.node.extend(nodes)
    return filled


def can_be_filled(model: onnx.ModelProto) -> bool:
    """Whether :func:`with_weights` finds stand-ins for all data that is missing, and a runtime plans as with the data.

    Since IR version 4 an initializer that is an input too is no constant, which a runtime folds nothing into. Its
    stand-in would be one.
    """
    missing = [tensor for tensor in model.graph.initializer if _has_no_data(tensor)]
    variable = {value.name for value in model.graph.input} if model.ir_version >= _INPUTS_VARY else set()
    stand_ins = all(tensor.data_type in _STEP and tensor.name not in variable for tensor in missing)
    return stand_ins and not any(map(_has_no_data, _inner_tensors(model)))


def with_unique_weights(model: onnx.ModelProto, *, reserved: Collection[float] = ()) -> onnx.ModelProto:
    """``model`` with no two floating-point ConstantOfShape nodes of the same value and shape.

    Networks distributed without weights hold them as ConstantOfShape nodes of one value. A runtime then sees that
    parallel layers compute the same and merges them (common-subexpression elimination), and the network that is
    timed is not the one that was meant. The n-th repetition of a value changes by n millionths (a zero becomes n
    millionths), so that activations stay what they were. Values that are unique already, single elements (epsilons,
    bounds, exponents), infinities, integers and weights that are stored as data are left alone. ``model`` is not
    changed.

    Args:
        model: the network.
        reserved: values that no such node keeps; where a runtime sees that a tensor is all ones, it multiplies nothing.
    """
    shapes = _constant_shapes(model)
    unique = onnx.ModelProto()
    unique.CopyFrom(model)
    taken: set[tuple[tuple[int, ...], int, float]] = set()
    repeated: Counter[tuple[tuple[int, ...], int, float]] = Counter()
    for node in unique.graph.node:
        shape = shapes.get(node.input[0], ()) if node.op_type == "ConstantOfShape" else ()
        if prod(shape) <= 1:
            continue
        if not node.attribute:  # the default of the operator
            node.attribute.append(helper.make_attribute("value", helper.make_tensor("v", 1, [1], [0.0])))
        tensor = node.attribute[0].t
        dtype, value = tensor.data_type, _value(tensor)
        if dtype not in _STEP or not isfinite(value):
            continue
        while (shape, dtype, _value(tensor)) in taken or _value(tensor) in reserved:
            repeated[shape, dtype, value] += 1
            change = _STEP[dtype] * repeated[shape, dtype, value]
            tensor.CopyFrom(helper.make_tensor("value", dtype, [1], [_changed(value, change)]))
        taken.add((shape, dtype, _value(tensor)))
    return unique


def _changed(value: float, change: float) -> float:
    """Differs from ``value`` in any dtype, and can neither overflow nor vanish."""
    if abs(value) < _VANISHING:
        return change
    return value * (1 + change) if abs(value) < 1 else value / (1 + change)


def _value(tensor: onnx.TensorProto) -> float:
    return float(numpy_helper.to_array(tensor).astype(np.float64).ravel()[0])


def _has_no_data(tensor: onnx.TensorProto) -> bool:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return True
    if tensor.HasField("raw_data") or prod(tensor.dims) == 0:
        return False
    fields = (tensor.float_data, tensor.int64_data, tensor.int32_data, tensor.double_data, tensor.uint64_data)
    return not any(map(len, (*fields, tensor.string_data)))


def _inner_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Tensors that are no initializers of the model's own graph: of nodes, nested graphs, functions; sparse ones."""
    yield from (sparse.values for sparse in model.graph.sparse_initializer)
    pending = [model.graph.node, *(function.node for function in model.functions)]
    while pending:
        for node in pending.pop():
            for attribute in node.attribute:
                yield from (attribute.t,) if attribute.HasField("t") else attribute.tensors
                for graph in (attribute.g, *attribute.graphs):
                    yield from (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer))
                    pending.append(graph.node)


def _weight_inputs(model: onnx.ModelProto) -> _Missing:
    """The graph inputs that are weights: every reader has them where a weight belongs."""
    initialized = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value.type.tensor_type for value in model.graph.input if value.name not in initialized}
    weights = {name for name, kind in inputs.items() if kind.elem_type in _STEP}
    for node in model.graph.node:
        slots = _WEIGHT_SLOTS.get(node.op_type, {})
        for slot, name in enumerate(node.input):
            if name in weights and len(inputs[name].shape.dim) not in slots.get(slot, ()):
                weights.remove(name)
    if len(weights) == len(inputs):
        return {}
    for name in sorted(weights):
        if any(not extent.HasField("dim_value") for extent in inputs[name].shape.dim):
            raise MeasurementError(
                f"weight {name!r} of {model.graph.name!r} has no data and a dimension without a value, expected a "
                "static shape: bind its dimensions first"
            )
    return {
        name: (kind.elem_type, tuple(extent.dim_value for extent in kind.shape.dim))
        for name, kind in inputs.items()
        if name in weights
    }


def _check_floats(missing: _Missing, network: str) -> None:
    wrong = [
        f"{name!r} ({onnx.TensorProto.DataType.Name(dtype)})"
        for name, (dtype, _) in missing.items()
        if dtype not in _STEP
    ]
    if wrong:
        raise MeasurementError(
            f"{len(wrong)} constants of {network!r} have no data and are no floating-point weights: "
            f"{', '.join(wrong[:5])}; expected their values: give the model together with its external data file"
        )


def _add_weight(graph: onnx.GraphProto, name: str, dtype: int, shape: tuple[int, ...], value: float) -> None:
    shape_name = f"{name}__narcost_shape"
    graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), shape_name))
    fill = helper.make_tensor("value", dtype, [1], [value])
    graph.node.append(helper.make_node("ConstantOfShape", [shape_name], [name], f"{name}__narcost", value=fill))


def _roles(model: onnx.ModelProto) -> dict[str, tuple[str, int]]:
    """Value name -> the operator and slot that read it first."""
    roles: dict[str, tuple[str, int]] = {}
    for node in model.graph.node:
        for slot, name in enumerate(node.input):
            roles.setdefault(name, (node.op_type, slot))
    return roles


def _stand_in(role: tuple[str, int], shape: tuple[int, ...]) -> float:
    """A value that keeps activations about as large as they come in."""
    op, slot = role
    if op in _NORMALIZATIONS:
        return 1.0 if slot in (1, 4) else _SMALL  # scale and variance; bias and mean
    if len(shape) < 2:
        return 1.0 if op == "Mul" else _SMALL
    rows, *rest = shape
    fan_in = rows if op in ("MatMul", "ConvTranspose") else prod(rest)
    return 1.0 / max(fan_in, 1)


def _constant_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Value name -> shape, for each small integer vector that a ConstantOfShape could read."""
    return {
        name: tuple(int(extent) for extent in numpy_helper.to_array(tensor).ravel())
        for name, tensor in _constants(model)
        if tensor.data_type == onnx.TensorProto.INT64 and prod(tensor.dims) <= 16 and not _has_no_data(tensor)
    }


def _constants(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    for tensor in model.graph.initializer:
        yield tensor.name, tensor
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield node.output[0], attribute.t
