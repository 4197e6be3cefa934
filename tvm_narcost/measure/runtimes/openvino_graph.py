"""OpenVINO's execution graph as plain data, and operator names by which it can be traced back to ONNX nodes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from tvm_narcost.errors import MeasurementError

__all__ = ["ExecutedNode", "executed_nodes", "name_operators"]

_NAME = "narcost."
_ORIGIN = re.compile(r"narcost\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class ExecutedNode:
    """One node of the graph that OpenVINO executes.

    Attributes:
        name: under which the performance counters know it.
        kind: OpenVINO's layer type, such as ``Convolution``, ``Subgraph``, ``Reorder``, ``Input``, ``Const``.
        primitive: the implementation, such as ``brgconv_avx512_f32``; ``unknown_...`` for what runs no code.
        origins: indices of the ONNX nodes that it computes or helps to compute, each once.
        inputs: (name, output) of what it reads.
        layout: of its outputs, oneDNN's format tag such as ``acdb``; several are separated by commas.
        shape: of its first output.
    """

    name: str
    kind: str
    primitive: str
    origins: tuple[int, ...]
    inputs: tuple[tuple[str, int], ...]
    layout: str
    shape: tuple[int, ...]


def name_operators(network: Any, nodes: Sequence[onnx.NodeProto]) -> None:
    """Give each operator of a read ``openvino.Model`` a name that tells the ONNX node it comes from.

    OpenVINO makes several operators of one ONNX node, and names most of them itself. Those that write a value of the
    file know its name; one without belongs to the node of the first operator that reads it. Transformations and the
    execution graph then carry these names along.
    """
    writers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    operators = network.get_ordered_ops()
    owners: dict[str, int] = {}
    for operator in reversed(operators):
        found = [writers[name] for port in operator.outputs() for name in port.get_names() if name in writers]
        if not found:
            readers = [read.get_node() for port in operator.outputs() for read in port.get_target_inputs()]
            found = [owners[key] for key in map(_key, readers) if key in owners]
        if found:
            owners[_key(operator)] = min(found)  # a value has two names when an Identity hands it on
    for serial, operator in enumerate(operators):
        owner = owners.get(_key(operator))
        if owner is not None and operator.get_type_name() not in ("Parameter", "Result"):
            operator.set_friendly_name(f"{_NAME}{owner}.{serial}")


def _key(operator: Any) -> str:
    name: str = operator.get_name()  # unique, other than the friendly name, and not to be set
    return name


def executed_nodes(compiled: Any) -> tuple[ExecutedNode, ...]:
    """The execution graph of an ``openvino.CompiledModel``, in the order of execution.

    Raises:
        MeasurementError: a node lacks what it must tell, or two have one name.
    """
    found: list[tuple[int, ExecutedNode]] = []
    for operator in compiled.get_runtime_model().get_ordered_ops():
        facts = operator.get_rt_info()
        try:
            order, kind, primitive, origins, layout = (
                facts[key].astype(str)
                for key in ("execOrder", "layerType", "primitiveType", "originalLayersNames", "outputLayouts")
            )
        except (KeyError, RuntimeError) as error:
            raise MeasurementError(
                f"OpenVINO's execution graph: {operator.get_friendly_name()!r} does not tell {error}, expected its "
                "layer type, origin and layout: install the version of openvino that the profile names"
            ) from error
        sources = [port.get_source_output() for port in operator.inputs()]
        node = ExecutedNode(
            name=operator.get_friendly_name(),
            kind=kind,
            primitive=primitive,
            origins=tuple(dict.fromkeys(int(match) for match in _ORIGIN.findall(origins))),
            inputs=tuple((source.get_node().get_friendly_name(), source.get_index()) for source in sources),
            layout=layout,
            shape=_shape(operator),
        )
        found.append((int(order), node))
    nodes = tuple(node for _, node in sorted(found, key=lambda item: item[0]))
    _check_names(node.name for node in nodes)
    return nodes


def _shape(operator: Any) -> tuple[int, ...]:
    return tuple(operator.output(0).get_shape()) if operator.get_output_size() else ()


def _check_names(names: Iterable[str]) -> None:
    seen: set[str] = set()
    twice = sorted({name for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
    if twice:
        raise MeasurementError(
            f"OpenVINO's execution graph has {len(twice)} names twice: {', '.join(twice[:5])}; expected each once, "
            "since its counters know a node only by its name"
        )
