"""A Program to an OpGraph: functions are inlined, types followed, what is computed from constants alone is a constant.

Tensors in a blocked layout (NCHW8c, as AlterOpLayout writes them) keep their plain type in the graph, and their blocked
one beside it for the operators that follow: blocking changes where elements lie, not what is computed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from relay_frontend.errors import DynamicShapeError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, AttributeValue, Edge, OpGraph, OpNode, TensorType
from relay_frontend.graph_parts import GraphParts
from relay_frontend.limits import Clock, Limits
from relay_frontend.relay.call import Call
from relay_frontend.relay.layouts import Layout, parse_layout
from relay_frontend.relay.program import (
    Constant,
    Expression,
    Function,
    OpenType,
    Parameter,
    Program,
    RelayType,
    TupleOf,
    flatten,
    make_tuple,
)
from relay_frontend.relay.roles import find_inputs
from relay_frontend.relay.table import CONSTANT_OPERATORS, OPERATORS

__all__ = ["RelayReading", "build_graph"]

Tensor = Edge | TupleOf[Edge]
Value = Tensor | Function


@dataclass(frozen=True, slots=True)
class RelayReading:
    """A function as it was read, one or a few nodes a call.

    Attributes:
        graph: the operators as the module has them.
        scalars: values of constants of one element, by parameter slot.
        kernels: the nodes of each primitive function that is called, and each other node by itself; None where no
            function is primitive.
    """

    graph: OpGraph
    scalars: Mapping[int, float]
    kernels: tuple[tuple[int, ...], ...] | None


def build_graph(
    program: Program,
    *,
    function: str,
    name: str,
    shapes: Mapping[str, tuple[int, ...]],
    limits: Limits,
    clock: Clock,
) -> RelayReading:
    """Read one function.

    Raises:
        InvalidGraphError: no such function, or a call that does not fit its operator or its type.
        UnsupportedOperatorError: an operator outside the table of which the file does not say the type.
        DynamicShapeError: a dimension is open.
        LimitError: too many operators, once functions are inlined.
    """
    found = program.functions.get(function)
    if found is None:
        raise InvalidGraphError(
            f"the module has no Relay function {function!r}, expected one of "
            f"{', '.join(sorted(program.functions)[:8]) or 'any'}"
        )
    builder = _Builder(program.functions, limits, clock)
    arguments = builder.declare(found, shapes)
    result = builder.evaluate(found, arguments, None, 1)
    if isinstance(result, Function):
        raise InvalidGraphError(f"function {function!r} returns a function, expected tensors")
    graph = OpGraph(
        name, tuple(builder.nodes), tuple(builder.inputs), tuple(builder.parameters), tuple(flatten(result))
    )
    return RelayReading(graph, builder.scalars, builder.kernels())


@dataclass(slots=True)
class _Builder(GraphParts):
    functions: Mapping[str, Function]
    limits: Limits
    clock: Clock
    scalars: dict[int, float] = field(default_factory=dict)
    values: dict[int, tuple[int | float, ...]] = field(default_factory=dict)
    blocked: dict[Edge, tuple[TensorType, Layout]] = field(default_factory=dict)
    constants: dict[object, Edge] = field(default_factory=dict)  # by value, or by identity of the expression
    kernel_of: list[int | None] = field(default_factory=list)
    launches: int = 0
    steps: int = 0

    def declare(self, function: Function, shapes: Mapping[str, tuple[int, ...]]) -> list[Value]:
        """Inputs and weights of the network.

        Raises:
            DynamicShapeError: a dimension is open, and no shape is given.
            InvalidGraphError: a parameter is no tensor, or a shape is given for none.
        """
        names = [parameter.name for parameter in function.parameters]
        strangers = sorted(set(shapes) - set(names))
        if strangers:
            raise InvalidGraphError(
                f"no parameter {', '.join(strangers)}, expected one of {', '.join(names[:8])}: see --shape"
            )
        are_inputs = find_inputs(function, self.functions, shapes)
        arguments: list[Value] = []
        for parameter, is_input in zip(function.parameters, are_inputs, strict=True):
            kinds = [self._bound(parameter, kind, shapes) for kind in flatten(_present(parameter))]
            edges: list[Edge] = []
            for kind in kinds:
                pool, source = (self.inputs, GRAPH_INPUT) if is_input else (self.parameters, PARAMETER)
                pool.append((parameter.name, kind))
                edges.append(Edge(source, len(pool) - 1))
            arguments.append(_nest(_present(parameter), edges, self.limits))
        return arguments

    def _bound(self, parameter: Parameter, kind: OpenType, shapes: Mapping[str, tuple[int, ...]]) -> TensorType:
        given, label = shapes.get(parameter.name), f"parameter {parameter.name!r}"
        shape = kind.shape if given is None else given
        fixed = tuple(extent for extent in shape if extent is not None)
        if given is not None and (len(given) != len(kind.shape) or not _fits(kind.shape, given)):
            raise InvalidGraphError(f"{label} has shape {kind.shape}, expected {given} as given to fit it")
        if len(fixed) != len(shape):
            raise DynamicShapeError(
                f"{label} has shape {_spell(shape)}, expected integers: give --shape {parameter.name}=1x3x224x224 or "
                "the like"
            )
        self.limits.check_shape(fixed, label)
        return TensorType(fixed, kind.dtype)

    def kernels(self) -> tuple[tuple[int, ...], ...] | None:
        """The nodes of each launch, in the order in which they begin."""
        if not self.launches:
            return None
        groups: dict[tuple[int, int], list[int]] = {}
        for node, launch in enumerate(self.kernel_of):
            groups.setdefault((0, node) if launch is None else (1, launch), []).append(node)
        return tuple(tuple(nodes) for nodes in groups.values())

    def evaluate(self, function: Function, arguments: list[Value], launch: int | None, depth: int) -> Value:
        """The result of a call of a function."""
        self.limits.check_nesting(depth, f"calls of function {function.name!r}")
        if len(arguments) != len(function.parameters):
            raise InvalidGraphError(
                f"function {function.name!r} is called with {len(arguments)} arguments, expected "
                f"{len(function.parameters)}"
            )
        found: list[Value] = []
        for expression in function.body:
            self.steps += 1
            if self.steps % 256 == 0:
                self.clock.check("the module")
            found.append(self._evaluate(expression, found, arguments, launch, depth))
        return found[function.result]

    def _evaluate(
        self, expression: Expression, found: list[Value], arguments: list[Value], launch: int | None, depth: int
    ) -> Value:
        form = expression.form
        if form == "parameter":
            return arguments[expression.index]
        if form == "constant":
            return self._constant(expression)
        if form in ("function", "global"):
            callee = expression.held if form == "function" else self.functions.get(expression.op)
            if not isinstance(callee, Function):
                raise InvalidGraphError(f"the module has no Relay function {expression.op!r}, expected what it calls")
            return callee
        operands = [found[place] for place in expression.operands]
        if form == "invoke":
            return self._invoke(operands, launch, depth)
        tensors = [self._tensor(value, expression) for value in operands]
        if form == "tuple":
            return make_tuple(tensors, self.limits, "values")
        if form == "item":
            fields = tensors[0].fields if isinstance(tensors[0], TupleOf) else ()
            if not 0 <= expression.index < len(fields):
                raise InvalidGraphError(
                    f"field {expression.index} is read of a tuple of {len(fields)}, expected one that it has"
                )
            return fields[expression.index]
        edges = tuple(edge for value in tensors for edge in flatten(value))
        return self._call(expression, edges, launch)

    def _tensor(self, value: Value, expression: Expression) -> Tensor:
        if isinstance(value, Function):
            raise InvalidGraphError(f"{expression.op or expression.form} reads a function, expected tensors")
        return value

    def _invoke(self, operands: list[Value], launch: int | None, depth: int) -> Value:
        callee, arguments = operands[0], operands[1:]
        if not isinstance(callee, Function):
            raise InvalidGraphError("the module calls a tensor, expected a function or an operator")
        self._count_call()
        if callee.primitive and launch is None:
            launch = self.launches
            self.launches += 1
        return self.evaluate(callee, arguments, launch, depth + 1)

    def _count_call(self) -> None:
        self.steps += 1
        self.limits.check_nodes(self.steps // 8, "the module, with functions inlined,")

    def _constant(self, expression: Expression) -> Edge:
        held = cast("Constant", expression.held)
        # Scalars are literals in Relay, one a use; equal ones are one constant, as in other formats.
        key = (held.kind.dtype, held.values) if held.values is not None and not held.kind.shape else id(expression)
        edge = self.constants.get(key)
        if edge is None:
            edge = self.add_parameter(expression.name or f"constant_{len(self.parameters)}", _static(held.kind))
            if held.values is not None:
                self.values[edge.slot] = held.values
                if len(held.values) == 1:
                    self.scalars[edge.slot] = float(held.values[0])
            self.constants[key] = edge
        return edge

    def _call(self, expression: Expression, edges: tuple[Edge, ...], launch: int | None) -> Value:
        op, label = expression.op, f"{expression.op} {expression.name!r}" if expression.name else expression.op
        call = Call(
            op,
            label,
            tuple(self.blocked[edge][0] if edge in self.blocked else self.type_of(edge) for edge in edges),
            expression.attributes,
            edges,
            tuple(self.values.get(edge.slot) if edge.source == PARAMETER else None for edge in edges),
        )
        call = replace(call, outputs=self._outputs(call, expression.kind))
        self.limits.check_nodes(len(self.nodes) + 1, "the module, with functions inlined,")
        if op in CONSTANT_OPERATORS or (edges and all(edge.source == PARAMETER for edge in edges)):
            found: tuple[Edge, ...] = tuple(self.add_parameter(expression.name or op, kind) for kind in call.outputs)
            if op == "shape_of":
                self.values[found[0].slot] = call.shape
        else:
            first = len(self.nodes)
            last = self._convert(call)
            if len(self.nodes) > first and last.source >= 0:
                self.nodes[last.source] = _renamed(self.nodes[last.source], expression.name)
            self.kernel_of.extend([launch] * (len(self.nodes) - first))
            found = tuple(Edge(last.source, slot) for slot in range(len(call.outputs))) if len(call.outputs) > 1 else (
                last,
            )  # fmt: skip
        if op in _TUPLES or len(found) != 1:
            return make_tuple(found, self.limits, "values")
        return found[0]

    def _outputs(self, call: Call, declared: RelayType) -> tuple[TensorType, ...]:
        """Types of the results: inferred where the table knows how, and as the file says; both must agree."""
        said = None if declared is None else tuple(flatten(declared))
        rule = OPERATORS.get(call.op)
        if rule is not None:
            found = rule.infer(call)
            for kind in found:
                self.limits.check_shape(kind.shape, f"the result of {call.label}")
            if said is not None and not _agree(said, found):
                raise InvalidGraphError(
                    f"{call.label} has type {[(_spell(one.shape), one.dtype) for one in said][:4]} in the file, "
                    f"expected {[(kind.shape, kind.dtype) for kind in found][:4]} from what it reads"
                )
            return found
        if said is None:
            raise UnsupportedOperatorError(
                f"{call.label} is not in the table of relay_frontend/relay/table.py and the file does not say its "
                "type: save the module after relay.transform.InferType"
            )
        for open_kind in said:
            self.limits.check_shape([extent or 0 for extent in open_kind.shape], f"the result of {call.label}")
        return tuple(map(_static, said))

    def _convert(self, call: Call) -> Edge:
        rule = OPERATORS.get(call.op)
        if call.op == "layout_transform":
            return self._change_layout(call)
        marks = [self.blocked[edge] for edge in call.edges if edge in self.blocked]
        if marks:
            return self._convert_blocked(call, marks[0][1])
        if rule is None or rule.convert is None:
            return self.emit(call.op, call.edges, call.outputs)
        return rule.convert(call, self)

    def _change_layout(self, call: Call) -> Edge:
        """A transpose where nothing is blocked; else a reordering, which leaves the plain type as it is."""
        source, target = (parse_layout(call.text(key, ""), call.label) for key in ("src_layout", "dst_layout"))
        edge = call.edges[0]
        if not source.blocked and not target.blocked:
            order = tuple(source.letters.index(letter) for letter in target.letters)
            return self.emit("Transpose", (edge,), call.outputs, {"perm": order})
        op = "ReorderInput" if target.blocked else "ReorderOutput"
        plain = target.letters if not target.blocked else source.letters
        if source.blocked and target.blocked:
            op, plain = "ReorderInput", target.letters
        extents = source.extents(call.shape, call.label)
        result = self.emit(op, (edge,), (TensorType(tuple(extents[letter] for letter in plain), call.dtype),))
        if target.blocked:
            self.blocked[result] = (call.outputs[0], target)
        return result

    def _convert_blocked(self, call: Call, layout: Layout) -> Edge:
        """An operator on blocked tensors, as one on plain ones; operators that would look into blocks are refused."""
        rank = len(layout.axes)
        if any(len(kind.shape) != rank for kind in call.outputs) or call.op in _LOOK_INTO_BLOCKS:
            raise call.refuse("data in a blocked layout", "a plain one: read the module before AlterOpLayout")
        written = call.text("out_layout", "") or call.text("data_layout", "") or call.text("layout", "")
        target = parse_layout(written, call.label) if written else layout

        def plain(kind: TensorType, found: Layout) -> TensorType:
            if len(kind.shape) != len(found.axes):
                return kind
            sizes = {letter: 1 for letter in found.letters}
            for (letter, _), extent in zip(found.axes, kind.shape, strict=True):
                sizes[letter] *= extent
            return TensorType(tuple(sizes[letter] for letter in found.letters), kind.dtype)

        edges = tuple(
            edge if edge in self.blocked or edge.source != PARAMETER or (index == 1 and call.op in _WEIGHTED)
            else self.add_parameter(self.parameters[edge.slot][0], plain(self.type_of(edge), layout))
            for index, edge in enumerate(call.edges)
        )  # fmt: skip
        inputs = tuple(self.type_of(edge) for edge in edges)
        attributes = {**call.attributes, "out_layout": None}
        for key in ("data_layout", "layout"):
            if attributes.get(key):
                attributes[key] = layout.letters
        outputs = tuple(plain(kind, target) for kind in call.outputs)
        rule = OPERATORS.get(call.op)
        unblocked = replace(call, edges=edges, inputs=inputs, attributes=attributes, outputs=outputs)
        if rule is None or rule.convert is None:
            result = self.emit(call.op, edges, outputs)
        else:
            result = rule.convert(unblocked, self)
        for slot, kind in enumerate(call.outputs):
            if target.blocked:
                self.blocked[Edge(result.source, slot)] = (kind, target)
        return result

    def emit(
        self,
        op: str,
        inputs: tuple[Edge, ...],
        outputs: tuple[TensorType, ...],
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Edge:
        """Add a node; its first output."""
        self.nodes.append(OpNode(op, inputs, outputs, tuple(sorted((attributes or {}).items()))))
        return Edge(len(self.nodes) - 1)

    def parameter_name(self, edge: Edge) -> str | None:
        """The name of a constant; None for what is computed."""
        return self.parameters[edge.slot][0] if edge.source == PARAMETER else None


# Operators whose result is a tuple even if it has one field.
_TUPLES = frozenset({"split", "nn.batch_norm", "nn.dropout", "meshgrid"})
_WEIGHTED = frozenset({"nn.contrib_conv2d_NCHWc", "nn.contrib_depthwise_conv2d_NCHWc", "nn.conv2d"})
_LOOK_INTO_BLOCKS = frozenset({"reshape", "transpose", "nn.batch_flatten", "nn.pad", "strided_slice", "squeeze"})


def _renamed(node: OpNode, name: str) -> OpNode:
    return replace(node, name=name) if name else node


def _present(parameter: Parameter) -> OpenType | TupleOf[OpenType]:
    if parameter.kind is None:
        raise InvalidGraphError(
            f"parameter {parameter.name!r} has no type of tensors, expected one: save the module after InferType"
        )
    return parameter.kind


def _nest(kind: OpenType | TupleOf[OpenType], edges: list[Edge], limits: Limits) -> Tensor:
    """The edges, in order, as the type has them nested."""
    waiting: Iterable[Edge] = iter(edges)

    def nest(part: OpenType | TupleOf[OpenType]) -> Tensor:
        if isinstance(part, TupleOf):
            fields = [nest(item) for item in part.fields]
            return make_tuple(fields, limits, "values")
        return next(iter(waiting))

    return nest(kind)


def _fits(shape: tuple[int | None, ...], given: tuple[int, ...]) -> bool:
    return all(extent in (None, other) for extent, other in zip(shape, given, strict=True))


def _agree(said: tuple[OpenType, ...], found: tuple[TensorType, ...]) -> bool:
    return len(said) == len(found) and all(
        one.dtype == other.dtype and len(one.shape) == len(other.shape) and _fits(one.shape, other.shape)
        for one, other in zip(said, found, strict=True)
    )


def _spell(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("?" if extent is None else str(extent) for extent in shape) + ")"


def _static(kind: OpenType) -> TensorType:
    fixed = tuple(extent for extent in kind.shape if extent is not None)
    if len(fixed) != len(kind.shape):
        raise DynamicShapeError(
            f"a value has shape {_spell(kind.shape)}, expected integers: give --shape of the inputs"
        )
    return TensorType(fixed, kind.dtype)
