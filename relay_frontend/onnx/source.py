"""ONNX protos as plain Python values, decoded once and checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from relay_frontend.errors import InvalidGraphError, ModelFileError, UnsupportedOperatorError
from relay_frontend.graph import AttributeValue, TensorType
from relay_frontend.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "MAX_KNOWN_ELEMENTS",
    "Array",
    "SourceNode",
    "check_location",
    "check_text",
    "decode_node",
    "decode_tensor",
    "dtype_name",
    "tensor_type",
]

Array: TypeAlias = npt.NDArray[np.generic]

MAX_KNOWN_ELEMENTS = 1024  # constants up to this size keep their values while a graph is read: shapes, axes, scales

_RENAMED = {"float": "float32", "double": "float64"}
_DTYPE_NAMES: dict[int, str] = {
    number: _RENAMED.get(name.lower(), name.lower())
    for name, number in onnx.TensorProto.DataType.items()
    if name != "UNDEFINED"
}
_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS, _STRINGS, _GRAPH, _TYPE = (
    onnx.AttributeProto.FLOAT,
    onnx.AttributeProto.INT,
    onnx.AttributeProto.STRING,
    onnx.AttributeProto.TENSOR,
    onnx.AttributeProto.FLOATS,
    onnx.AttributeProto.INTS,
    onnx.AttributeProto.STRINGS,
    onnx.AttributeProto.GRAPH,
    onnx.AttributeProto.TYPE_PROTO,
)
_INT64, _EXTERNAL = onnx.TensorProto.INT64, onnx.TensorProto.EXTERNAL


@dataclass(slots=True)
class SourceNode:
    """A NodeProto decoded.

    Attributes:
        version: opset of the standard operators where the node is.
        tensors: its attributes of that kind.
        graphs: its attributes of that kind, not decoded.
        captured: what its graphs read of the graph around them.
        scope: of the graph that it is in, where it has graphs of its own; see bodies.py.
    """

    op: str
    domain: str
    version: int
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, AttributeValue]
    tensors: dict[str, onnx.TensorProto]
    graphs: dict[str, onnx.GraphProto] = field(default_factory=dict)
    captured: list[str] = field(default_factory=list)
    scope: object = None

    @property
    def reads(self) -> list[str]:
        """Every value that must be there before the node runs."""
        return self.inputs + self.captured if self.captured else self.inputs

    @property
    def label(self) -> str:
        """How messages name the node."""
        domain = f"{self.domain}." if self.domain else ""
        return f"{domain}{self.op} {self.name or (self.outputs[0] if self.outputs else '')!r}"


def check_text(*values: str) -> None:
    """Check that names out of a proto are text; protobuf hands out bytes where they are no UTF-8.

    Raises:
        ModelFileError: one of them is not.
    """
    for value in values:
        if not isinstance(value, str):
            raise ModelFileError(f"the model holds the name {value!r}, expected UTF-8 text: is the file damaged?")


def dtype_name(number: int, what: str) -> str:
    """The numpy-style name of an ONNX element type."""
    try:
        return _DTYPE_NAMES[number]
    except KeyError:
        raise InvalidGraphError(
            f"{what} has element type {number}, expected one of {sorted(_DTYPE_NAMES)}: is the file damaged?"
        ) from None


def tensor_type(tensor: onnx.TensorProto, what: str, limits: Limits = DEFAULT_LIMITS) -> TensorType:
    """Shape and dtype of a stored tensor.

    Raises:
        InvalidGraphError: a negative extent, or an element type that there is not.
        LimitError: more dimensions or elements than ``limits`` allow.
    """
    shape = tuple(tensor.dims)
    limits.check_shape(shape, what)
    return TensorType(shape, dtype_name(tensor.data_type, what))


def check_location(tensor: onnx.TensorProto, what: str) -> None:
    """Check that data outside of the file would be in the model's folder; it is not read, but a runtime would.

    Raises:
        ModelFileError: it would be elsewhere.
    """
    for entry in tensor.external_data if tensor.data_location == _EXTERNAL else ():
        check_text(entry.key, entry.value)
        place = entry.value.replace("\\", "/")
        if entry.key == "location" and (place[:1] == "/" or place[1:2] == ":" or ".." in place.split("/")):
            raise ModelFileError(
                f"{what} has its data at {entry.value[:200]!r}, expected a path within the model's folder: do not use "
                "this file where its weights are loaded"
            )


def decode_tensor(tensor: onnx.TensorProto, what: str) -> Array:
    """The values of a small tensor.

    Raises:
        InvalidGraphError: larger than ``MAX_KNOWN_ELEMENTS``.
        ModelFileError: the values are missing, outside of the file, or do not fit the shape.
    """
    kind = tensor_type(tensor, what)
    if kind.elements > MAX_KNOWN_ELEMENTS:
        raise InvalidGraphError(
            f"the value of {what} is needed to find shapes, but it has {kind.elements} elements, "
            f"expected at most {MAX_KNOWN_ELEMENTS}"
        )
    if tensor.data_location == _EXTERNAL:
        raise ModelFileError(
            f"the value of {what} is needed to find shapes, but it is stored outside of the model file, which is "
            "never read: save the model so that small tensors stay inside (size threshold 1024 bytes, for instance)"
        )
    try:
        if tensor.data_type == _INT64:  # shapes and axes; several times faster than to_array
            raw = tensor.raw_data
            found = np.frombuffer(raw, "<i8") if raw else np.array(tensor.int64_data, np.int64)
            return found.reshape(kind.shape)
        return numpy_helper.to_array(tensor)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"the value of {what} does not fit its shape {kind.shape}: {error}") from error


def decode_node(
    proto: onnx.NodeProto, domain: str, version: int, given: Mapping[str, onnx.AttributeProto] | None = None
) -> SourceNode:
    """The plain form of a node, taken to be of ``domain``.

    Args:
        proto: the node.
        domain: that gives it its meaning.
        version: opset of the standard operators.
        given: in a function, what its attributes may refer to; those that are not given are left out.

    Raises:
        UnsupportedOperatorError: an attribute holds a value that has no plain form.
        InvalidGraphError: an attribute is NaN, no UTF-8, of no type, or refers to one of a function outside of any.
    """
    node = SourceNode(
        op=proto.op_type,
        domain=domain,
        version=version,
        name=proto.name,
        inputs=list(proto.input),
        outputs=list(proto.output),
        attributes={},
        tensors={},
    )
    check_text(node.op, node.domain, node.name, *node.inputs, *node.outputs)
    for attribute in proto.attribute:
        name = attribute.name
        check_text(name)
        if attribute.ref_attr_name:
            if given is None:
                raise InvalidGraphError(
                    f"{node.label} refers to attribute {attribute.ref_attr_name!r} of a function, expected a value: "
                    "it is in none"
                )
            if attribute.ref_attr_name not in given:
                continue
            attribute = given[attribute.ref_attr_name]
        if attribute.type == _TENSOR:
            node.tensors[name] = attribute.t
        elif attribute.type == _GRAPH:
            node.graphs[name] = attribute.g
        elif attribute.type != _TYPE:  # of an Optional with nothing inside, whose type nobody needs
            node.attributes[name] = _decode_attribute(attribute, node)
    return node


def _decode_attribute(attribute: onnx.AttributeProto, node: SourceNode) -> AttributeValue:
    kind = attribute.type
    if kind == _INT:
        return attribute.i
    if kind == _INTS:
        return tuple(attribute.ints)
    if kind == _STRING:
        return _text(attribute.s, node)
    if kind == _FLOAT:
        return _number(attribute.f, node)
    if kind == _FLOATS:
        return tuple(_number(value, node) for value in attribute.floats)
    if kind == _STRINGS:
        return tuple(_text(value, node) for value in attribute.strings)
    raise UnsupportedOperatorError(
        f"{node.label} has attribute {attribute.name!r} of kind {kind}, expected numbers, text or a tensor: "
        "simplify the model first"
    )


def _number(value: float, node: SourceNode) -> float:
    if math.isnan(value):
        raise InvalidGraphError(f"{node.label} has an attribute that is NaN, expected a number: is the file damaged?")
    return value


def _text(value: bytes, node: SourceNode) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidGraphError(f"{node.label} has an attribute {value[:40]!r}, expected UTF-8 text") from None
