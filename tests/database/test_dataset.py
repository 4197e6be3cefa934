"""The dataset file: what is kept, what is stated to be lost, and every way in which a file can be broken."""

import dataclasses
import json
import lzma
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, OpNode, TensorType
from relay_frontend.plan import FusionPlan
from tvm_narcost.database import KernelTime, LatencyRecord, Measurement
from tvm_narcost.database.compact import record_from_line, record_to_line, thirds
from tvm_narcost.database.dataset import read_dataset, read_header, write_dataset
from tvm_narcost.errors import DatabaseError

FINGERPRINT = (("cpu_model", "test"), ("load_average", "0.5"), ("onnx", "1"))


def graph(width: int = 8) -> OpGraph:
    """Two inputs, shared and unused parameters, two outputs of one node, every kind of attribute."""
    row, scalar = TensorType((1, width), "float32"), TensorType((), "int64")
    nodes = (
        OpNode("Gemm", (Edge(GRAPH_INPUT, 1), Edge(PARAMETER, 0), Edge(PARAMETER, 1)), (row,), (("alpha", 1.0),), "a"),
        OpNode("Gemm", (Edge(0), Edge(PARAMETER, 3), Edge(PARAMETER, 1)), (row,), (("alpha", 1),), "b"),
        OpNode("TopK", (Edge(1), Edge(PARAMETER, 0)), (row, scalar), (("axes", (1, 2)), ("mode", "x")), "c"),
        OpNode("Add", (Edge(2, 1), Edge(GRAPH_INPUT, 0), Edge(0)), (scalar,), (("scale", (0.1, float("inf"))),), "d"),
    )
    parameters = tuple((f"w{slot}", TensorType((width, slot + 1), "float32")) for slot in range(5))
    return OpGraph("g", nodes, (("x", row), ("y", scalar)), parameters, (Edge(3), Edge(2, 0), Edge(GRAPH_INPUT, 1)))


def record(
    width: int = 8, kernels: tuple[tuple[int, ...], ...] = ((0,), (1, 3), (2,)), **changes: Any
) -> LatencyRecord:
    network = graph(width)
    plan = FusionPlan(network, kernels, "tvm")
    times = tuple(KernelTime(index, (5.0, 1.0, 3.0, 2.0, 4.0, 6.0)) for index in range(len(kernels)))
    measurement = Measurement(
        network.structural_hash(), plan.plan_hash(), "test.fake", (10.123, 11.0), (1.0, 1.016), times, FINGERPRINT, 1,
        "noisy", "IQR", "2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    measurement = dataclasses.replace(measurement, **changes)
    return LatencyRecord(network, plan, measurement, "family", "family-1", {"zoo": "family", "seed": 1})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "latency.jsonl.xz"


@pytest.mark.parametrize("kernels", [((0,), (1,), (2,), (3,)), ((0,), (1, 3), (2,)), ((3,), (0, 1, 2))])
def test_what_is_written_is_read(path: Path, kernels: tuple[tuple[int, ...], ...]) -> None:
    written = record(kernels=kernels)
    assert write_dataset([written], path, provenance={"command": "c"}) == 1
    (read,) = read_dataset(path)
    assert read.graph.structural_hash() == written.measurement.graph_hash
    assert read.plan.plan_hash() == written.measurement.plan_hash
    assert read.plan.kernels == kernels
    lost: dict[str, Any] = {
        "samples_us": (10.12, 11.0),
        "reference_us": (1.0, 1.02),
        "kernels": read.measurement.kernels,
    }
    assert read.measurement == dataclasses.replace(written.measurement, **lost)
    assert {time.samples_us for time in read.measurement.kernels} == {(1.5, 3.5, 5.5)}
    for field in ("family", "name", "source"):
        assert getattr(read, field) == getattr(written, field)


def test_an_attribute_keeps_its_type(path: Path) -> None:
    write_dataset([record()], path, provenance={})
    (read,) = read_dataset(path)
    alphas = [dict(node.attributes)["alpha"] for node in read.graph.nodes[:2]]
    assert [type(alpha) for alpha in alphas] == [float, int]


def test_kernels_that_were_not_timed_stay_out(path: Path) -> None:
    write_dataset([record(kernels=((0,), (1,), (2, 3)))], path, provenance={})
    sparse = record()
    times = (KernelTime(2, (7.0,)), KernelTime(0, (0.5,)))
    sparse = dataclasses.replace(sparse, measurement=dataclasses.replace(sparse.measurement, kernels=times))
    write_dataset([sparse, record(kernels=((0, 1, 2, 3),))], path, provenance={})
    first, second = read_dataset(path)
    assert first.measurement.kernels == (KernelTime(2, (7.0, 7.0, 7.0)), KernelTime(0, (0.5, 0.5, 0.5)))
    assert [time.kernel for time in second.measurement.kernels] == [0]


def test_a_change_of_environment_in_the_middle(path: Path) -> None:
    fingerprints = [(("cpu_model", name), ("load_average", str(load))) for load, name in enumerate("aabba")]
    records = [record(fingerprint=fingerprint) for fingerprint in fingerprints]
    write_dataset(records, path, provenance={})
    assert [read.measurement.fingerprint for read in read_dataset(path)] == fingerprints
    assert lzma.decompress(path.read_bytes()).count(b'"environment"') == 3


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=40))
def test_thirds_keep_mean_and_order(samples: list[float]) -> None:
    low, middle, high = thirds(samples)
    assert statistics.fmean((low, middle, high)) == pytest.approx(statistics.fmean(samples))
    slack = 1e-9 * high
    assert min(samples) - slack <= low <= middle + slack <= high + 2 * slack <= max(samples) + 3 * slack


