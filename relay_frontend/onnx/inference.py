"""Types of what a standard operator writes, one node at a time, by ONNX's own inference."""

from functools import lru_cache

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference
from onnx.checker import ValidationError

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import AttributeValue, TensorType
from relay_frontend.onnx.source import Array, SourceNode, dtype_name

__all__ = ["attribute_defaults", "infer_outputs", "required_outputs", "schema_of"]

# ONNX Runtime's optimiser writes these under the standard domain whatever opset the model declares.
_ALWAYS_KNOWN = {"LayerNormalization", "RMSNormalization", "Gelu", "HardSwish", "Mish"}
# ONNX says what they compute, not of which type it is: that of their first input.
_LIKE_INPUT = {"GroupNormalization", "MeanVarianceNormalization"}
_VARIADIC = onnx.defs.OpSchema.FormalParameterOption.Variadic


@lru_cache(maxsize=1024)
def schema_of(op: str, version: int, domain: str = "") -> onnx.defs.OpSchema | None:
    """The schema that gives ``op`` of the standard domain its meaning in opset ``version``; None if there is none.

    Of another domain it is the newest, whatever the version.
    """
    if domain:
        return onnx.defs.get_schema(op, domain=domain) if onnx.defs.has(op, domain) else None
    try:
        return onnx.defs.get_schema(op, version)
    except onnx.defs.SchemaError:
        if op in _ALWAYS_KNOWN and onnx.defs.has(op):
            return onnx.defs.get_schema(op)
        return None


@lru_cache(maxsize=1024)
def required_outputs(op: str, version: int) -> int:
    """How many outputs a standard operator has at least; those after them are optional. All of a variadic list."""
    schema = schema_of(op, version)
    if schema is None or any(output.option == _VARIADIC for output in schema.outputs):
        return 2**31
    return int(schema.min_output)


@lru_cache(maxsize=1024)
def attribute_defaults(op: str, version: int) -> tuple[tuple[str, AttributeValue], ...]:
    """Name and default of each attribute of a standard operator.

    The defaults of the opset come first, those that only the newest opset has are added, so that a node reads the
    same whichever opset it was written in.
    """
    found: dict[str, AttributeValue] = {}
    newest = onnx.defs.get_schema(op) if onnx.defs.has(op) else None
    for schema in (schema_of(op, version), newest):
        for name, attribute in schema.attributes.items() if schema is not None else ():
            if name not in found and attribute.default_value.type:
                found[name] = _plain_default(attribute.default_value)
    return tuple(found.items())


def _plain_default(proto: onnx.AttributeProto) -> AttributeValue:
    value = helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return tuple(item.decode() if isinstance(item, bytes) else item for item in value)
    return value  # type: ignore[no-any-return]  # a number


