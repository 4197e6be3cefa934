"""The walk over a Relax function: bindings to operators, whatever passes the module has been through.

Weights are constants of the module, or parameters after the first ``num_input``. What is computed from weights alone
(broadcasts, reshapes and transposes of constants, as TVM's ONNX importer writes them) is a parameter as well: every
compiler folds it. Calls of PrimFuncs are read as the operators that they came from, calls of functions as what is in
them. What no table knows stays, as a node of that name with its real types.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from relay_frontend.errors import InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, AttributeValue, Edge, OpGraph, OpNode, TensorType
from relay_frontend.graph_parts import GraphParts
from relay_frontend.limits import DEFAULT_LIMITS, Clock, Limits
from relay_frontend.relax.calls import PrimCalls
from relay_frontend.relax.objects import FileObject, entries_of, kind_of, number_of
from relay_frontend.relax.operators import CHANNELS_LAST_KERNELS, Converter, RelaxCall
from relay_frontend.relax.recover import Scalar
from relay_frontend.relax.table import CONSTANT_OPERATORS, CONVERTERS
from relay_frontend.relax.types import Dimensions, evaluate

__all__ = ["RelaxReading", "read_relax"]

Value = tuple[Edge, ...]  # of a tensor one edge, of a tuple of tensors one a field; empty for what is no tensor


@dataclass(frozen=True, slots=True)
class RelaxReading:
    """A function as it was read, one or a few nodes a binding.

    Attributes:
        graph: the operators exactly as the module has them.
        scalars: values of constants of one element, by parameter slot.
        nodes_of: a binding's variable -> the nodes that stand for it. Missing: it is a parameter, or a mere name.
        kernels: nodes of each call that the compiled function makes; None of a module in which nothing is fused yet.
    """

    graph: OpGraph
    scalars: Mapping[int, float]
    nodes_of: Mapping[Any, tuple[int, ...]]
    kernels: tuple[tuple[int, ...], ...] | None


def read_relax(
    module: Any,
    *,
    function: str = "main",
    name: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> RelaxReading:
    """Read one function operator by operator.

    Args:
        module: a live ``tvm.IRModule``, or the root of a file.
        function: the function to read.
        name: of the graph; the function's by default.
        shapes: of inputs with symbolic dimensions, by name.
        limits: how much the module may ask for.

    Raises:
        DynamicShapeError: a dimension is symbolic.
        UnsupportedOperatorError: control flow, or a module that is lowered already.
        InvalidGraphError: no such function or input, or a value that is no tensor where one is needed.
        LimitError: it asks for more than ``limits`` allow.
    """
    functions = {str(variable.name_hint): found for variable, found in module.functions.items()}
    readable = [known for known, found in functions.items() if kind_of(found) == "Function"]
    if function not in readable:
        raise InvalidGraphError(
            f"the module has no Relax function {function!r}, expected one of {', '.join(sorted(readable)) or 'any'}"
        )
    reader = _Reader(functions, Dimensions(limits), limits, limits.start_clock(), PrimCalls(functions))
    outputs = reader.read(functions[function], shapes or {})
    if reader.unsupported:
        raise UnsupportedOperatorError(
            f"function {function!r} holds {', '.join(sorted(reader.unsupported))}, expected calls of operators, "
            "functions and PrimFuncs: read the module before it is lowered, and without control flow"
        )
    graph = OpGraph(name or function, tuple(reader.nodes), tuple(reader.inputs), tuple(reader.parameters), outputs)
    return RelaxReading(graph, reader.scalars, reader.nodes_of, tuple(reader.kernels) if reader.fused else None)


@dataclass(slots=True)
class _Reader(GraphParts):
    """What the walk has found so far; one use each."""

    functions: Mapping[str, Any]
    dimensions: Dimensions
    limits: Limits
    clock: Clock
    prim_calls: PrimCalls
    values: dict[Any, Value] = field(default_factory=dict)
    closures: dict[Any, Any] = field(default_factory=dict)
    nodes_of: dict[Any, tuple[int, ...]] = field(default_factory=dict)
    kernels: list[tuple[int, ...]] = field(default_factory=list)
    constants: dict[Any, Edge] = field(default_factory=dict)
    literals: dict[Scalar, Edge] = field(default_factory=dict)
    scalars: dict[int, float] = field(default_factory=dict)
    canonical: dict[Edge, Edge] = field(default_factory=dict)  # weight -> the same in ONNX's layout
    unsupported: set[str] = field(default_factory=set)
    fused: bool = False  # whether anything is
    in_kernel: bool = False
    depth: int = 0  # of functions
    bindings: int = 0

    def read(self, function: Any, shapes: Mapping[str, tuple[int, ...]]) -> Value:
        """Read every binding of the function that is the network; returns what it returns."""
        count = len(function.params)
        attributes = dict(entries_of(function.attrs))
        inputs = int(attributes.get("num_input", count))
        names = [str(parameter.name) for parameter in function.params[:inputs]]
        missing = sorted(set(shapes) - set(names))
        if missing:
            raise InvalidGraphError(
                f"--shape names {', '.join(missing)}, expected inputs of the module: {', '.join(names) or 'none'}"
            )
        for parameter, name in zip(function.params, names, strict=False):
            if name in shapes:
                self.dimensions.bind(parameter.ty, shapes[name], name)
        for index, parameter in enumerate(function.params):
            pool, source = (self.inputs, GRAPH_INPUT) if index < inputs else (self.parameters, PARAMETER)
            kinds = self.dimensions.tensors(parameter.ty, str(parameter.name))
            first = len(pool)
            single = kind_of(parameter.ty) != "TupleType"
            pool += [(str(parameter.name) if single else f"{parameter.name}.{n}", kind) for n, kind in enumerate(kinds)]
            self.values[parameter] = tuple(Edge(source, first + n) for n in range(len(kinds)))
        return self._read_body(function)

    def _read_body(self, function: Any) -> Value:
        body = function.body
        if kind_of(body) != "SeqExpr":
            return self._value_of(body)
        for block in body.blocks:
            for binding in block.bindings:
                self.bindings += 1
                self.limits.check_nodes(self.bindings, "the module, functions counted as often as they are called,")
                self.clock.check("the module")
                self._read_binding(binding)
        return self._value_of(body.body)

    def _read_binding(self, binding: Any) -> None:
        variable, value = binding.var, binding.value
        kind = kind_of(value)
        if kind == "Call":
            first = len(self.nodes)
            self.values[variable] = self._read_call(value, variable)
            if len(self.nodes) > first:
                self.nodes_of[variable] = tuple(range(first, len(self.nodes)))
        elif kind == "If":
            self.unsupported.add("relax.If")
            self.values[variable] = ()
        elif kind == "Function":
            self.closures[variable] = value
        else:
            self.values[variable] = self._value_of(value)

    def _value_of(self, expression: Any) -> Value:
        kind = kind_of(expression)
        if kind in ("DataflowVar", "Var"):
            return self.values.get(expression, ())  # not there: a prim variable
        if kind in ("Constant", "GenericConst"):
            return (self._constant(expression, expression.value if kind == "GenericConst" else expression.data),)
        if kind == "Tuple":
            found: list[Edge] = []
            for item in expression.fields:
                found += self._value_of(item)
                self.limits.check_nodes(len(found), "a tuple")
            return tuple(found)
        if kind == "TupleGetItem":
            return self._field_of(expression)
        if kind == "Call":
            raise InvalidGraphError(
                "a call within an expression, expected a module in normal form: apply relax.transform.Normalize"
            )
        return ()

    def _field_of(self, expression: Any) -> Value:
        """One field of a tuple: as many edges as that field has tensors, after those of the fields before it."""
        fields = self._value_of(expression.tuple_value)
        index, kinds = int(expression.index), getattr(expression.tuple_value.ty, "fields", ())
        if not 0 <= index < len(kinds):
            raise InvalidGraphError(f"field {index} of a tuple of {len(kinds)}, expected one of them")
        if len(fields) == len(kinds):
            return fields[index : index + 1]
        sizes = [len(self.dimensions.tensors(kind, "a tuple")) for kind in kinds[: index + 1]]
        return fields[sum(sizes[:-1]) : sum(sizes)]

    def _constant(self, expression: Any, tensor: Any) -> Edge:
        if expression not in self.constants:
            name = f"constant_{len(self.parameters)}"
            kinds = self.dimensions.tensors(expression.ty, name)
            if len(kinds) != 1:
                raise InvalidGraphError(f"{name} is no tensor, expected one")
            edge = self.constants[expression] = self.add_parameter(name, kinds[0])
            if kinds[0].elements == 1:
                self.scalars[edge.slot] = number_of(tensor)
        return self.constants[expression]

    def _read_call(self, call: Any, variable: Any) -> Value:
        kind = kind_of(call.op)
        callee = self.closures.get(call.op) if kind in ("DataflowVar", "Var") else None
        if kind == "GlobalVar":
            callee = self.functions.get(str(call.op.name_hint))
        if kind_of(callee) == "Function":
            return self._call_function(callee, [self._value_of(argument) for argument in call.args])
        name, first = str(variable.name), len(self.nodes)
        outputs = self.dimensions.tensors(variable.ty, name)
        if kind == "Op":
            found = self._call_operator(call, outputs, name)
        elif kind == "ExternFunc":
            found = self._call_unknown(f"extern.{call.op.global_symbol}", call.args, outputs, name)
        else:
            self.unsupported.add(f"a call of {getattr(call.op, 'name_hint', kind)}")
            found = tuple(self.add_parameter(name, kind) for kind in outputs)
        self._close_kernel(first)
        return found

    def _call_operator(self, call: Any, outputs: tuple[TensorType, ...], name: str) -> Value:
        op = str(call.op.text if isinstance(call.op, FileObject) else call.op.name)
        arguments = list(call.args)
        if op in _PACKED and arguments:
            return self._call_unknown(f"extern.{arguments[0].global_symbol}", arguments[1:], outputs, name)
        if op in ("relax.call_tir", "relax.call_tir_inplace"):
            callee = str(arguments[0].name_hint)
            self.fused = self.fused or callee.startswith("fused_")
            return self.prim_calls.read(self, callee, self._value_of(arguments[1]), outputs, name)
        inputs = tuple(edge for argument in arguments for edge in self._value_of(argument))
        literals = tuple(found for found in map(self._literal, arguments) if found is not None)
        return self.convert(RelaxCall(op, inputs, self._types(inputs), literals, call.attrs, outputs), name)

    def _call_unknown(self, op: str, arguments: Iterable[Any], outputs: tuple[TensorType, ...], name: str) -> Value:
        inputs = tuple(edge for argument in arguments for edge in self._value_of(argument))
        return self.convert(RelaxCall(op, inputs, self._types(inputs), (), None, outputs), name)

    def _call_function(self, function: Any, arguments: Sequence[Value]) -> Value:
        """Read a function in place of its call; one that is compiled as a whole is a kernel."""
        if len(function.params) != len(arguments):
            raise InvalidGraphError(f"{len(arguments)} arguments for {len(function.params)} parameters")
        self.values.update(zip(function.params, arguments, strict=True))
        whole = any(name in _ONE_KERNEL and value for name, value in entries_of(function.attrs))
        self.fused = self.fused or whole
        outer, first = self.in_kernel, len(self.nodes)
        self.in_kernel = outer or whole
        self.depth += 1
        self.limits.check_nesting(self.depth, "a function")
        found = self._read_body(function)
        self.depth -= 1
        self.in_kernel = outer
        if whole:
            self._close_kernel(first)
        return found

    def _close_kernel(self, first: int) -> None:
        if not self.in_kernel and len(self.nodes) > first:
            self.kernels.append(tuple(range(first, len(self.nodes))))

    def convert(self, call: RelaxCall, name: str, converter: Converter | None = None) -> Value:
        """The nodes of a call; a parameter where it has only parameters to read, an opaque node if it is unknown."""
        if call.op in CONSTANT_OPERATORS or (call.inputs and all(edge.source == PARAMETER for edge in call.inputs)):
            return self.fold(call, name)
        if not call.outputs:
            return ()  # an assertion, or a number
        call = self._with_canonical_weight(call)
        converter = converter or CONVERTERS.get(call.op)
        if converter is None:
            last = self._emit(call.op, call.inputs, call.outputs, {})
        else:
            try:
                last = converter(call, self._emit)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                raise InvalidGraphError(
                    f"{call.op} {name!r} does not fit its inputs or attributes ({error!r}), expected {call.op} as "
                    "TVM's own importers write it"
                ) from error
        self.nodes[last.source] = replace(self.nodes[last.source], name=name)
        return tuple(Edge(last.source, slot) for slot in range(len(call.outputs)))

    def _with_canonical_weight(self, call: RelaxCall) -> RelaxCall:
        """A convolution whose constant weight is laid out as HWIO, with the weight as ONNX has it: the same bytes."""
        if str(getattr(call.attributes, "kernel_layout", "")) not in CHANNELS_LAST_KERNELS:
            return call
        weight, kind = call.inputs[1], call.input_types[1]
        if weight.source != PARAMETER:
            raise UnsupportedOperatorError(
                f"{call.op} has a weight in {call.attributes.kernel_layout} that is computed from inputs, expected a "
                "constant: read the module before its layouts are rewritten (relax.transform.ConvertLayout)"
            )
        canonical = TensorType((*reversed(kind.shape[-2:]), *kind.shape[:-2]), kind.dtype)
        if weight not in self.canonical:
            self.canonical[weight] = self.add_parameter(self.parameters[weight.slot][0], canonical)
        return replace(
            call,
            inputs=(call.inputs[0], self.canonical[weight], *call.inputs[2:]),
            input_types=(call.input_types[0], canonical, *call.input_types[2:]),
        )

    def fold(self, call: RelaxCall, name: str) -> Value:
        """Parameters in place of a call on constants; values only of what the importer makes of Clip's bounds."""
        edges = tuple(self.add_parameter(name, kind) for kind in call.outputs)
        values = [self.scalars.get(edge.slot) for edge in call.inputs]
        known = [value for value in values if value is not None]
        if call.op == "relax.isnan" and len(known) == 1:
            self.scalars[edges[0].slot] = float(math.isnan(known[0]))
        elif call.op == "relax.where" and len(known) == 3:
            self.scalars[edges[0].slot] = known[1] if known[0] else known[2]
        return edges

    def add_scalar(self, scalar: Scalar) -> Edge:
        """A constant that stood in a PrimFunc, as the parameter that it was."""
        if scalar not in self.literals:
            edge = self.literals[scalar] = self.add_parameter(f"constant_{len(self.parameters)}", scalar.type)
            self.scalars[edge.slot] = scalar.value
        return self.literals[scalar]

    def _types(self, edges: Iterable[Edge]) -> tuple[TensorType, ...]:
        return tuple(map(self.type_of, edges))

    def _emit(
        self, op: str, inputs: Value, outputs: tuple[TensorType, ...], attributes: Mapping[str, AttributeValue]
    ) -> Edge:
        self.nodes.append(OpNode(op, inputs, outputs, tuple(sorted(attributes.items()))))
        self.limits.check_nodes(len(self.nodes), "the module")
        return Edge(len(self.nodes) - 1)

    def _literal(self, expression: Any) -> tuple[int | float, ...] | None:
        """The numbers of a prim value, a shape or a tuple of prim values; None for a tensor."""
        kind = kind_of(expression)
        if kind == "Tuple":
            fields = [self._literal(item) for item in expression.fields]
            return tuple(number for item in fields if item is not None for number in item) or None
        if kind == "ShapeExpr":
            extents = [evaluate(extent, self.dimensions.known) for extent in expression.values]
            return None if None in extents else tuple(extent for extent in extents if extent is not None)
        if kind == "PrimValue":
            return self._literal(expression.value)
        return (expression.value,) if kind in ("FloatImm", "IntImm") else None


_ONE_KERNEL = ("Codegen", "Composite", "Primitive")  # attributes of functions that one kernel computes
_PACKED = ("relax.call_dps_packed", "relax.call_pure_packed")
