"""Damaged, enormous and malicious input: a graph or a typed error, in bounded time."""

import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser

from relay_frontend.errors import FrontendError, InvalidGraphError, LimitError, ModelFileError
from relay_frontend.onnx import from_onnx, read_onnx
from relay_frontend.passes import canonicalize

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
CONTENT = (LIGHT / "light_bvlc_alexnet.onnx").read_bytes()


def survives(content: bytes, folder: Path) -> None:
    path = folder / "damaged.onnx"
    path.write_bytes(content)
    started = time.process_time()
    try:
        graph = canonicalize(read_onnx(path))
        graph.to_json()
        graph.structural_hash()
    except FrontendError as error:
        assert str(error)
    assert time.process_time() - started < 2.0


@settings(max_examples=60)
@given(st.integers(0, len(CONTENT)))
def test_a_truncated_file(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    survives(CONTENT[:size], tmp_path_factory.getbasetemp())


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=12))
@example([(0, 255)])
def test_a_file_with_damaged_bytes(tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]) -> None:
    content = bytearray(CONTENT)
    for place, value in damage:
        content[place] = value
    survives(bytes(content), tmp_path_factory.getbasetemp())


EXTREMES = st.sampled_from([0, -1, 1, 3, 1025, 2**31, 2**40, 2**63 - 1, -(2**31), -(2**63)])


@settings(max_examples=200)
@given(
    st.sampled_from(
        [
            "y = Reshape(x, c)", "y = Expand(x, c)", "y = Slice(x, c, c, a, c)", "y = Tile(x, c)", "y = Pad(x, p)",
            "z = ConstantOfShape(c) y = Concat<axis = 0>(z, z)", "y = Squeeze(x, c)", "y = Unsqueeze(x, c)",
            "z = Range(s, t, s) y = Reshape(x, z)", "z = Gather(c, s) y = Reshape(x, z)", "y, i = TopK(x, k)",
            "y, i = Split(x, c)", "z = Div(c, c) y = Reshape(x, z)", "z = Expand(k, c) y = Reshape(x, z)",
            "z = Slice(c, k, k, k, k) y = Reshape(x, z)", "z = Tile(c, k) y = Reshape(x, z)", "y = ReduceSum(x, c)",
            "y = CumSum(x, s)", "y = OneHot(c, s, f)", "y = Trilu(x, s)", "z = Cast<to = 6>(c) y = Reshape(x, z)",
            "z = Range(s, t, s) y = Add(z, z)", "z = Unsqueeze(c, c) y = Reshape(x, z)",
        ]
    ),
    st.lists(EXTREMES, min_size=1, max_size=4),
    EXTREMES,
    EXTREMES,
)  # fmt: skip
def test_extreme_constants(nodes: str, values: list[int], first: int, second: int) -> None:
    model = helper.make_model(
        parser.parse_graph(f"net (float[2, 3] x) => (float[N] y) {{ {nodes} }}"),
        opset_imports=[helper.make_operatorsetid("", 17)],
    )
    constants = {
        "c": np.array(values), "k": np.array([first]), "a": np.arange(len(values)), "p": np.array((values * 4)[:4]),
        "s": np.array(first), "t": np.array(second), "f": np.array([0.0, 1.0], np.float32),
    }  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    started = time.process_time()
    try:
        canonicalize(from_onnx(model)).structural_hash()
    except FrontendError as error:
        assert str(error)
    assert time.process_time() - started < 1.0


@settings(max_examples=100)
@given(
    st.sampled_from(
        [
            ("LayerNormalization", "axis"), ("Softmax", "axis"), ("Concat", "axis"), ("Flatten", "axis"),
            ("ArgMax", "axis"), ("Gather", "axis"), ("Split", "axis"), ("Split", "num_outputs"), ("LpPool", "p"),
            ("ReduceMean", "noop_with_empty_axes"), ("Cast", "to"), ("Conv", "group"), ("DepthToSpace", "blocksize"),
            ("SpaceToDepth", "blocksize"), ("GatherND", "batch_dims"), ("Shape", "start"), ("EyeLike", "k"),
            ("LRN", "size"), ("Gemm", "transA"),
        ]
    ),
    EXTREMES,
)  # fmt: skip
def test_extreme_attributes(which: tuple[str, str], value: int) -> None:
    op, attribute = which
    inputs = {
        "Conv": ["x", "x"],
        "Gemm": ["m", "m"],
        "Gather": ["x", "i"],
        "GatherND": ["x", "i"],
        "LayerNormalization": ["x", "s"],
    }
    node = helper.make_node(op, inputs.get(op, ["x"]), ["y", "z"] if op == "Split" else ["y"])
    node.attribute.append(helper.make_attribute(attribute, value))
    graph = helper.make_graph(
        [node],
        "net",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4, 4, 4]),
            helper.make_tensor_value_info("m", TensorProto.FLOAT, [4, 4]),
            helper.make_tensor_value_info("i", TensorProto.INT64, [2]),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, [4]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    try:
        from_onnx(helper.make_model(graph, opset_imports=[helper.make_operatorsetid("", 18)]))
    except FrontendError as error:
        assert str(error)


def test_a_file_of_three_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    path.touch()
    os.truncate(path, 3 * 2**30)  # sparse: takes no room

    with pytest.raises(LimitError, match=r"has 3221225472 bytes, expected at most 2147483647"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.onnx", "No such file or directory"), ("", "Is a directory"), ("nul\0.onnx", "null")],
)
def test_a_path_that_is_no_file(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        read_onnx(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"PK\3\4 a zip", "no ONNX model"), (b"\x08\x07", "no graph")]
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)

    with pytest.raises(ModelFileError, match=message):
        read_onnx(path)


def test_external_data_is_never_opened(tmp_path: Path) -> None:
    model = helper.make_model(
        parser.parse_graph("net (float[1, 4] x) => (float[1, 8] y) <float[4, 8] w = {1}> { y = MatMul(x, w) }")
    )
    weight = model.graph.initializer[0]
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../etc/passwd")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())

    assert read_onnx(tmp_path / "net.onnx").parameters[0][1].shape == (4, 8)


def test_an_attribute_that_is_nan_is_refused() -> None:
    model = helper.make_model(parser.parse_graph("net (float[4] x) => (float[4] y) { y = LeakyRelu<alpha = 0.1>(x) }"))
    model.graph.node[0].attribute[0].f = float("nan")

    with pytest.raises(InvalidGraphError, match="LeakyRelu 'y' has an attribute that is NaN"):
        from_onnx(model)


def chain(length: int) -> onnx.ModelProto:
    nodes = [helper.make_node(("Relu", "Exp")[index % 2], [f"v{index}"], [f"v{index + 1}"]) for index in range(length)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("v0", f"v{length}")]
    return helper.make_model(helper.make_graph(nodes, "chain", ends[:1], ends[1:]))


def test_time_is_linear_in_nodes_and_depth_is_no_problem() -> None:
    def seconds(length: int) -> float:
        model = chain(length)
        started = time.process_time()
        graph = canonicalize(from_onnx(model))
        assert len(graph.nodes) == length
        return time.process_time() - started

    small, large = min(seconds(1000) for _ in range(3)), min(seconds(10_000) for _ in range(2))
    assert large < 25 * small  # ten times the nodes; room for a busy machine and the garbage collector


def test_a_light_network_is_read_within_its_budget() -> None:
    path = LIGHT / "light_resnet50.onnx"
    canonicalize(read_onnx(path))

    def seconds() -> float:
        started = time.process_time()
        canonicalize(read_onnx(path))
        return time.process_time() - started

    assert min(seconds() for _ in range(8)) < 0.030
