"""The Relax reader: a live IRModule of TVM, with high-level operators, to an OpGraph.

Weights are constants of the module, or parameters after the first ``num_input``. What is computed from weights alone
(broadcasts, reshapes and transposes of constants, as TVM's ONNX importer writes them) is a parameter as well: every
compiler folds it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import relax

from relay_frontend.errors import DynamicShapeError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, AttributeValue, Edge, OpGraph, OpNode, TensorType
from relay_frontend.relax.operators import RelaxCall
from relay_frontend.relax.passes import normalise_relax
from relay_frontend.relax.table import CALL_TIR_OPERATORS, CONSTANT_OPERATORS, CONVERTERS

__all__ = ["RelaxReading", "from_relax", "read_relax"]


def from_relax(module: tvm.IRModule, *, function: str = "main", name: str | None = None) -> OpGraph:
    """Read one function of a live module as a network in canonical operators.

    What TVM's ONNX importer spells out (a convolution's bias as a reshaped addition, Sum as a stack that is reduced,
    LRN as eight operators ...) is put together again, so that a network has the same operators through either door.

    Args:
        module: high-level Relax, before LegalizeOps; shapes static.
        function: the function to read.
        name: of the graph; the function's by default.

    Raises:
        DynamicShapeError: a dimension is symbolic.
        UnsupportedOperatorError: operators with no canonical counterpart; names them all.
        InvalidGraphError: no such function, or a value that is no tensor where one is needed.
    """
    reading = read_relax(module, function=function, name=name)
    return normalise_relax(reading.graph, reading.scalars)[0]


@dataclass(frozen=True, slots=True)
class RelaxReading:
    """A function as it was read, one or a few nodes a binding.

    Attributes:
        graph: the operators exactly as the module has them.
        scalars: values of constants of one element, by parameter slot.
        nodes_of: a binding's variable -> the nodes that stand for it. Missing: it is a parameter, or a mere name.
    """

    graph: OpGraph
    scalars: Mapping[int, float]
    nodes_of: Mapping[relax.Var, tuple[int, ...]]


def read_relax(module: tvm.IRModule, *, function: str = "main", name: str | None = None) -> RelaxReading:
    """Read one function operator by operator, with the way back from nodes to bindings; errors as from_relax."""
    names = [variable.name_hint for variable, found in module.functions_items() if isinstance(found, relax.Function)]
    if function not in names:
        raise InvalidGraphError(
            f"the module has no Relax function {function!r}, expected one of {', '.join(sorted(names)) or 'any'}"
        )
    reader = _Reader(module)
    outputs = reader.read(module[function])
    if reader.unsupported:
        raise UnsupportedOperatorError(
            f"function {function!r} uses {', '.join(sorted(reader.unsupported))}, expected operators of "
            "relay_frontend/relax/table.py: read the module before it is legalised, or add them there"
        )
    return RelaxReading(reader.build(name or function, outputs), reader.scalars, reader.nodes_of)


Value = tuple[Edge, ...]  # of a tensor one edge, of a tuple of tensors one a field; empty for what is no tensor


@dataclass(slots=True)
class _Reader:
    """The walk over a function's bindings; one use each."""

    module: tvm.IRModule
    nodes: list[OpNode] = field(default_factory=list)
    inputs: list[tuple[str, TensorType]] = field(default_factory=list)
    parameters: list[tuple[str, TensorType]] = field(default_factory=list)
    values: dict[relax.Var, Value] = field(default_factory=dict)
    nodes_of: dict[relax.Var, tuple[int, ...]] = field(default_factory=dict)
    constants: dict[tvm.ir.GenericConst, Edge] = field(default_factory=dict)
    scalars: dict[int, float] = field(default_factory=dict)
    unsupported: set[str] = field(default_factory=set)

    def read(self, function: relax.Function) -> Value:
        """Read every binding; returns what the function returns."""
        inputs = len(function.params)
        if function.attrs is not None and "num_input" in function.attrs:
            inputs = int(function.attrs["num_input"])
        for index, parameter in enumerate(function.params):
            kinds = _tensor_types(parameter.ty, parameter.name)
            if len(kinds) != 1 or isinstance(parameter.ty, relax.TupleType):
                raise InvalidGraphError(f"parameter {parameter.name!r} is {parameter.ty}, expected a tensor")
            pool, source = (self.inputs, GRAPH_INPUT) if index < inputs else (self.parameters, PARAMETER)
            pool.append((parameter.name, kinds[0]))
            self.values[parameter] = (Edge(source, len(pool) - 1),)
        for block in function.body.blocks:
            for binding in block.bindings:
                self._read_binding(binding)
        return self._value_of(function.body.body)

    def build(self, name: str, outputs: Value) -> OpGraph:
        """The graph, once everything is read."""
        return OpGraph(name, tuple(self.nodes), tuple(self.inputs), tuple(self.parameters), outputs)

    def _read_binding(self, binding: relax.Binding) -> None:
        variable = binding.var
        value = binding.value
        if isinstance(value, tvm.ir.Call):
            first = len(self.nodes)
            self.values[variable] = self._read_call(value, variable)
            if len(self.nodes) > first:
                self.nodes_of[variable] = tuple(range(first, len(self.nodes)))
        elif isinstance(value, relax.If):
            self.unsupported.add("relax.If")
            self.values[variable] = ()
        else:
            self.values[variable] = self._value_of(value)

    def _value_of(self, expression: Any) -> Value:
        if isinstance(expression, relax.Var):
            return self.values.get(expression, ())  # not there: a prim variable
        if isinstance(expression, tvm.ir.GenericConst):
            if expression not in self.constants:
                name = f"constant_{len(self.parameters)}"
                edge = self.constants[expression] = self._add_parameter(name, _tensor_types(expression.ty, name)[0])
                if self.parameters[edge.slot][1].elements == 1:
                    self.scalars[edge.slot] = float(expression.value.numpy().item())
            return (self.constants[expression],)
        if isinstance(expression, relax.Tuple):
            return tuple(edge for item in expression.fields for edge in self._value_of(item))
        if isinstance(expression, relax.TupleGetItem):
            fields = self._value_of(expression.tuple_value)
            return fields[expression.index : expression.index + 1]
        return ()

    def _read_call(self, call: tvm.ir.Call, variable: relax.Var) -> Value:
        arguments = list(call.args)
        op = _operator_name(call)
        if op == "relax.call_tir":
            op = arguments.pop(0).name_hint.rstrip("0123456789")
            converter = CALL_TIR_OPERATORS.get(op)
            op = f"call_tir of {op}"
        else:
            converter = CONVERTERS.get(op)
        inputs = tuple(edge for argument in arguments for edge in self._value_of(argument))
        outputs = _tensor_types(variable.ty, variable.name)
        if op in CONSTANT_OPERATORS or (inputs and all(edge.source == PARAMETER for edge in inputs)):
            return self._fold(op, inputs, variable.name, outputs)
        if converter is None or not outputs:
            self.unsupported.add(op)
            return tuple(self._add_parameter(variable.name, kind) for kind in outputs)
        literals = tuple(found for found in map(_literal, arguments) if found is not None)
        found = RelaxCall(op, inputs, self._types(inputs), literals, call.attrs, outputs)
        try:
            last = converter(found, self._emit)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InvalidGraphError(
                f"{op} {variable.name!r} does not fit its inputs or attributes ({error!r}), expected {call.op} as "
                "TVM's own importers write it"
            ) from error
        self.nodes[last.source] = _rename(self.nodes[last.source], variable.name)
        return tuple(Edge(last.source, slot) for slot in range(len(outputs)))

    def _fold(self, op: str, inputs: Value, name: str, outputs: tuple[TensorType, ...]) -> Value:
        """Parameters in place of a call on constants; values only of what the importer makes of Clip's bounds."""
        edges = tuple(self._add_parameter(name, kind) for kind in outputs)
        values = [self.scalars.get(edge.slot) for edge in inputs]
        known = [value for value in values if value is not None]
        if op == "relax.isnan" and len(known) == 1:
            self.scalars[edges[0].slot] = float(math.isnan(known[0]))
        elif op == "relax.where" and len(known) == 3:
            self.scalars[edges[0].slot] = known[1] if known[0] else known[2]
        return edges

    def _types(self, edges: Iterable[Edge]) -> tuple[TensorType, ...]:
        pools = {GRAPH_INPUT: self.inputs, PARAMETER: self.parameters}
        return tuple(
            self.nodes[edge.source].outputs[edge.slot] if edge.source >= 0 else pools[edge.source][edge.slot][1]
            for edge in edges
        )

    def _emit(
        self, op: str, inputs: Value, outputs: tuple[TensorType, ...], attributes: Mapping[str, AttributeValue]
    ) -> Edge:
        self.nodes.append(OpNode(op, inputs, outputs, tuple(sorted(attributes.items()))))
        return Edge(len(self.nodes) - 1)

    def _add_parameter(self, name: str, kind: TensorType) -> Edge:
        self.parameters.append((name, kind))
        return Edge(PARAMETER, len(self.parameters) - 1)


