"""Control flow: the graphs in If, Loop, Scan and SequenceMap are read as often as they would run.

- If: the branch that its condition takes, where the condition is a constant. Else both are read and the dearer one
  counts: more FLOPs, then more bytes, then more tensors handed out, then ``then_branch``. The graph's notes say which.
- Loop: as many times as its trip count and its condition say, where they are constants. Where only the condition is
  not, the trip count is taken for what it is at most; where nothing tells, the body counts once. The notes say so.
- Scan: once for each element of its sequences.
- SequenceMap: once for each tensor of its sequence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from relay_frontend.costs import graph_cost
from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from relay_frontend.limits import Limits
from relay_frontend.onnx.sequences import Walk, emit_concat
from relay_frontend.onnx.source import SourceNode

__all__ = ["CONTROL_RULES", "BodyWalk", "Trial", "segment_cost"]


@dataclass(slots=True)
class Trial:
    """A body that was read and taken out of the graph again: what it had added, and what that costs."""

    nodes: list[OpNode]
    parameters: list[tuple[str, TensorType]]
    notes: list[str]
    outputs: list[str]
    cost: tuple[int, int, int]  # FLOPs, bytes, tensors that it hands out


class BodyWalk(Walk, Protocol):
    """What the reader of a graph offers to operators that hold graphs."""

    limits: Limits
    notes: list[str]
    declared: dict[str, TensorType]

    def read_body(self, node: SourceNode, attribute: str, inputs: Sequence[str], path: str) -> list[str]:
        """Read a graph that ``node`` holds once more; the names of its outputs."""

    def try_body(self, node: SourceNode, attribute: str, path: str) -> Trial:
        """Read a graph without inputs and take it out again."""

    def keep(self, trial: Trial) -> None:
        """Put back what :meth:`try_body` took out; nothing may have been read since but other trials."""

    def leave_open(self, name: str, reason: str) -> None:
        """Say that the type of ``name`` cannot be told; whoever reads it fails."""


def segment_cost(nodes: Sequence[OpNode], first: int, type_of: Callable[[Edge], TensorType]) -> tuple[int, int]:
    """(FLOPs, bytes) of ``nodes``, the first of which has index ``first`` in the graph that they come from."""
    inputs: dict[Edge, int] = {}
    moved = []
    for node in nodes:
        edges = tuple(
            Edge(edge.source - first, edge.slot)
            if edge.source >= first
            else Edge(GRAPH_INPUT, inputs.setdefault(edge, len(inputs)))
            for edge in node.inputs
        )
        moved.append(OpNode(node.op, edges, node.outputs, node.attributes))
    kinds = tuple((str(slot), type_of(edge)) for edge, slot in inputs.items())
    cost = graph_cost(OpGraph("branch", tuple(moved), kinds, (), ()), strict=False)
    return cost.flops, cost.memory_bytes


def _constant_flag(walk: BodyWalk, name: str) -> bool | None:
    """The value of a condition, None if it is not known."""
    value = walk.value_of(name)
    return bool(value.reshape(-1)[0]) if value is not None and value.size == 1 else None


def _bind_outputs(walk: BodyWalk, node: SourceNode, outputs: Sequence[str], found: Sequence[str]) -> None:
    if len(outputs) != len(found):
        raise InvalidGraphError(f"{node.label} writes {len(outputs)} values, expected {len(found)} as its graph gives")
    for name, source in zip(outputs, found, strict=True):
        if name:
            walk.bind(name, source)


def _read_if(walk: BodyWalk, node: SourceNode) -> None:
    branches = ("then_branch", "else_branch")
    _check_graphs(node, *branches)
    taken = _constant_flag(walk, node.inputs[0])
    where = f"{node.name or node.outputs[0]}/"
    if taken is not None:
        _bind_outputs(walk, node, node.outputs, walk.read_body(node, branches[not taken], (), where))
        return
    trials = [walk.try_body(node, branch, f"{where}{branch}/") for branch in branches]
    chosen = int(trials[1].cost > trials[0].cost)
    walk.keep(trials[chosen])
    walk.notes.append(
        f"{node.label}: its condition depends on data; counted as {branches[chosen]}, the dearer of the two "
        f"({trials[chosen].cost[0]} FLOPs, the other {trials[1 - chosen].cost[0]})"
    )
    _bind_outputs(walk, node, node.outputs, trials[chosen].outputs)


def _read_loop(walk: BodyWalk, node: SourceNode) -> None:
    _check_graphs(node, "body")
    inputs = [*node.inputs, "", ""]
    trips, initial = inputs[0], node.inputs[2:]
    if len(node.outputs) < len(initial) or len(node.graphs["body"].output) != len(node.outputs) + 1:
        raise InvalidGraphError(
            f"{node.label} writes {len(node.outputs)} values, expected one for each of its {len(initial)} states, and "
            "one for each other value that its body gives"
        )
    count = walk.value_of(trips) if trips else None
    most = int(count.reshape(-1)[0]) if count is not None and count.size == 1 else None
    flag: bool | None = True if not inputs[1] else _constant_flag(walk, inputs[1])
    run = _LoopRun(walk, node, has_condition=bool(inputs[1]))
    if most is not None and not inputs[1]:
        walk.limits.check_nodes(max(most, 0) * (len(node.graphs["body"].node) + 1), f"{node.label}, written out,")
    known = flag is not None and (most is not None or not trips)
    while (most is None or run.trips < most) and flag is not False:
        flag = run.once(initial if not run.trips else run.states)
        known = known and flag is not None
        if not known and run.trips >= _guess(walk, node, most, len(initial)):
            break
    if not known:
        walk.notes.append(
            f"{node.label}: how often it runs depends on data; counted {run.trips}x"
            + (", the most that its trip count allows" if most == run.trips else "")
        )
    run.finish(initial, known)


def _guess(walk: BodyWalk, node: SourceNode, most: int | None, states: int) -> int:
    """How often to read the body of a Loop that does not tell: as the declared outputs say, its trip count, or once."""
    for name in node.outputs[states:]:
        kind = walk.declared.get(name)
        if kind is not None and kind.shape and kind.shape[0] > 0:
            return kind.shape[0]
    size = len(node.graphs["body"].node) + 1
    return most if most is not None and most * size <= walk.limits.nodes else 1


class _LoopRun:
    """A Loop while its body is read again and again."""

    def __init__(self, walk: BodyWalk, node: SourceNode, *, has_condition: bool) -> None:
        self.walk, self.node = walk, node
        self.has_condition = has_condition
        self.trips = 0
        self.states: list[str] = []
        self.stacks: list[list[str]] = []

    def once(self, states: Sequence[str]) -> bool | None:
        """Read the body once; whether its condition lets it run again, None if that is not known."""
        where = f"{self.node.name or self.node.outputs[0]}/{self.trips}/"
        iteration, condition = self.walk.fresh(f"{where}iteration"), self.walk.fresh(f"{where}condition")
        self.walk.set_constant(iteration, np.array(self.trips, np.int64))
        self.walk.set_constant(condition, np.array(True))  # else it would not run
        flag, *found = self.walk.read_body(self.node, "body", (iteration, condition, *states), where)
        self.states, scanned = found[: len(states)], found[len(states) :]
        self.stacks = self.stacks or [[] for _ in scanned]
        for stack, name in zip(self.stacks, scanned, strict=True):
            stack.append(name)
        self.trips += 1
        return _constant_flag(self.walk, flag) if self.has_condition else True

    def finish(self, initial: Sequence[str], known: bool) -> None:
        """Bind the outputs of the Loop."""
        walk, outputs = self.walk, self.node.outputs
        for name, before, after in zip(outputs, initial, self.states or initial, strict=False):
            if name and not known and not _alike(walk, before, after):
                walk.leave_open(name, f"its shape depends on how often {self.node.label} runs")
            elif name:
                walk.bind(name, after)
        for slot, name in enumerate(outputs[len(initial) :]):
            kind = walk.declared.get(name)
            if not name:
                continue
            if not known and (kind is None or kind.shape[:1] != (self.trips,)):
                walk.leave_open(name, f"its first extent is how often {self.node.label} runs")
            elif not self.trips:
                walk.leave_open(name, f"{self.node.label} never runs")
            else:
                emit_concat(walk, self.stacks[slot], 0, name, new_axis=True)


def _alike(walk: BodyWalk, before: str, after: str) -> bool:
    if before in walk.sequences or after in walk.sequences:
        return walk.sequences.get(before) == walk.sequences.get(after)
    return walk.types.get(before) == walk.types.get(after)


def _read_scan(walk: BodyWalk, node: SourceNode) -> None:
    _check_graphs(node, "body")
    first = 1 if node.version < 9 else 0  # opset 8 has the lengths of the sequences there, and a batch
    inputs, scanned = node.inputs[first:], node.attributes.get("num_scan_inputs", 0)
    if not isinstance(scanned, int) or not 0 < scanned <= len(inputs):
        raise InvalidGraphError(f"{node.label} has num_scan_inputs={scanned!r}, expected 1 to {len(inputs)}")
    states, sequences = inputs[: len(inputs) - scanned], inputs[len(inputs) - scanned :]
    if len(node.graphs["body"].output) != len(node.outputs) or len(node.outputs) < len(states):
        raise InvalidGraphError(f"{node.label} writes {len(node.outputs)} values, expected those that its body gives")
    where = f"{node.name or node.outputs[0]}/"
    if not first:
        axes = _axes(node, "scan_input_axes", scanned)
        results = _scan(walk, node, states, sequences, axes, where)
        _bind_outputs(walk, node, node.outputs, results)
        return
    extents = {walk.types[name].shape[0] for name in inputs if walk.types[name].shape}
    if len(extents) != 1 or not all(walk.types[name].shape for name in inputs):
        raise InvalidGraphError(f"{node.label} reads batches of {sorted(extents)}, expected one size for all")
    batches = []
    for index in range(extents.pop()):
        place = f"{where}batch{index}/"
        picked = [_pick(walk, name, 0, index, place) for name in inputs]
        batches.append(_scan(walk, node, picked[: len(states)], picked[len(states) :], (0,) * scanned, place))
    for slot, name in enumerate(node.outputs):
        if name:
            _stack(walk, node, [batch[slot] for batch in batches], 0, name)


def _scan(
    walk: BodyWalk, node: SourceNode, states: Sequence[str], sequences: Sequence[str], axes: Sequence[int], where: str
) -> list[str]:
    """Read the body of a Scan once for each element; the names of its last states and of what it stacks."""
    extents = set()
    for name, axis in zip(sequences, axes, strict=True):
        shape = walk.types[name].shape
        if not -len(shape) <= axis < len(shape):
            raise InvalidGraphError(f"{node.label} scans axis {axis} of {name!r}, expected one of rank {len(shape)}")
        extents.add(shape[axis])
    if len(extents) != 1:
        raise InvalidGraphError(f"{node.label} scans sequences of lengths {sorted(extents)}, expected one length")
    length = extents.pop()
    walk.limits.check_nodes(length * (len(node.graphs["body"].node) + 1), f"{node.label}, written out,")
    reversed_inputs = _axes(node, "scan_input_directions" if node.version >= 9 else "directions", len(sequences))
    stacks: list[list[str]] = [[] for _ in node.outputs[len(states) :]]
    current = list(states)
    for step in range(length):
        place = f"{where}{step}/"
        picked = [
            _pick(walk, name, axis, length - 1 - step if backwards else step, place)
            for name, axis, backwards in zip(sequences, axes, reversed_inputs, strict=True)
        ]
        found = walk.read_body(node, "body", (*current, *picked), place)
        current = found[: len(states)]
        for stack, name in zip(stacks, found[len(states) :], strict=True):
            stack.append(name)
    output_axes = _axes(node, "scan_output_axes", len(stacks))
    results = list(current)
    for stack, axis in zip(stacks, output_axes, strict=True):
        results.append(walk.fresh(f"{where}stack"))
        _stack(walk, node, stack, axis, results[-1])
    return results


def _pick(walk: BodyWalk, name: str, axis: int, index: int, where: str) -> str:
    """Write the Gather of one element along an axis, which goes."""
    place, output = walk.fresh(f"{where}index"), walk.fresh(f"{where}element")
    walk.set_constant(place, np.array(index, np.int64))
    walk.read(SourceNode("Gather", "", 13, output, [name, place], [output], {"axis": axis}, {}))
    return output


def _stack(walk: BodyWalk, node: SourceNode, names: Sequence[str], axis: int, output: str) -> None:
    if names:
        emit_concat(walk, names, axis, output, new_axis=True)
    else:
        walk.leave_open(output, f"{node.label} never runs")


def _axes(node: SourceNode, name: str, count: int) -> tuple[int, ...]:
    value = node.attributes.get(name, (0,) * count)
    if not isinstance(value, tuple) or len(value) != count or not all(isinstance(item, int) for item in value):
        raise InvalidGraphError(f"{node.label} has {name}={value!r}, expected {count} integers")
    return value  # type: ignore[return-value]  # integers, as just checked


def _read_sequence_map(walk: BodyWalk, node: SourceNode) -> None:
    _check_graphs(node, "body")
    first = walk.sequences.get(node.inputs[0])
    if first is None:
        raise InvalidGraphError(f"{node.label} reads {node.inputs[0]!r}, expected a sequence")
    rows: list[list[str]] = []
    for index in range(len(first)):
        chosen = []
        for name in node.inputs:
            items = walk.sequences.get(name, [name] * len(first))
            if items is None or len(items) != len(first):
                raise InvalidGraphError(f"{node.label} reads {name!r} of another length, expected {len(first)} tensors")
            chosen.append(items[index])
        rows.append(walk.read_body(node, "body", chosen, f"{node.name or node.outputs[0]}/{index}/"))
        if len(rows[-1]) != len(node.outputs):
            raise InvalidGraphError(f"{node.label} writes {len(node.outputs)} values, expected {len(rows[-1])}")
    for slot, name in enumerate(node.outputs):
        if name:
            walk.sequences[name] = [row[slot] for row in rows]


def _check_graphs(node: SourceNode, *names: str) -> None:
    missing = [name for name in names if name not in node.graphs]
    if missing:
        raise InvalidGraphError(f"{node.label} has no {' and no '.join(missing)}, expected a graph: is it damaged?")


CONTROL_RULES: Mapping[str, Callable[[BodyWalk, SourceNode], None]] = {
    "If": _read_if,
    "Loop": _read_loop,
    "Scan": _read_scan,
    "SequenceMap": _read_sequence_map,
}
