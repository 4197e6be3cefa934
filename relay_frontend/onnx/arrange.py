"""The order of the nodes, and whether every value that is read is written exactly once."""

from collections import deque
from collections.abc import Collection, Container, Sequence

from relay_frontend.errors import InvalidGraphError
from relay_frontend.onnx.inference import required_outputs
from relay_frontend.onnx.source import SourceNode

__all__ = ["arrange_nodes", "drop_unread_outputs"]

_NAMED_AT_MOST = 5  # offenders that a message spells out


def arrange_nodes(nodes: Sequence[SourceNode], given: Container[str]) -> list[SourceNode]:
    """``nodes`` in topological order; the order of the file where that is one already.

    Args:
        nodes: as in the file, which may be out of order although ONNX forbids it.
        given: values that exist before any node runs: graph inputs and initializers.

    Raises:
        InvalidGraphError: a value is written twice, read but never written, or depends on itself.
    """
    writers = _writers(nodes, given)
    _check_readers(nodes, writers, given)
    pending = [0] * len(nodes)
    readers: list[list[int]] = [[] for _ in nodes]
    in_order = True
    for index, node in enumerate(nodes):
        for name in node.reads:
            writer = writers.get(name)
            if writer is not None:
                readers[writer].append(index)
                pending[index] += 1
                in_order = in_order and writer < index
    if in_order:
        return list(nodes)
    ready = deque(index for index, count in enumerate(pending) if count == 0)
    order: list[int] = []
    while ready:
        index = ready.popleft()
        order.append(index)
        for reader in readers[index]:
            pending[reader] -= 1
            if pending[reader] == 0:
                ready.append(reader)
    if len(order) < len(nodes):
        stuck = [nodes[index].label for index, count in enumerate(pending) if count]
        raise InvalidGraphError(
            f"{len(stuck)} of {len(nodes)} nodes depend on themselves, expected an acyclic graph: {_list(stuck)}"
        )
    return [nodes[index] for index in order]


def drop_unread_outputs(nodes: Sequence[SourceNode], graph_outputs: Collection[str]) -> None:
    """Take optional outputs that nobody reads off the end of each node: they are not computed at inference."""
    read = {name for node in nodes for name in node.reads}
    read.update(graph_outputs)
    read.discard("")
    for node in nodes:
        outputs = node.outputs
        if len(outputs) > 1 and outputs[-1] not in read and not node.attributes.get("training_mode"):
            least = required_outputs(node.op, node.version) if not node.domain else 1
            while len(outputs) > least and outputs[-1] not in read:
                outputs.pop()


def _writers(nodes: Sequence[SourceNode], given: Container[str]) -> dict[str, int]:
    writers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.outputs:
            if not name:
                continue
            if name in writers or name in given:
                raise InvalidGraphError(
                    f"{node.label} writes {name!r}, which is written elsewhere too, expected each value written once"
                )
            writers[name] = index
    return writers


def _check_readers(nodes: Sequence[SourceNode], writers: dict[str, int], given: Container[str]) -> None:
    dangling = [
        f"{node.label} reads {name!r}"
        for node in nodes
        for name in node.reads
        if name and name not in writers and name not in given
    ]
    if dangling:
        raise InvalidGraphError(
            f"{len(dangling)} values are read but nothing writes them, expected an input, an initializer or a node "
            f"for each: {_list(dangling)}"
        )


def _list(offenders: list[str]) -> str:
    more = len(offenders) - _NAMED_AT_MOST
    return ", ".join(offenders[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