def _operator_name(call: tvm.ir.Call) -> str:
    if isinstance(call.op, tvm.ir.Op):
        return str(call.op.name)
    if isinstance(call.op, tvm.ir.GlobalVar):
        return f"call of function {call.op.name_hint}"
    return f"call of {type(call.op).__name__}"


def _rename(node: OpNode, name: str) -> OpNode:
    return OpNode(node.op, node.inputs, node.outputs, node.attributes, name)


def _literal(expression: Any) -> tuple[int | float, ...] | None:
    """The numbers of a prim value, a shape or a tuple of prim values; None for a tensor."""
    if isinstance(expression, relax.ShapeExpr):
        return tuple(int(extent) for extent in expression.values)
    if isinstance(expression, relax.Tuple):
        fields = [_literal(item) for item in expression.fields]
        return tuple(number for item in fields if item is not None for number in item) or None
    if isinstance(expression, tvm.tirx.IntImm | tvm.tirx.FloatImm):
        return (expression.value,)
    return None


def _tensor_types(kind: Any, what: str) -> tuple[TensorType, ...]:
    """The tensors of a type, tuples flattened; none for shapes, prim values and objects."""
    if isinstance(kind, relax.TupleType):
        return tuple(found for item in kind.fields for found in _tensor_types(item, what))
    if not isinstance(kind, relax.TensorType):
        return ()
    if not isinstance(kind.shape, relax.ShapeExpr):
        raise DynamicShapeError(f"{what!r} is {kind}, expected a static shape: {_BIND}")
    open_extents = [str(extent) for extent in kind.shape.values if not isinstance(extent, tvm.tirx.IntImm)]
    if open_extents:
        raise DynamicShapeError(f"{what!r} is {kind} with {', '.join(open_extents)} unbound, expected ints: {_BIND}")
    return (TensorType(tuple(int(extent) for extent in kind.shape.values), str(kind.dtype.dtype)),)


_BIND = "bind it with relax.transform.BindSymbolicVars, or give shape_dict to TVM's importer"
