"""The walk over an exported program: every call becomes an operator, a parameter, or another name for a value."""

from collections.abc import Collection
from dataclasses import dataclass, field

from relay_frontend.errors import DynamicShapeError, FrontendError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, AttributeValue, Edge, OpGraph, TensorType
from relay_frontend.limits import Clock, Limits
from relay_frontend.torch_export.call import Edges, GraphBuilder, TorchCall
from relay_frontend.torch_export.program import Argument, AtenCall, AtenProgram, OpenType, Ref
from relay_frontend.torch_export.table import converter_of, functional_name, is_constant

__all__ = ["read_program"]

_NAMED_AT_MOST = 5  # offenders that a message spells out

# Operators that only hold a graph, which runs under another setting of autograd or of automatic casting.
_WRAPPERS = ("wrap_with_set_grad_enabled", "wrap_with_autocast")

# Results that share memory with the first input, so that writing to one shows in the other.
_VIEWS = """alias as_strided chunk contiguous detach diagonal expand expand_as flatten narrow numpy_T permute reshape
    select slice split split_with_sizes squeeze swapaxes t to transpose unbind unflatten unfold unsqueeze
    view view_as"""


def read_program(program: AtenProgram, *, name: str, limits: Limits, clock: Clock) -> OpGraph:
    """The graph of a program; nothing is dropped or fused yet.

    Calls whose operator no table has become opaque nodes with the operator's name and their real types.

    Raises:
        DynamicShapeError: a dimension has no value; names the inputs that have one.
        InvalidGraphError: a value that nothing makes, or arguments that do not fit their operator.
        UnsupportedOperatorError: a write to a view of a value that is read again later.
        LimitError: more nodes than ``limits`` allow, or too little time.
    """
    _check_inputs(program)
    reader = _Reader(limits, clock)
    for source, values in ((GRAPH_INPUT, program.inputs), (PARAMETER, tuple(program.parameters))):
        for value in values:
            kind = _static(program, value, f"value {value!r}")
            if source == PARAMETER:
                reader.edges[value] = reader.builder.add_parameter(program.parameters[value], kind)
            else:
                reader.builder.inputs.append((value, kind))
                reader.edges[value] = Edge(GRAPH_INPUT, len(reader.builder.inputs) - 1)
    reader.read(program)
    outputs = tuple(reader.edge_to(value, "the program's outputs") for value in program.outputs)
    if not outputs:
        raise InvalidGraphError(f"program {name!r} has no tensor among its outputs, expected one at least")
    builder = reader.builder
    return OpGraph(name, tuple(builder.nodes), tuple(builder.inputs), tuple(builder.parameters), outputs)


def _check_inputs(program: AtenProgram) -> None:
    kinds = [(value, program.types.get(value)) for value in program.inputs]
    found = [f"{value!r} has {kind}" for value, kind in kinds if isinstance(kind, OpenType)]
    if found:
        raise DynamicShapeError(
            f"{len(found)} of {len(kinds)} inputs have dimensions without a value: {'; '.join(found[:_NAMED_AT_MOST])}"
            ": export the network for one shape, without dynamic_shapes"
        )


def _static(program: AtenProgram, value: str, what: str) -> TensorType:
    kind = program.types.get(value)
    if kind is None:
        raise InvalidGraphError(f"{what} has no type, expected one for every tensor: is the file damaged?")
    if isinstance(kind, OpenType):
        raise DynamicShapeError(
            f"{what} has shape {kind}, which depends on data, expected shapes that follow from those of the inputs: "
            "read the network up to there"
        )
    return kind


