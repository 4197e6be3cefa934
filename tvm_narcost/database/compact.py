"""A record as a line of a dataset file: columns, relative edges, no names, so that xz has little left to do.

What is lost, and stated in docs and header: names of values and nodes (they take no part in hashes), digits beyond
0.01 us, and the single samples of each kernel, of which the means of the lower, middle and upper third are kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from relay_frontend.errors import FrontendError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, OpNode, TensorType
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.database.records import LatencyRecord
from tvm_narcost.errors import DatabaseError

__all__ = ["measurement_from_columns", "measurement_to_columns", "record_from_line", "record_to_line", "thirds"]

_TICKS_A_US = 100  # times are stored as whole numbers of 0.01 us
_NEXT_PARAMETER = 0  # an edge that reads the parameter after the last one that was read like this


def record_to_line(record: LatencyRecord) -> dict[str, Any]:
    """Plain JSON values; :func:`record_from_line` reads them. The fingerprint is the caller's to store."""
    kernels = [list(kernel) for kernel in record.plan.kernels]
    return {
        "family": record.family,
        "name": record.name,
        "source": dict(record.source),
        "graph_hash": record.measurement.graph_hash,
        "plan_hash": record.measurement.plan_hash,
        "planner": record.plan.planner,
        **measurement_to_columns(record.measurement),
        "kernels": [] if kernels == [[index] for index in range(len(kernels))] else kernels,
        "graph": _graph_to_columns(record.graph),
        "plan_graph": _graph_to_columns(record.plan.graph),
    }


def measurement_to_columns(measurement: Measurement) -> dict[str, Any]:
    """Times, verdict and date; :func:`measurement_from_columns` reads them. Hashes and fingerprint are the caller's."""
    parts = [thirds(time.samples_us) for time in measurement.kernels]
    return {
        "protocol": measurement.protocol_version,
        "verdict": measurement.verdict,
        "reason": measurement.reason,
        "at": measurement.measured_at,
        "samples": [_ticks(sample) for sample in measurement.samples_us],
        "reference": [_ticks(sample) for sample in measurement.reference_us],
        "timed": _unless_counting([time.kernel for time in measurement.kernels]),
        "middle": [_ticks(middle) for _, middle, _ in parts],
        "low": [_ticks(middle) - _ticks(low) for low, middle, _ in parts],
        "high": [_ticks(high) - _ticks(middle) for _, middle, high in parts],
    }


def record_from_line(
    line: Mapping[str, Any], profile_id: str, fingerprint: tuple[tuple[str, str], ...]
) -> LatencyRecord:
    """Read what :func:`record_to_line` wrote. Hashes are taken as they stand: adding to a database checks them.

    ``earlier`` is left empty: dataset.py, which knows the environments, reads those.

    Raises:
        DatabaseError: a field is missing or of the wrong kind, or graph and plan do not fit together.
    """
    try:
        name = str(line["name"])
        plan_graph = _graph_from_columns(line["plan_graph"], name)
        kernels = line["kernels"] or [[index] for index in range(len(plan_graph.nodes))]
        return LatencyRecord(
            graph=_graph_from_columns(line["graph"], name),
            plan=FusionPlan(
                plan_graph, tuple(tuple(int(index) for index in kernel) for kernel in kernels), str(line["planner"])
            ),
            measurement=measurement_from_columns(
                line, str(line["graph_hash"]), str(line["plan_hash"]), profile_id, fingerprint
            ),
            family=str(line["family"]),
            name=name,
            source=dict(line["source"]),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, FrontendError) as error:
        raise DatabaseError(f"{error!r}, expected a record as narcost writes it") from error


def thirds(samples: Sequence[float]) -> tuple[float, float, float]:
    """Means of the lower, middle and upper third of the samples; their mean is that of all of them.

    A sample on a border counts in part on either side. The middle one is a robust centre, and finer than the clock
    where many samples were taken with a coarse one (ONNX Runtime's profiler counts whole microseconds).
    """
    ordered = sorted(samples)
    share = len(ordered) / 3
    sums = [0.0, 0.0, 0.0]
    for index, sample in enumerate(ordered):
        for part in range(3):
            inside = min(index + 1.0, (part + 1) * share) - max(float(index), part * share)
            sums[part] += max(0.0, inside) * sample
    low, middle, high = (total / share for total in sums) if share else (0.0, 0.0, 0.0)
    return low, middle, high


def _ticks(time_us: float) -> int:
    return round(time_us * _TICKS_A_US)


