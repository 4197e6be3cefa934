"""Calls of PrimFuncs as the operators that they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from relay_frontend.errors import InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import PARAMETER, Edge, OpNode, TensorType
from relay_frontend.relax.objects import kind_of
from relay_frontend.relax.operators import Converter, RelaxCall
from relay_frontend.relax.recover import KNOWN_NAMES, Scalar, needs_no_loops, recover
from relay_frontend.relax.segments import Segment, base_name, segments_of
from relay_frontend.relax.stages import Program, UnrecoverableError, program_of
from relay_frontend.relax.table import CALL_TIR_OPERATORS

__all__ = ["Host", "PrimCalls"]

Value = tuple[Edge, ...]


class Host(Protocol):
    """The graph that is being built."""

    nodes: list[OpNode]

    def convert(self, call: RelaxCall, name: str, converter: Converter | None = None) -> Value:
        """Add the nodes of a call."""

    def fold(self, call: RelaxCall, name: str) -> Value:
        """Add parameters in place of a call."""

    def add_scalar(self, scalar: Scalar) -> Edge:
        """Add a constant."""

    def type_of(self, edge: Edge) -> TensorType:
        """The type of a value."""


_Signature = tuple[str, tuple[TensorType, ...], tuple[TensorType, ...]]


@dataclass(slots=True)
class PrimCalls:
    """Reads calls, and takes each PrimFunc apart only once."""

    functions: Mapping[str, Any]
    _known: dict[_Signature, tuple[Program, tuple[Segment, ...]] | None] = field(default_factory=dict)

    def read(self, host: Host, callee: str, inputs: Value, outputs: tuple[TensorType, ...], name: str) -> Value:
        """The nodes of a call.

        Args:
            host: takes them.
            callee: the PrimFunc's name.
            inputs: what it is called with.
            outputs: types of its results.
            name: for the nodes.

        Returns:
            Its results. A PrimFunc that nothing is known of is one node ``tir.NAME``, so is a part of one.
        """
        types = tuple(map(host.type_of, inputs))
        whole = RelaxCall(f"tir.{base_name(callee)}", inputs, types, (), None, outputs)
        if all(edge.source == PARAMETER for edge in inputs):
            plain = needs_no_loops(base_name(callee))
            return host.fold(RelaxCall(plain or whole.op, inputs, types, (), None, outputs), name)
        taken = self._take_apart(callee, types, outputs)
        if taken is None:
            return self._by_name(host, callee, whole, name)
        program, segments = taken
        values = dict(zip(program.parameters, inputs, strict=False))
        for segment in segments:
            results = self._read_segment(host, segment, values, name)
            values.update(zip(segment.outputs, results, strict=False))
        return tuple(values[buffer] for buffer in program.parameters[len(inputs) : len(inputs) + len(outputs)])

    def _take_apart(
        self, callee: str, inputs: tuple[TensorType, ...], outputs: tuple[TensorType, ...]
    ) -> tuple[Program, tuple[Segment, ...]] | None:
        signature = (callee, inputs, outputs)
        if signature not in self._known:
            function = self.functions.get(callee)
            try:
                if kind_of(function) != "PrimFunc":
                    raise UnrecoverableError("no PrimFunc of that name")
                program = program_of(function)
                segments = segments_of(callee, program, inputs, outputs, KNOWN_NAMES)
                _check_order(program, segments, len(inputs), len(outputs))
                self._known[signature] = program, segments
            except UnrecoverableError:
                self._known[signature] = None
        return self._known[signature]

    def _by_name(self, host: Host, callee: str, whole: RelaxCall, name: str) -> Value:
        """A PrimFunc whose loops are not as TVM's passes leave them: its name may still tell."""
        plain = needs_no_loops(base_name(callee))
        if plain is None:
            return host.convert(whole, name, CALL_TIR_OPERATORS.get(base_name(callee)))
        return host.convert(RelaxCall(plain, whole.inputs, whole.input_types, (), None, whole.outputs), name)

    def _read_segment(self, host: Host, segment: Segment, values: Mapping[Any, Edge], name: str) -> Value:
        first = len(host.nodes)
        try:
            found = recover(segment)
            inputs = tuple(
                host.add_scalar(item) if isinstance(item, Scalar) else values[item] for item in found.operands
            )
            types = tuple(map(host.type_of, inputs))
            call = RelaxCall(found.op, inputs, types, found.literals, found.attributes, segment.output_types)
            return host.convert(call, name)
        except (InvalidGraphError, UnrecoverableError, UnsupportedOperatorError):
            del host.nodes[first:]
        inputs = tuple(values[buffer] for buffer in segment.inputs)
        base = segment.name or segment.stages[-1].name
        call = RelaxCall(f"tir.{base}", inputs, segment.input_types, (), None, segment.output_types)
        return host.convert(call, name, CALL_TIR_OPERATORS.get(base))


def _check_order(program: Program, segments: tuple[Segment, ...], inputs: int, outputs: int) -> None:
    """Every buffer must be written before it is read, and every result at all."""
    there = set(program.parameters[:inputs])
    for segment in segments:
        if not there.issuperset(segment.inputs):
            raise UnrecoverableError("a buffer that is read before it is written")
        there.update(segment.outputs)
    if not there.issuperset(program.parameters[inputs : inputs + outputs]):
        raise UnrecoverableError("a result that is never written")