def test_thirds_shrug_off_an_outlier_and_refine_a_coarse_clock() -> None:
    assert thirds([3.0] * 5 + [900.0])[1] == 3.0
    assert thirds([3.0, 3.0, 3.0, 4.0, 4.0, 3.0, 4.0, 4.0, 3.0])[1] == pytest.approx(10 / 3)


def twice(**changes: Any) -> LatencyRecord:
    """A stable record that has an earlier stable measurement, with ``changes``."""
    current = record(verdict="stable", reason="", measured_at="2026-01-02T00:00:00+00:00")
    earlier = record(verdict="stable", reason="", samples_us=(12.25,), reference_us=(1.0,), **changes).measurement
    return dataclasses.replace(current, earlier=(earlier,))


@pytest.mark.parametrize("fingerprint", [FINGERPRINT, (("cpu_model", "other"), ("load_average", "0.1"))])
def test_earlier_measurements_are_read_with_their_environment(
    path: Path, fingerprint: tuple[tuple[str, str], ...]
) -> None:
    written = twice(fingerprint=fingerprint)
    write_dataset([written, record(9)], path, provenance={})
    first, second = read_dataset(path)
    assert [dataclasses.replace(found, kernels=()) for found in first.earlier] == [
        dataclasses.replace(found, kernels=()) for found in written.earlier
    ]
    assert [time.samples_us for time in first.earlier[0].kernels] == [(1.5, 3.5, 5.5)] * 3
    assert first.measurement.fingerprint == FINGERPRINT
    assert second.measurement.fingerprint == FINGERPRINT
    assert second.earlier == ()
    assert lzma.decompress(path.read_bytes()).count(b'"ops"') == 4  # the graphs are there once a network


def test_a_file_of_the_first_version_is_read(path: Path) -> None:
    write_dataset([record()], path, provenance={})
    path.write_bytes(_edit(lambda lines: lines[0].update(version=1))(path.read_bytes()))
    (read,) = read_dataset(path)
    assert read.measurement.graph_hash == record().measurement.graph_hash
    assert read.earlier == ()


@pytest.mark.parametrize("earlier", [5, [5], ["abc"], [{}], {"a": 1}, [{"conditions": [], "environment": 3}]])
def test_earlier_measurements_that_are_broken_are_refused(path: Path, earlier: Any) -> None:
    write_dataset([twice()], path, provenance={})
    path.write_bytes(_edit(lambda lines: lines[2].update(earlier=earlier))(path.read_bytes()))
    with pytest.raises(DatabaseError, match="line 3: .*get a fresh copy"):
        list(read_dataset(path))


def test_an_earlier_measurement_that_is_not_stable_is_refused(path: Path) -> None:
    write_dataset([twice()], path, provenance={})
    path.write_bytes(_edit(lambda lines: lines[2]["earlier"][0].update(verdict="noisy"))(path.read_bytes()))
    with pytest.raises(DatabaseError, match="line 3: an earlier measurement is 'noisy', expected 'stable'"):
        list(read_dataset(path))


def test_the_header_says_where_it_comes_from(path: Path) -> None:
    write_dataset([record()], path, provenance={"command": "narcost database export", "machine": {"cores": 2}})
    header = read_header(path)
    assert header.profile_id == "test.fake"
    assert header.provenance == {"command": "narcost database export", "machine": {"cores": 2}}


def test_the_same_records_make_the_same_bytes(path: Path) -> None:
    write_dataset([record(), record(9)], path, provenance={})
    first = path.read_bytes()
    write_dataset([record(), record(9)], path, provenance={})
    assert path.read_bytes() == first


