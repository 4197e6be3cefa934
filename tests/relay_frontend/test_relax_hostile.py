"""Damaged and malicious Relax files: a graph or a typed error, in bounded time and memory."""

import json
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_frontend.errors import FrontendError, InvalidGraphError, LimitError, ModelFileError
from relay_frontend.limits import Limits
from relay_frontend.passes import canonicalize
from relay_frontend.relax import document, read_relax_json
from tests.relay_frontend.relax_fixture import FOLDER

TEXT = {name: (FOLDER / f"{name}.json").read_text() for name in ("high", "kernels")}
MOST_SECONDS, MOST_BYTES = 5.0, 500 * 10**6


def survives(path: Path) -> None:
    started = time.process_time()
    try:
        canonicalize(read_relax_json(path).graph).structural_hash()
    except FrontendError as error:
        assert str(error)
    assert time.process_time() - started < MOST_SECONDS


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "hostile.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def node_of(content: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(node for node in content["nodes"] if node["type"] == kind)
    return found


def grown(*nodes: tuple[str, Any]) -> str:
    """The high-level module with these nodes before its root, and the last of them as the type of its input."""
    content = json.loads(TEXT["high"])
    root = content["nodes"].pop()
    content["nodes"] += [{"type": kind, "data": data} for kind, data in nodes]
    last = len(content["nodes"]) - 1
    # References go backwards only, so the input and all that reads it would have to move; a second input does as well.
    count = last + 1
    content["nodes"].append({"type": "ffi.String", "data": "extra"})
    content["nodes"].append({"type": "ir.Var", "data": {"ty": last, "name": count}})
    content["nodes"].append({"type": "ffi.Array", "data": [count + 1]})
    function = dict(node_of(content, "relax.expr.Function")["data"], params=count + 2, attrs=0)
    content["nodes"].append({"type": "relax.expr.Function", "data": function})
    main = content["nodes"].index(node_of(content, "ir.GlobalVar"))
    content["nodes"].append({"type": "ffi.Map", "data": [main, count + 3]})
    content["nodes"].append({"type": "ir.IRModule", "data": {**root["data"], "functions": count + 4}})
    return json.dumps({**content, "root_index": count + 5})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\x08\x07\x12\x04onnx", "does not begin as JSON does"),
        (b"{", "no JSON or is truncated"),
        (b"[]", "JSON without nodes"),
        (b'{"nodes": [], "root_index": 0}', "refers to node 0, expected one before it"),
        (b'{"nodes": [1], "root_index": 0}', "has no type"),
        (b'{"nodes": [{"type": "ffi.Array", "data": [0]}], "root_index": 0}', "node 0 refers to node 0"),
        (b'{"nodes": [{"type": "ffi.Array", "data": "x"}], "root_index": 0}', "is a Array of str"),
        (b'{"nodes": [{"type": "ir.IRModule"}], "root_index": 0}', "has no field 'functions'"),
        (b"\xff\xfe{}", "does not begin as JSON does"),
        (b'{"nodes": "\xff"}', "cannot read"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"nodes":' + b"9" * 5000 + b"}", "no JSON or is truncated"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_module_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises((InvalidGraphError, LimitError, ModelFileError), match=reason):
        read_relax_json(written(tmp_path, content))


def test_missing_file_and_folder_are_told_apart_from_damage(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file"):
        read_relax_json(tmp_path / "missing.json")
    with pytest.raises(ModelFileError, match="Is a directory"):
        read_relax_json(tmp_path)


def test_gigabyte_of_zeros_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "zeros.json"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 10**9)
    tracemalloc.start()
    with pytest.raises(ModelFileError, match="does not begin as JSON does"):
        read_relax_json(path)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


@pytest.mark.parametrize("piece", ["[],", "{},", '"",', '{"a":0},', "1e5,"])
def test_bomb_of_small_values_is_counted_before_it_is_parsed(
    tmp_path: Path, piece: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is let pass takes no more than was counted; what is counted too high is refused unparsed."""
    monkeypatch.setattr(document, "MAX_OBJECT_BYTES", 4 * 10**6)
    for count, refused in ((100_000, True), (10_000, False)):
        text = '{"nodes": [' + piece * count + "0]}"
        tracemalloc.start()
        with pytest.raises(LimitError if refused else ModelFileError):
            document.parse_module(text, "bomb")
        assert tracemalloc.get_traced_memory()[1] < 4 * 10**6
        tracemalloc.stop()


def test_text_beside_the_weights_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_TEXT_BYTES", 10_000)
    with pytest.raises(LimitError, match="bytes beside its weights, expected at most 10000"):
        read_relax_json(written(tmp_path, TEXT["high"]))
    with pytest.raises(LimitError, match="or a fourth where it is not all ASCII"):
        read_relax_json(written(tmp_path, '{"nodes": ["é' + "x" * 3000 + '"]}'))


@pytest.mark.parametrize("extent", [10**18, -1, 2**63, 10**400])
def test_extents_that_no_tensor_has_are_refused(tmp_path: Path, extent: int) -> None:
    content = json.loads(TEXT["high"])
    for node in content["nodes"]:
        if node["type"] == "int" and node["data"] == 8:
            node["data"] = extent
    with pytest.raises((InvalidGraphError, LimitError), match="elements|extents of 0 or more"):
        read_relax_json(written(tmp_path, json.dumps(content)))


def test_types_that_unfold_without_end_are_stopped(tmp_path: Path) -> None:
    """A tuple of two of a tuple of two ..., sixty times: 2^60 tensors in 120 nodes."""
    start = len(json.loads(TEXT["high"])["nodes"]) - 1
    tensor = next(i for i, node in enumerate(json.loads(TEXT["high"])["nodes"]) if node["type"] == "relax.TensorType")
    nodes: list[tuple[str, Any]] = []
    last = tensor
    for _ in range(60):
        nodes.append(("ffi.Array", [last, last]))
        nodes.append(("ir.TupleType", {"fields": start + len(nodes) - 1}))
        last = start + len(nodes) - 1
    started = time.process_time()
    with pytest.raises(LimitError):
        read_relax_json(written(tmp_path, grown(*nodes)))
    assert time.process_time() - started < MOST_SECONDS


def test_dimension_that_unfolds_without_end_is_stopped(tmp_path: Path) -> None:
    """n = m + m, m = k + k ...: sixty sums of one another."""
    base = json.loads(TEXT["high"])["nodes"]
    start = len(base) - 1
    number = next(i for i, node in enumerate(base) if node["type"] == "ir.IntImm")
    single = base[next(i for i, node in enumerate(base) if node["type"] == "relax.TensorType")]["data"]["dtype"]
    nodes: list[tuple[str, Any]] = []
    last = number
    for _ in range(60):
        nodes.append(("prim.Add", {"a": last, "b": last}))
        last = start + len(nodes) - 1
    nodes.append(("ffi.Array", [last]))
    nodes.append(("relax.expr.ShapeExpr", {"values": start + len(nodes) - 1}))
    nodes.append(("relax.TensorType", {"shape": start + len(nodes) - 1, "dtype": single, "ndim": 1}))
    started = time.process_time()
    with pytest.raises(LimitError, match="refer to each other so often"):
        read_relax_json(written(tmp_path, grown(*nodes)))
    assert time.process_time() - started < MOST_SECONDS


def test_function_that_calls_itself_is_stopped(tmp_path: Path) -> None:
    content = json.loads(TEXT["high"])
    main = content["nodes"].index(node_of(content, "ir.GlobalVar"))
    for node in content["nodes"]:
        if node["type"] == "ir.Call":
            node["data"]["op"] = main
    with pytest.raises((InvalidGraphError, LimitError), match=r"a function is nested 65 deep|arguments for 1 param"):
        read_relax_json(written(tmp_path, json.dumps(content)))


def test_limits_are_those_that_are_given(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT["kernels"])
    with pytest.raises(LimitError, match="bytes, expected at most 1000"):
        read_relax_json(path, limits=Limits(file_bytes=1000))
    with pytest.raises(LimitError, match="expected at most 5"):
        read_relax_json(path, limits=Limits(nodes=5))
    with pytest.raises(LimitError, match="elements"):
        read_relax_json(path, limits=Limits(elements=100))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_truncated_files(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = TEXT["high"]
    path = written(tmp_path_factory.getbasetemp(), text[: data.draw(st.integers(0, len(text) - 1))])
    with pytest.raises(ModelFileError):
        read_relax_json(path)


VALUES = st.one_of(
    st.integers(-2, 4000), st.none(), st.booleans(), st.floats(), st.text(max_size=3), st.just(2**70),
    st.lists(st.integers(-1, 300), max_size=3), st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(TEXT)), st.lists(st.tuples(st.integers(0), st.integers(0), VALUES), min_size=1, max_size=4)
)
def test_any_field_of_any_node_may_be_anything(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[int, int, Any]]
) -> None:
    content = json.loads(TEXT[name])
    nodes = content["nodes"]
    for place, part, value in changes:
        node = nodes[place % len(nodes)]
        inner = node.get("data")
        if isinstance(inner, dict) and inner:
            inner[sorted(inner)[part % len(inner)]] = value
        elif isinstance(inner, list) and inner:
            inner[part % len(inner)] = value
        else:
            node[("type", "data")[part % 2]] = value
    survives(written(tmp_path_factory.getbasetemp(), json.dumps(content)))