@dataclass(slots=True)
class _Reader:
    """What is known so far; one use each.

    Attributes:
        edges: where each value comes from.
        owners: of a value that shares memory: the value that owns it.
    """

    limits: Limits
    clock: Clock
    builder: GraphBuilder = field(default_factory=GraphBuilder)
    edges: dict[str, Edge] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def read(self, program: AtenProgram) -> None:
        """Take in every call."""
        last_read = {
            name: place for place, call in enumerate(program.calls) for name in _names(tuple(call.arguments.values()))
        }
        last_read.update(dict.fromkeys(program.outputs, len(program.calls)))
        for place, call in enumerate(program.calls):
            self.clock.check("the program")
            self.limits.check_nodes(len(self.builder.nodes), "the program's graph")
            if call.body is not None and call.target.rpartition(".")[2] in _WRAPPERS:
                self._inline(call, call.body)
                continue
            self._read_call(program, call, last_read)
            self._note_memory(call, place, last_read)

    def edge_to(self, value: str, reader: str) -> Edge:
        """Where a value comes from."""
        edge = self.edges.get(value)
        if edge is None:
            raise InvalidGraphError(
                f"{reader} read {value!r}, which nothing makes before, expected an input, a parameter or a call's "
                "result: is the file damaged?"
            )
        return edge

    def _inline(self, call: AtenCall, body: AtenProgram) -> None:
        """The wrapped graph in the call's place; its values are its own."""
        given = [value for value in call.arguments.values() if isinstance(value, Ref)]
        if len(given) != len(body.inputs):
            raise InvalidGraphError(f"{call.label} passes {len(given)} tensors, expected {len(body.inputs)}")
        around = dict(self.edges)
        passed = {name: self.edge_to(ref.name, call.label) for name, ref in zip(body.inputs, given, strict=True)}
        self.edges.update(passed)
        self.read(body)
        made = [self.edge_to(value, f"the graph in {call.label}") for value in body.outputs]
        self.edges = around
        results = [name for name in call.outputs if name is not None]
        if len(results) != len(made):
            raise InvalidGraphError(f"{call.label} makes {len(results)} tensors of {len(made)}, expected as many")
        self.edges.update(zip(results, made, strict=True))

    def _read_call(self, program: AtenProgram, call: AtenCall, readers: Collection[str]) -> None:
        for name in _names(tuple(call.arguments.values())):
            if name in program.types and name not in self.edges:
                self.edge_to(name, call.label)
        results = [name for name in call.outputs if name is not None]
        if not results:
            return  # an assertion, or arithmetic on sizes that are known
        kinds = tuple(
            _static(program, name, f"result {name!r} of {call.label}") for name in _typed(program, call.outputs)
        )
        view = TorchCall(call, kinds, self.edges, self.builder, readers)
        found = self._constants(view) or self._convert(view) or self._opaque(view)
        for name, edge in zip(_typed(program, call.outputs), found, strict=False):
            self.edges[name] = edge
        if functional_name(call.target.partition(".")[2]) != call.target.partition(".")[2]:
            written = next((value for value in call.arguments.values() if isinstance(value, Ref)), None)
            if written is not None:
                self.edges[written.name] = found[0]

    def _constants(self, call: TorchCall) -> Edges:
        """Constants in place of what is made of numbers; every compiler folds those."""
        if not is_constant(call.call.target):
            return ()
        return tuple(call.constant(kind) for kind in call.outputs)

    def _convert(self, call: TorchCall) -> Edges:
        converter = converter_of(call.call.target)
        if converter is None:
            return ()
        try:
            found = converter(call)
        except FrontendError:
            raise
        except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InvalidGraphError(
                f"{call.call.label} does not fit its inputs or arguments ({error!r}), expected them as torch writes "
                "them: is the file damaged?"
            ) from error
        if found is None:
            return ()
        edges = (found,) if isinstance(found, Edge) else found
        self._check_types(call, edges)
        return edges

    def _check_types(self, call: TorchCall, edges: Edges) -> None:
        """What the converter made has to be what the program says."""
        for edge, kind in zip(edges, call.outputs, strict=False):
            made = self.builder.type_of(edge)
            if made.elements != kind.elements:
                raise InvalidGraphError(
                    f"{call.call.label} makes {list(made.shape)}, but the program says {list(kind.shape)}: is the file "
                    "damaged?"
                )

    def _opaque(self, call: TorchCall) -> Edges:
        """A node under the operator's own name."""
        target = call.call.target
        op = ".".join(target.split(".")[:2])
        inputs = tuple(self.edge_to(name, call.call.label) for name in _names(tuple(call.call.arguments.values()))
                       if name in self.edges)  # fmt: skip
        attributes: dict[str, AttributeValue] = {}
        for name, value in call.call.arguments.items():
            plain = _plain(value)
            if plain is not None:
                attributes[name] = plain
        return self.builder.add_node(op, inputs, call.outputs, attributes, call.call.name)

    def _note_memory(self, call: AtenCall, place: int, last_read: dict[str, int]) -> None:
        """Keep track of views; refuse a write whose effect on another name of the same memory would be missed."""
        first = next((value for value in call.arguments.values() if isinstance(value, Ref)), None)
        if first is None:
            return
        name = call.target.partition(".")[2]
        base = functional_name(name)
        owner = self.owners.get(first.name, first.name)
        results = [output for output in call.outputs if output is not None]
        if base != name:
            stale = [
                other
                for other in (owner, *(value for value, of in self.owners.items() if of == owner))
                if other != first.name and other not in results and last_read.get(other, -1) > place
            ]
            if stale:
                raise UnsupportedOperatorError(
                    f"{call.label} writes to {first.name!r}, which shares memory with {', '.join(stale[:3])}, read "
                    "again later: save the program after run_decompositions(), which takes such writes out"
                )
            self.owners.update(dict.fromkeys(results, owner))
        elif base.partition(".")[0] in _VIEWS.split():
            self.owners.update(dict.fromkeys(results, owner))


def _typed(program: AtenProgram, outputs: tuple[str | None, ...]) -> list[str]:
    """The results up to the last one that has a type; torch leaves out those of results that nobody reads."""
    names = [name for name in outputs if name is not None]
    while len(names) > 1 and names[-1] not in program.types:
        names.pop()
    return names


def _names(value: Argument) -> tuple[str, ...]:
    """Every value that an argument reads."""
    if isinstance(value, Ref):
        return (value.name,)
    if isinstance(value, tuple):
        return tuple(name for item in value for name in _names(item))
    return ()


def _plain(value: Argument) -> AttributeValue | None:
    """An argument of an opaque call as an attribute; None for tensors and what has no plain form."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, tuple) and value and all(isinstance(item, type(value[0])) for item in value):
        if isinstance(value[0], int):
            return tuple(int(item) for item in value if isinstance(item, int))
        if isinstance(value[0], float):
            return tuple(item for item in value if isinstance(item, float))
    return None