def test_a_failed_write_leaves_the_old_file(path: Path) -> None:
    write_dataset([record()], path, provenance={})
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="write one file a profile"):
        write_dataset([record(), record(profile_id="test.other")], path, provenance={})
    with pytest.raises(DatabaseError, match="no records to write"):
        write_dataset([], path, provenance={})
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def _edit(change: Callable[[list[Any]], object]) -> Callable[[bytes], bytes]:
    def apply(content: bytes) -> bytes:
        lines = [json.loads(line) for line in lzma.decompress(content).splitlines()]
        change(lines)
        return lzma.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[: len(content) // 2], "truncated"),
        (lambda content: b"", "truncated"),
        (lambda content: content + b"more", "goes on after its end"),
        (lambda content: b"PK" + content, "expected an xz file"),
        (lambda content: content[:200] + bytes([content[200] ^ 255]) + content[201:], "get a fresh copy"),
        (lambda content: lzma.compress(b""), "is empty"),
        (lambda content: lzma.compress(b"[]\n"), "got list, expected an object"),
        (lambda content: lzma.compress(b"{}\n"), "expected 'narcost-dataset'"),
        (lambda content: lzma.compress(b"[" * 100_000 + b"\n"), "expected JSON"),
        (lambda content: lzma.compress(lzma.decompress(content)[:-1]), "does not end"),
        (_edit(lambda lines: lines[0].update(version=99)), "version 99, expected at most 2; upgrade"),
        (_edit(lambda lines: lines[0].pop("profile")), r"lacks \['profile'\]"),
        (_edit(lambda lines: lines.pop()), "got 1 records, expected None"),
        (_edit(lambda lines: lines.pop(2)), "got 0 records, expected 1"),
        (_edit(lambda lines: lines.append({"records": 1})), "goes on after its last line"),
        (_edit(lambda lines: lines[2].pop("graph")), "line 3: KeyError"),
        (_edit(lambda lines: lines[2].update(kernels=[[0], [0]])), "line 3: PlanError"),
        (_edit(lambda lines: lines[2].update(verdict="fine")), "line 3: .*verdict 'fine'"),
        (_edit(lambda lines: lines[2].update(samples="abc")), "line 3: "),
        (_edit(lambda lines: lines[2]["graph"].update(types=[[99]])), "line 3: "),
        (_edit(lambda lines: lines[2]["graph"]["edges"].__setitem__(0, [-3])), "line 3: InvalidGraphError"),
        (_edit(lambda lines: lines[2]["graph"]["edges"].pop()), "line 3: ValueError"),
    ],
)
def test_a_broken_file_is_refused(path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    write_dataset([record()], path, provenance={})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatabaseError, match=message):
        list(read_dataset(path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"No such file.*check the path"):
        read_dataset(tmp_path / "none")


def test_a_bomb_is_refused_in_bounded_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tvm_narcost.database import dataset

    monkeypatch.setattr(dataset, "_MAX_TEXT_BYTES", 2**22)
    path.write_bytes(lzma.compress(b"\n" * 2**23, preset=0))
    with pytest.raises(DatabaseError, match="more than 4194304 bytes"):
        list(dataset._text_lines(path))
    monkeypatch.setattr(dataset, "_MAX_LINE_BYTES", 2**20)
    path.write_bytes(lzma.compress(b" " * (2**21 + 2**20), preset=0))
    with pytest.raises(DatabaseError, match="a line of more than"):
        list(dataset._text_lines(path))


@st.composite
def graphs(draw: st.DrawFn) -> OpGraph:
    """Any well-formed graph: every edge goes back to a node, an input or a parameter."""
    kind = st.builds(
        TensorType, st.lists(st.integers(0, 9), max_size=4).map(tuple), st.sampled_from(["float32", "int64"])
    )
    inputs = draw(st.lists(kind, min_size=1, max_size=2))
    parameters = draw(st.lists(kind, max_size=4))
    values = st.one_of(
        st.integers(-9, 9),
        st.floats(allow_nan=False),
        st.text(max_size=3),
        st.lists(st.integers(-9, 9), max_size=3).map(tuple),
    )
    nodes: list[OpNode] = []
    edges = [Edge(GRAPH_INPUT, slot) for slot in range(len(inputs))]
    edges += [Edge(PARAMETER, slot) for slot in range(len(parameters))]
    for index in range(draw(st.integers(0, 6))):
        outputs = tuple(draw(st.lists(kind, min_size=1, max_size=2)))
        attributes = draw(st.dictionaries(st.sampled_from("abc"), values, max_size=2))
        reads = tuple(draw(st.lists(st.sampled_from(edges), max_size=3)))
        nodes.append(OpNode(draw(st.sampled_from(["Conv", "Add"])), reads, outputs, tuple(sorted(attributes.items()))))
        edges += [Edge(index, slot) for slot in range(len(outputs))]
    return OpGraph(
        "g",
        tuple(nodes),
        tuple((f"input{slot}", found) for slot, found in enumerate(inputs)),
        tuple((f"parameter{slot}", found) for slot, found in enumerate(parameters)),
        tuple(draw(st.lists(st.sampled_from(edges), max_size=2))),
    )


@given(graphs())
def test_any_graph_survives_but_for_its_names(network: OpGraph) -> None:
    plan = FusionPlan(network, tuple((index,) for index in range(len(network.nodes))), "rules")
    measurement = dataclasses.replace(record().measurement, kernels=())
    written = LatencyRecord(network, plan, measurement, "family", "g", {})
    line = json.loads(json.dumps(record_to_line(written)))
    read = record_from_line(line, measurement.profile_id, measurement.fingerprint)
    assert (read.graph, read.plan) == (network, plan)
    assert read.graph.structural_hash() == network.structural_hash()
