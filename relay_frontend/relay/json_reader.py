"""Relay's JSON to a Program: the numbered nodes in the order in which they are computed, attributes in plain values.

The document does not say which of an attribute's numbers refer to nodes, since whoever loads it knows the classes. Here
``_REFERENCES`` knows: what is an array, an expression or an optional number in TVM's headers
(``include/tvm/relay/attrs``) is a reference, and plain numbers are not. Texts changed sides between releases; a text
that is all digits is a reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from relay_frontend.errors import InvalidGraphError, UnsupportedOperatorError
from relay_frontend.limits import Clock, Limits
from relay_frontend.relay.document import Document, children
from relay_frontend.relay.program import (
    Constant,
    Expression,
    Function,
    OpenType,
    Parameter,
    Plain,
    Program,
    RelayType,
    make_tuple,
)

__all__ = ["Metadata", "read_metadata", "read_program"]

Node = dict[str, Any]

# Attributes that are arrays or optional numbers, whatever operator has them.
_REFERENCES = frozenset(
    [
        "axes",
        "begin",
        "block_shape",
        "channels",
        "crop_size",
        "crops",
        "dilation",
        "end",
        "indices_or_sections",
        "k",
        "kernel_size",
        "newshape",
        "output_padding",
        "output_size",
        "pad_width",
        "padding",
        "paddings",
        "pool_size",
        "pooled_size",
        "reps",
        "repeats",
        "roi",
        "shape",
        "size",
        "strides",
        "target_shape",
        "units",
        "window_shape",
        "batch_dims",
        "index_rank",
        "seq_axis",
        "batch_axis",
        "start",
        "stop",
        "step",
    ]
)
# ``axis`` is one in these classes, and a plain number in the others.
_AXIS_REFERENCES = frozenset(
    f"relay.attrs.{name}Attrs"
    for name in ("ArgReduce", "Gather", "L2Normalize", "Reduce", "Repeat", "Reverse", "Scanop", "Scatter",
                 "ScatterAdd", "ScatterElements", "Squeeze", "Stack", "Take", "Variance")
)  # fmt: skip
# ``size`` is a plain number here.
_PLAIN_SIZE = "relay.attrs.LRNAttrs"
# A text in some releases and a reference to one in others.
_TEXTS = frozenset(
    [
        "data_layout",
        "kernel_layout",
        "out_layout",
        "layout",
        "src_layout",
        "dst_layout",
        "weight_layout",
        "mode",
        "pad_mode",
        "method",
        "slice_mode",
        "reduction",
        "equation",
        "coordinate_transformation_mode",
        "rounding_method",
        "padding_mode",
        "ret_type",
    ]
)
_MAX_ATTRIBUTE_DEPTH = 8


def read_program(document: Document, limits: Limits, clock: Clock) -> Program:
    """Every Relay function of a module; a lone function is ``main``.

    Raises:
        InvalidGraphError: a reference leads nowhere or back to itself, or to something of another kind.
        UnsupportedOperatorError: control flow or another expression that no network has.
        LimitError: too large or nested too deep.
    """
    reader = _Reader(document, limits, clock)
    root = document.nodes[document.root]
    if root["type_key"] == "relay.Function":
        return Program({"main": reader.function(document.root, "main", 1)})
    functions = {}
    listed = list(children(reader.referred(root, "functions", "Map"), "the module's functions"))
    for key, value in zip(listed[::2], listed[1::2], strict=False):
        name = reader.text(reader.node(key, "the module").get("attrs", {}).get("name_hint"), "a function's name")
        if reader.node(value, "the module")["type_key"] == "relay.Function":
            functions[name] = reader.function(value, name, 1)
    return Program(functions)


@dataclass(slots=True)
class _Reader:
    document: Document
    limits: Limits
    clock: Clock
    calls: int = 0
    types: dict[int, RelayType] = field(default_factory=dict)
    functions: dict[int, Function | None] = field(default_factory=dict)  # None: it is being read

    def node(self, index: int | str, reader: str) -> Node:
        return self.document.node(index, reader)

    def attributes(self, node: Node) -> Mapping[str, Any]:
        found = node.get("attrs", {})
        if not isinstance(found, dict):
            raise InvalidGraphError(f"a {node['type_key']} has attrs {str(found)[:60]}, expected an object")
        return found

    def reference(self, node: Node, name: str) -> int:
        """The node number that a field of a node holds."""
        value = self.attributes(node).get(name)
        if not isinstance(value, str) or not value.isdecimal() or not value.isascii() or len(value) > 12:
            raise InvalidGraphError(f"a {node['type_key']} has {name} {value!r}, expected the number of a node")
        return int(value)

    def referred(self, node: Node, name: str, kind: str) -> Node:
        """The node that a field of a node refers to, which must be of one kind."""
        found = self.node(self.reference(node, name), f"{name} of a {node['type_key']}")
        if found["type_key"] != kind:
            raise InvalidGraphError(
                f"{name} of a {node['type_key']} is a {found['type_key'] or 'null'}, expected a {kind}"
            )
        return found

    def listed(self, node: Node, name: str) -> list[int]:
        return list(children(self.referred(node, name, "Array"), f"{name} of a {node['type_key']}"))

    def text(self, index: Any, reader: str) -> str:
        found = self.node(index, reader) if isinstance(index, str | int) else {}
        value = found.get("repr_str", "")
        if found.get("type_key") != "runtime.String" or not isinstance(value, str):
            raise InvalidGraphError(f"{reader} is {str(found)[:60]}, expected a runtime.String")
        return value

    def function(self, index: int, name: str, depth: int) -> Function:
        """A function, read once however often it is used."""
        if index in self.functions:
            known = self.functions[index]
            if known is None:
                raise InvalidGraphError(f"function {name!r} contains itself, expected a tree of functions")
            return known
        self.limits.check_nesting(depth, f"function {name!r}")
        self.functions[index] = None
        node = self.node(index, f"function {name!r}")
        self.functions[index] = found = _Body(self, depth).read(node, name)
        return found

    def type_of(self, index: int, depth: int = 1) -> RelayType:
        """A type; None for one that is no tensor and no tuple of tensors, or missing."""
        if index not in self.types:
            self.limits.check_nesting(depth, "a tuple type")
            node = self.node(index, "a type")
            self.types[index] = None  # what is left to one that contains itself
            if node["type_key"] in ("relay.TensorType", "TensorType"):
                self.types[index] = self._tensor_type(node)
            elif node["type_key"] in ("TupleType", "relay.TupleType"):
                fields = [self.type_of(item, depth + 1) for item in self.listed(node, "fields")]
                known = [item for item in fields if item is not None]
                if len(known) == len(fields):
                    self.types[index] = make_tuple(known, self.limits, "types")
        return self.types[index]

    def _tensor_type(self, node: Node) -> OpenType:
        shape = tuple(self._extent(item) for item in self.listed(node, "shape"))
        self.limits.check_shape([extent or 0 for extent in shape], "a tensor type")
        dtype = self.attributes(node).get("dtype")
        if not isinstance(dtype, str) or not dtype:
            raise InvalidGraphError(f"a tensor type has dtype {dtype!r}, expected a name such as float32")
        return OpenType(shape, dtype)

    def _extent(self, index: int) -> int | None:
        node = self.node(index, "a shape")
        if node["type_key"] in ("IntImm", "tir.IntImm"):
            return self._integer(node)
        return None  # tir.Any, or a variable

    def _integer(self, node: Node) -> int:
        value = self.attributes(node).get("value")
        try:
            return int(value) if isinstance(value, str | int) and len(str(value)) < 32 else int("")
        except ValueError as error:
            raise InvalidGraphError(f"an IntImm has value {str(value)[:40]!r}, expected an integer") from error

    def _float(self, node: Node) -> float:
        value = self.attributes(node).get("value")
        try:
            return float(value) if isinstance(value, str | int | float) else float("")
        except ValueError as error:
            raise InvalidGraphError(f"a FloatImm has value {str(value)[:40]!r}, expected a number") from error

    def plain_attributes(self, index: int) -> dict[str, Plain]:
        """An operator's attributes."""
        node = self.node(index, "a call's attributes")
        kind = node["type_key"]
        return {name: self._attribute(kind, name, value) for name, value in self.attributes(node).items()}

    def _attribute(self, kind: str, name: str, value: Any) -> Plain:
        if not isinstance(value, str):
            raise InvalidGraphError(f"{name} of {kind} is {str(value)[:40]}, expected a text")
        digits = value.isdecimal() and value.isascii()
        refers = name in _REFERENCES and not (name == "size" and kind == _PLAIN_SIZE)
        if refers or (name == "axis" and kind in _AXIS_REFERENCES) or (name in _TEXTS and digits):
            return self.plain(value, f"{name} of {kind}") if digits else value
        try:
            return int(value) if len(value) < 32 else value
        except ValueError:
            pass
        try:
            return float(value)
        except ValueError:
            return value

    def plain(self, index: int | str, reader: str, depth: int = 1) -> Plain:
        """A number, a text or a list of such; "?" for a dimension left open, None for null."""
        node = self.node(index, reader)
        kind = node["type_key"]
        if kind in ("IntImm", "tir.IntImm"):
            value = self._integer(node)
            return bool(value) if self.attributes(node).get("dtype") == "bool" else value
        if kind in ("FloatImm", "tir.FloatImm"):
            return self._float(node)
        if kind == "runtime.String":
            return self.text(index, reader)
        if kind == "Array":
            if depth > _MAX_ATTRIBUTE_DEPTH:
                raise InvalidGraphError(f"{reader} is nested more than {_MAX_ATTRIBUTE_DEPTH} deep, expected a list")
            return tuple(self.plain(item, reader, depth + 1) for item in children(node, reader))
        return None if kind == "" else "?"


