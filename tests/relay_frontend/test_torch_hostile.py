"""Damaged and malicious .pt2 files: a graph or a typed error, in bounded time and memory."""

import io
import json
import os
import resource
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay_frontend.errors import FrontendError, InvalidGraphError, LimitError, ModelFileError
from relay_frontend.limits import Limits
from relay_frontend.passes import canonicalize
from relay_frontend.torch_export import archive, read_pt2
from tests.relay_frontend.torch_documents import document, node, save_document, tensor


def valid() -> dict[str, Any]:
    nodes = [
        node("conv2d", {"input": "x", "weight": "w", "padding": {"as_ints": [1, 1]}, "groups": {"as_int": 1}}, "c"),
        node("torch.ops.aten.add.Tensor", {"self": "c", "other": {"as_float": 0.5}, "alpha": {"as_int": 2}}, "a"),
        node("torch.ops.aten.mean.dim", {"self": "a", "dim": {"as_ints": [2, 3]}, "keepdim": {"as_bool": True}}, "m"),
        node("torch.ops.aten.cat.default", {"tensors": {"as_tensors": [{"name": "m"}, {"name": "m"}]},
                                            "dim": {"as_int": 1}}, "y"),
    ]  # fmt: skip
    image = tensor(1, 8, 16, 16)
    values = {"x": tensor(1, 3, 16, 16), "w": tensor(8, 3, 3, 3), "c": image, "a": image, "m": tensor(1, 8, 1, 1),
              "y": tensor(1, 16, 1, 1)}  # fmt: skip
    return document(nodes, values, parameters=("w",))


def survives(path: Path) -> None:
    started = time.process_time()
    try:
        graph = canonicalize(read_pt2(path))
        graph.to_json()
        graph.structural_hash()
    except FrontendError as error:
        assert str(error)
    assert time.process_time() - started < 2.0


def archived(content: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("net/models/model.json", json.dumps(content))
    return stream.getvalue()


CONTENT = archived(valid())
TEXT = json.dumps(valid())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(CONTENT) - 1))
def test_a_truncated_archive(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.pt2"
    path.write_bytes(CONTENT[:size])

    with pytest.raises(ModelFileError):
        read_pt2(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=8))
@example([(0, 255)])
def test_an_archive_with_damaged_bytes(tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]) -> None:
    content = bytearray(CONTENT)
    for place, value in damage:
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.pt2"
    path.write_bytes(content)
    survives(path)


VALUES = st.sampled_from(
    [None, True, -1, 0, 3, 2**31, 2**63, -(2**63), 10**18, 10**400, 0.5, "x", "c", "nothing", [], [0], [1, 1], [-5],
     {}, {"as_int": 10**18}, {"as_ints": [10**18, -1]}, {"as_none": True}, {"as_tensor": {"name": "y"}},
     {"as_float": "Infinity"}, {"as_string": "constant"}]
)  # fmt: skip


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in items for found in places(item, (*path, key)))]


PLACES = places(valid())[1:]


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=3))
def test_a_program_with_damaged_values(tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[Any, Any]]) -> None:
    content: Any = valid()
    for (*path, last), value in damage:
        inner = content
        for key in path:
            if not isinstance(inner, dict | list) or (isinstance(inner, dict) and key not in inner):
                break
            if isinstance(inner, list) and not (isinstance(key, int) and key < len(inner)):
                break
            inner = inner[key]
        else:
            if isinstance(inner, dict) or (isinstance(inner, list) and isinstance(last, int) and last < len(inner)):
                inner[last] = value
    survives(save_document(tmp_path_factory.getbasetemp() / "damaged.pt2", content))


OPERATORS = ("_softmax", "addmm", "avg_pool2d", "bmm", "chunk", "constant_pad_nd", "convolution", "cumsum", "embedding",
             "expand", "flatten", "flip", "gather", "group_norm", "index", "index_put", "layer_norm", "linear", "lstm",
             "max_pool2d", "meshgrid", "native_batch_norm", "one_hot", "permute", "pixel_shuffle", "pixel_unshuffle",
             "repeat", "repeat_interleave", "roll", "scaled_dot_product_attention", "select", "select_scatter", "slice",
             "slice_scatter", "split", "squeeze", "stack", "topk", "transpose", "unbind", "unfold", "unsqueeze",
             "upsample_bilinear2d", "var", "view")  # fmt: skip
NAMES = ("self", "input", "weight", "bias", "dim", "other", "mat1", "mat2", "index", "indices", "kernel_size", "stride",
         "padding", "pad", "dims", "shifts", "size", "normalized_shape", "num_groups", "start", "end", "step", "k",
         "query", "key", "value", "repeats", "tensors", "params", "hx", "num_layers", "upscale_factor", "src", "values",
         "downscale_factor", "groups", "scale_factors", "dim0", "dim1", "dimension", "start_dim",
         "end_dim")  # fmt: skip
