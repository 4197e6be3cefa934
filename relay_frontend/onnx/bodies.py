"""Graphs inside of graphs: whose names are whose, and the model's own functions written out where they are called."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import onnx

from relay_frontend.errors import InvalidGraphError
from relay_frontend.limits import Clock, Limits
from relay_frontend.onnx.source import SourceNode, check_text, decode_node, tensor_type
from relay_frontend.onnx.support import domain_of, versions_of

__all__ = ["Bodies", "Scope"]

_FunctionKey = tuple[str, str, str]  # domain, name, overload


@dataclass(slots=True)
class Scope:
    """One reading of a graph or of a function's body: what its names are called in the whole network.

    Attributes:
        path: where it is, ``loop/2/`` for instance; empty for the model's own graph, whose names stay as they are.
        versions: opset version by domain.
        names: own name -> name in the network.
        outer: the graph that it is in; None for the model's graph and for functions, which see nothing but their own.
        depth: how many graphs and functions it lies in.
        attributes: what a function's nodes may refer to; None outside of functions.
        calls: the functions that are being written out.
    """

    path: str
    versions: Mapping[str, int]
    names: dict[str, str] = field(default_factory=dict)
    outer: "Scope | None" = None
    depth: int = 0
    attributes: Mapping[str, onnx.AttributeProto] | None = None
    calls: tuple[_FunctionKey, ...] = ()

    def resolve(self, name: str) -> str:
        """What ``name`` is called in the network; itself where it is defined nowhere."""
        scope: Scope | None = self
        while scope is not None and name:
            found = scope.names.get(name)
            if found is not None:
                return found
            scope = scope.outer
        return name


class Bodies:
    """Decodes the nodes of graphs, nested ones and functions among them, under names that occur once."""

    def __init__(self, model: onnx.ModelProto, limits: Limits, clock: Clock) -> None:
        self._graph = model.graph
        self._limits = limits
        self._clock = clock
        self._functions = {(item.domain, item.name, item.overload): item for item in model.functions}
        self._taken: set[str] | None = None
        self._repeats: dict[str, int] = {}  # how often a name was asked for: trying each number would be quadratic
        self._count = 0

    def decode(self, protos: Iterable[onnx.NodeProto], scope: Scope) -> list[SourceNode]:
        """The nodes in plain form, calls of functions replaced by what the functions hold.

        Raises:
            LimitError: more nodes, or deeper, than allowed.
            InvalidGraphError: a function calls itself, or is called with more values than it has.
        """
        inner = bool(scope.path)
        if inner:
            protos = list(protos)
            for proto in protos:
                check_text(*proto.output)
                for name in proto.output:
                    if name not in scope.names:
                        scope.names[name] = self.fresh(scope.path + name) if name else ""
        found: list[SourceNode] = []
        for proto in protos:
            function = self._functions.get((proto.domain, proto.op_type, proto.overload)) if self._functions else None
            if function is not None:
                found.extend(self._call(proto, function, scope))
                continue
            self.count(1)
            if not proto.output:
                raise InvalidGraphError("a node writes nothing, expected at least one output: is the file damaged?")
            node = decode_node(proto, domain_of(proto), scope.versions[""], scope.attributes)
            if inner:
                node.inputs = [scope.resolve(name) for name in node.inputs]
                node.outputs = [scope.resolve(name) for name in node.outputs]
                node.name = scope.path + node.name if node.name else ""
            if node.graphs:
                node.scope = scope
                free = dict.fromkeys(self._free_names(node.graphs.values(), scope.depth + 1))
                node.captured = [scope.resolve(name) for name in free]
            found.append(node)
        return found

    def enter(self, node: SourceNode, graph: onnx.GraphProto, inputs: Sequence[str], path: str) -> Scope:
        """The scope in which ``graph``, an attribute of ``node``, is read once.

        Args:
            node: the operator that holds the graph.
            graph: the graph.
            inputs: what its inputs are called in the network.
            path: of this reading, below that of the node.

        Raises:
            InvalidGraphError: not as many inputs as the graph has.
            LimitError: nested too deep, or read too often.
        """
        outer = node.scope
        if not isinstance(outer, Scope):  # decode() has set it wherever there are graphs
            raise TypeError(f"{node.label} was not decoded by Bodies")
        self._limits.check_nesting(outer.depth + 1, f"a graph of {node.label}")
        if len(inputs) != len(graph.input):
            raise InvalidGraphError(
                f"{node.label} hands {len(inputs)} values to graph {graph.name!r}, expected {len(graph.input)}"
            )
        self.count(1)  # so that reading an empty graph very often ends too
        scope = Scope(outer.path + path, outer.versions, {}, outer, outer.depth + 1, outer.attributes, outer.calls)
        for value, name in zip(graph.input, inputs, strict=True):
            scope.names[value.name] = name
        for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
            check_text(tensor.name)
            scope.names[tensor.name] = self.fresh(scope.path + tensor.name)
            tensor_type(tensor, f"initializer {tensor.name!r}", self._limits)
        return scope

    def fresh(self, name: str) -> str:
        """``name``, or something like it that no other value of the network is called."""
        if self._taken is None:
            graph = self._graph
            self._taken = {value.name for value in (*graph.input, *graph.initializer)}
            self._taken.update(output for node in graph.node for output in node.output)
        found = name
        while found in self._taken:
            self._repeats[name] = self._repeats.get(name, 0) + 1
            found = f"{name}'{self._repeats[name]}"
        self._taken.add(found)
        return found

    def count(self, nodes: int) -> None:
        """Count nodes that are read; there may be no more than the limits say, in no more time."""
        self._count += nodes
        self._limits.check_nodes(self._count, "the network, with functions and loops written out,")
        self._clock.check("the network")

    def _call(self, proto: onnx.NodeProto, function: onnx.FunctionProto, scope: Scope) -> list[SourceNode]:
        key = (function.domain, function.name, function.overload)
        label = f"function {function.domain}.{function.name}"
        check_text(function.name, *function.input, *function.output, *proto.input, *proto.output, proto.name)
        if key in scope.calls:
            raise InvalidGraphError(f"{label} calls itself, expected functions that end: is the file damaged?")
        self._limits.check_nesting(scope.depth + 1, label)
        if len(proto.input) > len(function.input) or len(proto.output) > len(function.output):
            raise InvalidGraphError(
                f"{label} is called with {len(proto.input)} inputs and {len(proto.output)} outputs, expected at most "
                f"{len(function.input)} and {len(function.output)}"
            )
        self.count(1)
        path = f"{scope.path}{proto.name or function.name}/"
        versions = versions_of(function.opset_import, any(not domain_of(node) for node in function.node))
        given = _given_attributes(proto, function, scope)
        inner = Scope(path, versions, depth=scope.depth + 1, attributes=given, calls=(*scope.calls, key))
        for formal, actual in zip_longest(function.input, proto.input, fillvalue=""):
            inner.names[formal] = scope.resolve(actual)
        handed_on = []
        for formal, actual in zip(function.output, proto.output, strict=False):
            if formal in inner.names:
                handed_on.append((formal, scope.resolve(actual)))
            elif actual:
                inner.names[formal] = scope.resolve(actual)
        nodes = self.decode(function.node, inner)
        for formal, name in handed_on:
            nodes.append(SourceNode("Identity", "", 13, path, [inner.names[formal]], [name], {}, {}))
        return nodes

    def _free_names(self, graphs: Iterable[onnx.GraphProto], depth: int) -> Iterable[str]:
        """What the graphs read of the graphs around them, in order, some of it more than once."""
        self._limits.check_nesting(depth, "a graph within the network")
        for graph in graphs:
            own = {value.name for value in (*graph.input, *graph.initializer)}
            own.update(sparse.values.name for sparse in graph.sparse_initializer)
            own.update(name for node in graph.node for name in node.output)
            for node in graph.node:
                yield from (name for name in node.input if name and name not in own)
                nested = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
                if nested:
                    yield from (name for name in self._free_names(nested, depth + 1) if name not in own)
            yield from (value.name for value in graph.output if value.name not in own)


def _given_attributes(
    proto: onnx.NodeProto, function: onnx.FunctionProto, scope: Scope
) -> dict[str, onnx.AttributeProto]:
    """What a call says for the attributes that a function's nodes refer to, its defaults included."""
    given = {attribute.name: attribute for attribute in function.attribute_proto}
    for attribute in proto.attribute:
        if attribute.ref_attr_name:
            handed = (scope.attributes or {}).get(attribute.ref_attr_name)
            if handed is not None:
                given[attribute.name] = handed
        else:
            given[attribute.name] = attribute
    return given