_Step = tuple[str, int]


@dataclass(slots=True)
class _Body:
    """The walk over one function's body, depth first without recursion."""

    reader: _Reader
    depth: int
    body: list[Expression] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)  # node -> its place in the body
    entered: set[int] = field(default_factory=set)

    def read(self, node: Node, name: str) -> Function:
        reader = self.reader
        parameters: list[Parameter] = []
        for index in reader.listed(node, "params"):
            parameter = self._parameter(reader.node(index, f"a parameter of {name!r}"))
            self._add(index, Expression("parameter", index=len(parameters), kind=parameter.kind, name=parameter.name))
            parameters.append(parameter)
        result = reader.reference(node, "body")
        self._walk(result)
        return Function(name, tuple(parameters), tuple(self.body), self.places[result], self._is_primitive(node))

    def _walk(self, root: int) -> None:
        steps: list[_Step] = [("visit", root)]
        done = 0
        while steps:
            step, index = steps.pop()
            done += 1
            if done % 1024 == 0:
                self.reader.clock.check("the module")
            node = self.reader.node(index, "an expression")
            if step == "bind":  # the variable of a let has its value's place
                self.places[self.reader.reference(node, "var")] = self.places[self.reader.reference(node, "value")]
            elif step == "emit":
                self._emit(index, node)
            elif index not in self.places:
                if index in self.entered:
                    raise InvalidGraphError(f"node {index} ({node['type_key']}) reads itself, expected no cycles")
                self.entered.add(index)
                steps.append(("emit", index))
                steps.extend(reversed(self._needs(index, node)))

    def _needs(self, index: int, node: Node) -> list[_Step]:
        """What has to be computed before an expression."""
        reader, kind = self.reader, node["type_key"]
        if kind == "relay.Call":
            callee = reader.reference(node, "op")
            first = [] if reader.node(callee, "a call")["type_key"] == "Op" else [callee]
            return [("visit", item) for item in (*first, *reader.listed(node, "args"))]
        if kind == "relay.Tuple":
            return [("visit", item) for item in reader.listed(node, "fields")]
        if kind == "relay.TupleGetItem":
            return [("visit", reader.reference(node, "tuple_value"))]
        if kind == "relay.Let":
            value, body = reader.reference(node, "value"), reader.reference(node, "body")
            return [("visit", value), ("bind", index), ("visit", body)]
        return []

    def _emit(self, index: int, node: Node) -> None:
        reader, kind = self.reader, node["type_key"]
        fields = reader.attributes(node)
        known = reader.type_of(reader.reference(node, "_checked_type_")) if "_checked_type_" in fields else None
        name = self._span(fields.get("span"))
        if kind == "relay.Call":
            self._emit_call(index, node, known, name)
        elif kind == "relay.Tuple":
            operands = tuple(self.places[item] for item in reader.listed(node, "fields"))
            self._add(index, Expression("tuple", operands, kind=known, name=name))
        elif kind == "relay.TupleGetItem":
            field_index = reader.reference(node, "index")
            source = self.places[reader.reference(node, "tuple_value")]
            self._add(index, Expression("item", (source,), kind=known, index=field_index, name=name))
        elif kind == "relay.Let":
            self.places[index] = self.places[reader.reference(node, "body")]
        elif kind == "relay.Constant":
            held = reader.document.constant(fields.get("data", ""), reader.limits)
            self._add(index, Expression("constant", kind=held.kind, held=held, name=name))
        elif kind == "relay.Function":
            function = reader.function(index, "fn", self.depth + 1)
            self._add(index, Expression("function", held=function))
        elif kind == "GlobalVar":
            self._add(index, Expression("global", op=reader.text(fields.get("name_hint"), "a function's name")))
        elif kind == "relay.Var":
            raise InvalidGraphError(
                f"variable {self._parameter(node).name!r} belongs to no function around it, expected closed functions: "
                "run relay.transform.LambdaLift"
            )
        else:
            raise UnsupportedOperatorError(
                f"the module has a {kind or 'null'} where a network has operators, expected calls, tuples and "
                "constants: networks with control flow are read from ONNX"
            )

    def _emit_call(self, index: int, node: Node, known: RelayType, name: str) -> None:
        reader = self.reader
        callee = reader.reference(node, "op")
        operands = tuple(self.places[item] for item in reader.listed(node, "args"))
        found = reader.node(callee, "a call")
        reader.calls += 1
        reader.limits.check_nodes(reader.calls, "the module")
        if found["type_key"] == "Op":
            attributes = reader.plain_attributes(reader.reference(node, "attrs"))
            op = str(found.get("repr_str", ""))
            self._add(index, Expression("call", operands, op, attributes, known, name=name))
        else:
            self._add(index, Expression("invoke", (self.places[callee], *operands), kind=known, name=name))

    def _add(self, index: int, expression: Expression) -> None:
        self.places[index] = len(self.body)
        self.body.append(expression)

    def _parameter(self, node: Node) -> Parameter:
        reader = self.reader
        identity = reader.referred(node, "vid", "relay.Id")
        name = reader.text(reader.attributes(identity).get("name_hint"), "a variable's name")
        kinds = [reader.type_of(reader.reference(node, key)) for key in ("_checked_type_", "type_annotation")
                 if key in reader.attributes(node)]  # fmt: skip
        return Parameter(name, next((kind for kind in kinds if kind is not None), None))

    def _is_primitive(self, node: Node) -> bool:
        reader = self.reader
        held = reader.node(reader.reference(node, "attrs"), "a function's attributes")
        if held["type_key"] != "DictAttrs":
            return False
        entries = reader.referred(held, "__dict__", "Map")
        keys = entries.get("keys", [])
        pairs = zip(keys if isinstance(keys, list) else [], children(entries, "attributes"), strict=False)
        return any(key == "Primitive" and reader.plain(value, "Primitive") == 1 for key, value in pairs)

    def _span(self, index: Any) -> str:
        """The source's own name of an operator; empty without one."""
        node = self.reader.node(index, "a span") if isinstance(index, str) and index.isdecimal() else {}
        source = node.get("attrs", {}).get("source_name") if node.get("type_key") == "Span" else None
        name = self.reader.node(source, "a span").get("repr_str", "") if isinstance(source, str) else ""
        return name if isinstance(name, str) else ""


Metadata = Mapping[str, list[Constant | dict[str, Plain]]]


def read_metadata(document: Document, limits: Limits, clock: Clock) -> Metadata:
    """A text's metadata section, by class: the constants, and the attributes that it does not print in place.

    Raises:
        InvalidGraphError: it is something else.
    """
    reader = _Reader(document, limits, clock)
    root = document.nodes[document.root]
    keys = root.get("keys", [])
    found: dict[str, list[Constant | dict[str, Plain]]] = {}
    for key, value in zip(keys if isinstance(keys, list) else [], children(root, "the metadata"), strict=False):
        items = list(children(reader.node(value, "the metadata"), f"{key} of the metadata"))
        if key == "relay.Constant":
            data = [reader.attributes(reader.node(item, "a constant")).get("data", "") for item in items]
            found[key] = [document.constant(item, limits) for item in data]
        elif isinstance(key, str) and key.startswith("relay.attrs."):
            found[key] = [reader.plain_attributes(item) for item in items]
    return found