def infer_outputs(
    node: SourceNode, inputs: list[TensorType | None], values: dict[int, Array]
) -> tuple[TensorType | None, ...]:
    """Types of ``node``'s outputs; None where ONNX cannot tell.

    Args:
        node: an operator of a domain that ONNX itself defines.
        inputs: the type of each input, None for one that is left out.
        values: known values by input slot.

    Raises:
        InvalidGraphError: the inputs do not fit the operator.
    """
    # ONNX's own inference forgets that a short-time transform is one-sided unless it says otherwise.
    given = {"onesided": 1, **node.attributes} if node.op == "STFT" else node.attributes
    attributes = tuple(given.items())
    data = tuple((slot, str(value.dtype), value.shape, value.tobytes()) for slot, value in sorted(values.items()))
    tensors = tuple((name, tensor.SerializeToString()) for name, tensor in node.tensors.items())
    try:
        return _infer(node.op, node.domain, node.version, attributes, tensors, tuple(inputs), data, len(node.outputs))
    except (shape_inference.InferenceError, ValidationError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise InvalidGraphError(
            f"{node.label} does not fit its inputs {[_print(kind) for kind in inputs]}: {reason}"
        ) from error


def _print(kind: TensorType | None) -> str:
    return "-" if kind is None else f"{kind.dtype}{list(kind.shape)}"


@lru_cache(maxsize=16384)
def _infer(
    op: str,
    domain: str,
    version: int,
    attributes: tuple[tuple[str, AttributeValue], ...],
    tensors: tuple[tuple[str, bytes], ...],
    inputs: tuple[TensorType | None, ...],
    data: tuple[tuple[int, str, tuple[int, ...], bytes], ...],
    outputs: int,
) -> tuple[TensorType | None, ...]:
    """Networks repeat themselves, so most calls are answered from the cache."""
    schema = schema_of(op, version, domain)
    if schema is None:
        return (None,) * outputs
    proto = helper.make_node(
        op,
        ["" if kind is None else f"i{slot}" for slot, kind in enumerate(inputs)],
        [f"o{slot}" for slot in range(outputs)],
        domain=domain,
    )
    for name, value in attributes:
        proto.attribute.append(_attribute_proto(schema, name, value))
    for name, content in tensors:
        proto.attribute.append(helper.make_attribute(name, onnx.TensorProto.FromString(content)))
    types = {f"i{slot}": _type_proto(kind) for slot, kind in enumerate(inputs) if kind is not None}
    known = {
        f"i{slot}": numpy_helper.from_array(np.frombuffer(content, dtype).reshape(shape))
        for slot, dtype, shape, content in data
    }
    opsets = [helper.make_operatorsetid("", version)]
    if domain:
        opsets.append(helper.make_operatorsetid(domain, schema.since_version))
    if op in _LIKE_INPUT and not domain:
        return (inputs[0],) + (None,) * (outputs - 1)
    if not schema.has_type_and_shape_inference_function:
        return _infer_function(proto, types, opsets)
    found = shape_inference.infer_node_outputs(schema, proto, types, known, opset_imports=opsets)
    return tuple(_plain_type(found.get(f"o{slot}")) for slot in range(outputs))


def _infer_function(
    proto: onnx.NodeProto,
    types: dict[str, onnx.TypeProto],
    opsets: list[onnx.OperatorSetIdProto],
) -> tuple[TensorType | None, ...]:
    """Types of what an operator writes that ONNX defines by a function of others alone; None where it has none."""
    graph = helper.make_graph(
        [proto],
        proto.op_type,
        [onnx.ValueInfoProto(name=name, type=kind) for name, kind in types.items()],
        [onnx.ValueInfoProto(name=name) for name in proto.output],
    )
    model = helper.make_model(graph, opset_imports=opsets)
    inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    found = {value.name: value.type for value in inferred.graph.output}
    return tuple(_plain_type(found.get(name)) for name in proto.output)


def _attribute_proto(schema: onnx.defs.OpSchema, name: str, value: AttributeValue) -> onnx.AttributeProto:
    if value != ():
        return helper.make_attribute(name, value)
    declared = schema.attributes.get(name)  # an empty list does not tell of what
    kind = onnx.AttributeProto.INTS if declared is None else int(declared.type)  # type: ignore[call-overload]
    proto = onnx.AttributeProto(name=name)
    proto.type = kind
    return proto


@lru_cache(maxsize=4096)
def _type_proto(kind: TensorType) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(_dtype_number(kind.dtype), kind.shape)


@lru_cache(maxsize=64)
def _dtype_number(name: str) -> int:
    renamed = {"float32": "FLOAT", "float64": "DOUBLE"}.get(name, name.upper())
    return int(onnx.TensorProto.DataType.Value(renamed))


def _plain_type(found: onnx.TypeProto | None) -> TensorType | None:
    """None where the type is unknown, no tensor, or has an open dimension."""
    if found is None or not found.HasField("tensor_type") or not found.tensor_type.HasField("shape"):
        return None
    shape = []
    for dimension in found.tensor_type.shape.dim:
        if not dimension.HasField("dim_value") or dimension.dim_value < 0:
            return None
        shape.append(dimension.dim_value)
    if not found.tensor_type.elem_type:
        return None
    return TensorType(tuple(shape), dtype_name(found.tensor_type.elem_type, "an inferred output"))