ARGUMENTS = st.one_of(
    st.sampled_from([{"as_tensor": {"name": name}} for name in "xw"]),
    st.sampled_from([-1, 0, 1, 2, 7, 2**40, -(2**63), 2**63 - 1]).map(lambda value: {"as_int": value}),
    st.lists(st.sampled_from([-1, 0, 1, 2, 2**40]), max_size=5).map(lambda values: {"as_ints": values}),
    st.lists(st.sampled_from(["x", "w"]), max_size=3).map(
        lambda names: {"as_tensors": [{"name": name} for name in names]}
    ),
    st.just({"as_floats": [2.0, 0.5]}),
)


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(OPERATORS),
    st.dictionaries(st.sampled_from(NAMES), ARGUMENTS, max_size=6),
    st.lists(st.sampled_from([0, 1, 2, 5, 2**20]), max_size=5),
    st.integers(1, 3),
)
def test_operators_with_arguments_that_make_no_sense(
    tmp_path_factory: pytest.TempPathFactory, op: str, arguments: dict[str, Any], shape: list[int], results: int
) -> None:
    arguments = {"self": {"as_tensor": {"name": "x"}}, "input": {"as_tensor": {"name": "x"}}, **arguments}
    made = [f"y{place}" for place in range(results)]
    values = {"x": tensor(*shape), "w": tensor(2, 2), **{name: tensor(*shape) for name in made}}
    content = document([node(op, arguments, *made)], values, parameters=("w",), outputs=tuple(made))
    survives(save_document(tmp_path_factory.getbasetemp() / "damaged.pt2", content))


def changed(*path: Any, value: Any) -> dict[str, Any]:
    content = valid()
    inner: Any = content["graph_module"]["graph"]
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (changed("tensor_values", "x", "sizes", 0, value={"as_int": 10**18}), LimitError, "at most 1099511627776 elem"),
        (changed("tensor_values", "x", "sizes", 0, value={"as_int": -3}), InvalidGraphError, "extents of 0 or more"),
        (changed("tensor_values", "x", "sizes", value=[{"as_int": 1}] * 65), LimitError, "has 65 dimensions"),
        (changed("tensor_values", "x", "dtype", value=99), InvalidGraphError, "has dtype 99"),
        (changed("nodes", 0, "inputs", 0, "arg", value={"as_tensor": {"name": "m"}}), InvalidGraphError, "reads? 'm'"),
        (changed("nodes", 3, "target", value=7), InvalidGraphError, "has target=7"),
        (changed("nodes", 2, "inputs", 1, "arg", value={"as_ints": [9]}), InvalidGraphError, "axes of 4 dimensions"),
        (changed("nodes", 1, "inputs", 1, "arg", value={"as_float": "NaN"}), InvalidGraphError, "expected a number"),
        (TEXT.replace("0.5", "NaN"), ModelFileError, "it holds NaN"),
        ("[" * 100_000, ModelFileError, "describes no network"),
        ("{}", InvalidGraphError, "has schema_version=None"),
        ("[]", ModelFileError, "describes a list"),
        ("", ModelFileError, "describes no network"),
        (b"\xff\xfe\x00", ModelFileError, "describes no network"),
        ("9" * 5000, ModelFileError, "describes no network"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, kind: type[FrontendError], message: str) -> None:
    with pytest.raises(kind, match=message):
        read_pt2(save_document(tmp_path / "net.pt2", content))


@pytest.mark.parametrize("entry", ["../models/model.json", "/models/model.json", "a/../model.json", "C:/models/m.json"])
def test_an_entry_that_leaves_the_archive(tmp_path: Path, entry: str) -> None:
    with pytest.raises(ModelFileError, match="that leaves the archive"):
        read_pt2(save_document(tmp_path / "net.pt2", valid(), entry=entry))


def test_an_archive_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"describes 0 exported programs \(none\), expected one"):
        read_pt2(save_document(tmp_path / "net.pt2", valid(), entry="net/data/aotinductor/model/model.json"))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"\x80\x02}q\x00.", "starts with"), (b"PK\x03\x04", "starts with b'PK")],
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(content)

    with pytest.raises(ModelFileError, match=message):
        read_pt2(path)


def test_a_gigabyte_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "zeros.pt2"
    path.touch()
    os.truncate(path, 2**30)  # sparse: takes no room

    with pytest.raises(ModelFileError, match="expected the zip archive"):
        read_pt2(path)


def test_a_zip_bomb_is_read_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_DOCUMENT_BYTES", 2**20)
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("net/models/model.json", b" " * 2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(LimitError, match="more than 1048576 bytes"):
        read_pt2(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**15  # KiB


def test_a_document_that_would_fill_the_memory_is_not_parsed(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="takes some [0-9]+ bytes to describe"):
        read_pt2(save_document(tmp_path / "net.pt2", "[" + "{}," * 1_300_000 + "{}]"))


def test_a_list_of_entries_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    content = bytearray(CONTENT)
    end = content.rfind(b"PK\x05\x06")
    content[end + 12 : end + 16] = struct.pack("<I", 2**31)
    path.write_bytes(content)

    with pytest.raises(LimitError, match="lists 2147483648 bytes of entries"):
        read_pt2(path)


def test_limits_hold(tmp_path: Path) -> None:
    path = save_document(tmp_path / "net.pt2", valid())

    with pytest.raises(LimitError, match="has 4 nodes, expected at most 3"):
        read_pt2(path, limits=Limits(nodes=3))
    with pytest.raises(LimitError, match="bytes, expected at most 100"):
        read_pt2(path, limits=Limits(file_bytes=100))


def test_graphs_within_graphs_have_an_end(tmp_path: Path) -> None:
    graph: dict[str, Any] = {"inputs": [], "outputs": [], "nodes": [], "tensor_values": {}}
    for _ in range(70):
        call = node("torch.ops.higher_order.wrap_with_autocast", {"0": {"as_graph": {"name": "g", "graph": graph}}})
        graph = {"inputs": [], "outputs": [], "nodes": [call], "tensor_values": {}}
    content = document([call], {"x": tensor(1), "y": tensor(1)})

    with pytest.raises(LimitError, match="nested 65 deep"):
        read_pt2(save_document(tmp_path / "net.pt2", content))