def _unless_counting(indices: list[int]) -> list[int] | int:
    """The indices, or only their count where they count from 0."""
    return len(indices) if indices == list(range(len(indices))) else indices


def measurement_from_columns(
    line: Mapping[str, Any],
    graph_hash: str,
    plan_hash: str,
    profile_id: str,
    fingerprint: tuple[tuple[str, str], ...],
) -> Measurement:
    """What :func:`measurement_to_columns` wrote."""
    timed = range(line["timed"]) if isinstance(line["timed"], int) else line["timed"]
    columns = zip(timed, line["middle"], line["low"], line["high"], strict=True)
    kernels = [
        [kernel, (middle - low) / _TICKS_A_US, middle / _TICKS_A_US, (middle + high) / _TICKS_A_US]
        for kernel, middle, low, high in columns
    ]
    return Measurement.from_json(
        {
            "graph_hash": graph_hash,
            "plan_hash": plan_hash,
            "profile_id": profile_id,
            "samples_us": [sample / _TICKS_A_US for sample in line["samples"]],
            "reference_us": [sample / _TICKS_A_US for sample in line["reference"]],
            "kernels": kernels,
            "fingerprint": fingerprint,
            "protocol_version": line["protocol"],
            "verdict": line["verdict"],
            "reason": line["reason"],
            "measured_at": line["at"],
        }
    )


def _graph_to_columns(graph: OpGraph) -> dict[str, Any]:
    types: dict[TensorType, int] = {}
    attributes: dict[str, tuple[int, dict[str, Any]]] = {}
    read = 0  # parameters that were read in order so far

    def type_index(kind: TensorType) -> int:
        return types.setdefault(kind, len(types))

    def edge(reader: int, found: Edge) -> int | list[int]:
        nonlocal read
        if found.source == PARAMETER and found.slot == read:
            read += 1
            return _NEXT_PARAMETER
        if found.source < 0:
            return [found.source, found.slot]
        return reader - found.source if found.slot == 0 else [reader - found.source, found.slot]

    columns: dict[str, Any] = {
        "inputs": [type_index(kind) for _, kind in graph.inputs],
        "parameters": [type_index(kind) for _, kind in graph.parameters],
        "ops": [node.op for node in graph.nodes],
        "attributes": [
            # repr tells 1 from 1.0, which equality does not, and the hash does
            attributes.setdefault(repr(node.attributes), (len(attributes), dict(node.attributes)))[0]
            for node in graph.nodes
        ],
        "edges": [[edge(index, found) for found in node.inputs] for index, node in enumerate(graph.nodes)],
        "types": [[type_index(kind) for kind in node.outputs] for node in graph.nodes],
        "outputs": [[found.source, found.slot] for found in graph.outputs],
    }
    columns["type_table"] = [[kind.dtype, *kind.shape] for kind in types]
    columns["attribute_table"] = [values for _, values in attributes.values()]
    return columns


def _graph_from_columns(columns: Mapping[str, Any], name: str) -> OpGraph:
    types = [TensorType(tuple(int(n) for n in shape), str(dtype)) for dtype, *shape in columns["type_table"]]
    attributes = [
        tuple((str(key), tuple(value) if isinstance(value, list) else value) for key, value in sorted(values.items()))
        for values in columns["attribute_table"]
    ]
    read = 0

    def edge(reader: int, code: int | list[int]) -> Edge:
        nonlocal read
        if code == _NEXT_PARAMETER:
            read += 1
            return Edge(PARAMETER, read - 1)
        source, slot = (code, 0) if isinstance(code, int) else code
        if source in (GRAPH_INPUT, PARAMETER):
            return Edge(source, slot)
        return Edge(reader - source, slot)

    rows = zip(columns["ops"], columns["attributes"], columns["edges"], columns["types"], strict=True)
    nodes = tuple(
        OpNode(
            op=str(op),
            inputs=tuple(edge(index, code) for code in edges),
            outputs=tuple(types[kind] for kind in kinds),
            attributes=attributes[attribute],
        )
        for index, (op, attribute, edges, kinds) in enumerate(rows)
    )
    return OpGraph(
        name=name,
        nodes=nodes,
        inputs=tuple((f"input{slot}", types[kind]) for slot, kind in enumerate(columns["inputs"])),
        parameters=tuple((f"parameter{slot}", types[kind]) for slot, kind in enumerate(columns["parameters"])),
        outputs=tuple(Edge(int(source), int(slot)) for source, slot in columns["outputs"]),
    )
