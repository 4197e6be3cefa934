"""ONNX Runtime's optimised graphs: canonical names, and shapes that agree with its own profiler."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, parser

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import AttributeValue, OpGraph, TensorType
from relay_frontend.onnx import from_onnx, read_onnx

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
DTYPES = {"float": "float32"}


def read(text: str) -> OpGraph:
    opsets = [("", 17), ("com.microsoft", 1), ("com.microsoft.nchwc", 1)]
    return from_onnx(
        helper.make_model(parser.parse_graph(text), opset_imports=[helper.make_operatorsetid(*pair) for pair in opsets])
    )


def only(text: str) -> tuple[str, dict[str, AttributeValue], tuple[TensorType, ...]]:
    graph = read(text)
    assert len(graph.nodes) == 1
    return graph.nodes[0].op, graph.nodes[0].attribute_map, graph.nodes[0].outputs


def float32(*shape: int) -> TensorType:
    return TensorType(shape, "float32")


def optimise(model: bytes, folder: Path) -> tuple[OpGraph, list[dict[str, Any]]]:
    """The graph that ONNX Runtime makes of a model, read back, and its profiler's events of one run."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    (folder / "weights").symlink_to(os.devnull)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "trace")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, {given.name: np.ones(given.shape, np.float32) for given in session.get_inputs()})
    events = json.loads(Path(session.end_profiling()).read_text())
    kernels = [event for event in events if event["name"].endswith("_kernel_time")]
    return read_onnx(folder / "optimised.onnx"), kernels


def assert_agrees(graph: OpGraph, kernels: list[dict[str, Any]]) -> None:
    """One node a kernel, with the output types that the profiler saw."""
    nodes = {node.name: node for node in graph.nodes}
    assert len(nodes) == len(graph.nodes) == len(kernels)
    for event in kernels:
        seen = [
            TensorType(tuple(shape), DTYPES.get(dtype, dtype))
            for output in event["args"]["output_type_shape"]
            for dtype, shape in output.items()
        ]
        assert list(nodes[event["name"].removesuffix("_kernel_time")].outputs) == seen, event["name"]


@pytest.mark.parametrize("name", ["resnet50", "shufflenet", "inception_v1"])
def test_an_optimised_light_network_reads_as_the_profiler_saw_it(name: str, tmp_path: Path) -> None:
    graph, kernels = optimise((LIGHT / f"light_{name}.onnx").read_bytes(), tmp_path)

    assert_agrees(graph, kernels)


def test_an_optimised_transformer_reads_as_the_profiler_saw_it(tmp_path: Path) -> None:
    width = 64
    weights = ", ".join(f"float[{width}, {width}] w{index} = {{1}}" for index in range(5))
    model = helper.make_model(
        parser.parse_graph(
            f"""net (float[1, 16, {width}] x) => (float[1, 16, {width}] y) <
                {weights}, float[{width}] scale = {{1}}, float[{width}] shift = {{1}}, float[{width}] bias = {{1}},
                int64[4] split = {{0, 0, 4, 16}}, int64[3] join = {{0, 0, {width}}},
                float root = {{4}}, float two = {{1.41421356}}, float one = {{1}}, float half = {{0.5}}
            > {{
                q = MatMul(x, w0) k = MatMul(x, w1) v = MatMul(x, w2)
                q4 = Reshape(q, split) k4 = Reshape(k, split) v4 = Reshape(v, split)
                qt = Transpose<perm = [0, 2, 1, 3]>(q4)
                kt = Transpose<perm = [0, 2, 3, 1]>(k4)
                vt = Transpose<perm = [0, 2, 1, 3]>(v4)
                scores = MatMul(qt, kt) scaled = Div(scores, root) weights = Softmax<axis = -1>(scaled)
                mixed = MatMul(weights, vt) back = Transpose<perm = [0, 2, 1, 3]>(mixed) joined = Reshape(back, join)
                out = MatMul(joined, w3) sum = Add(x, out)
                normal = LayerNormalization<axis = -1>(sum, scale, shift)
                wide = MatMul(normal, w4) biased = Add(wide, bias)
                d = Div(biased, two) e = Erf(d) f = Add(e, one) g = Mul(biased, f) y = Mul(g, half)
            }}"""
        ),
        opset_imports=[helper.make_operatorsetid("", 17)],
        ir_version=10,
    )
    for tensor in model.graph.initializer:  # the text gives one value for a whole matrix
        if len(tensor.dims) == 2 or tensor.dims == [width]:
            values = np.random.default_rng(len(tensor.name)).normal(size=tuple(tensor.dims)).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    for node in model.graph.node:
        node.name = node.output[0]  # the profiler makes up names where there are none
    graph, kernels = optimise(model.SerializeToString(), tmp_path)

    assert_agrees(graph, kernels)
    # without a Gelu or a fused norm this test would prove little about com.microsoft
    assert {node.op for node in graph.nodes} & {"Gelu", "BiasGelu"}
    assert {node.op for node in graph.nodes} & {"SkipLayerNormalization", "LayerNormalization"}


def test_a_blocked_convolution_is_a_convolution_with_a_layout() -> None:
    op, attributes, outputs = only(
        """net (float[1, 3, 9, 9] x, float[1, 32, 4, 4] rest) => (float[N] y) <
            float[32, 3, 3, 3] w = {1}, float[32] b = {1}
        > {
            y = com.microsoft.nchwc.Conv<activation = "Relu", strides = [2, 2], auto_pad = "NOTSET">(x, w, b, rest)
        }"""
    )

    assert op == "Conv"
    assert outputs == (float32(1, 32, 4, 4),)
    assert attributes == {
        "activation": "Relu", "dilations": (1, 1), "fused_sum": 1, "group": 1, "kernel_shape": (3, 3),
        "layout": "nchwc", "pads": (0, 0, 0, 0), "strides": (2, 2),
    }  # fmt: skip


@pytest.mark.parametrize(("filters", "padded"), [(48, 32), (40, 24)])
def test_reordering_pads_channels_to_the_block_that_the_weights_show(filters: int, padded: int) -> None:
    graph = read(
        f"""net (float[1, 20, 5, 5] x) => (float[N] z) <float[{filters}, {padded}, 1, 1] w = {{1}}> {{
            a = com.microsoft.nchwc.ReorderInput(x)
            y = com.microsoft.nchwc.Conv(a, w)
            z = com.microsoft.nchwc.ReorderOutput<channels = 44>(y)
        }}"""
    )

    assert [node.outputs[0].shape for node in graph.nodes] == [(1, padded, 5, 5), (1, filters, 5, 5), (1, 44, 5, 5)]


def test_reordering_to_channels_last_moves_them() -> None:
    graph = read(
        """net (float[1, 5, 6, 32] x) => (float[N] z) {
            y = com.microsoft.nchwc.ReorderInput<channels_last = 1>(x)
            z = com.microsoft.nchwc.ReorderOutput<channels = 30, channels_last = 1>(y)
        }"""
    )

    assert [node.outputs[0].shape for node in graph.nodes] == [(1, 32, 5, 6), (1, 5, 6, 30)]


@pytest.mark.parametrize(
    ("call", "op", "shape"),
    [
        ("MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(x)", "MaxPool", (1, 16, 5, 5)),
        ("MaxPool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1>(x)", "MaxPool", (1, 16, 5, 5)),
        ("AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(x)", "AveragePool", (1, 16, 4, 4)),
        ("GlobalAveragePool(x)", "GlobalAveragePool", (1, 16, 1, 1)),
        ("Upsample<scales = [1, 1, 2, 2]>(x)", "Upsample", (1, 16, 18, 18)),
    ],
)
def test_a_blocked_operator_keeps_its_standard_name(call: str, op: str, shape: tuple[int, ...]) -> None:
    found, attributes, outputs = only(
        f"net (float[1, 16, 9, 9] x) => (float[N] y) {{ y = com.microsoft.nchwc.{call} }}"
    )

    assert (found, attributes["layout"], outputs[0].shape) == (op, "nchwc", shape)


def test_fused_operators_take_the_standard_name() -> None:
    graph = read(
        """net (float[2, 4] x, float[1, 3, 8, 8] image) => (float[N] c) <
            float[3, 4] m = {1}, float[3] b = {1}, float[4, 3, 3, 3] w = {1}
        > {
            a = com.microsoft.FusedGemm<activation = "Relu", transB = 1>(x, m, b)
            c = com.microsoft.FusedConv<activation = "LeakyRelu", activation_params = [0.5], pads = [1, 1, 1, 1]>(
                image, w)
        }"""
    )

    assert [(node.op, node.attribute_map["activation"], node.outputs[0].shape) for node in graph.nodes] == [
        ("Gemm", "Relu", (2, 3)),
        ("Conv", "LeakyRelu", (1, 4, 8, 8)),
    ]
    assert graph.nodes[1].attribute_map["activation_params"] == (0.5,)


def test_a_fused_matrix_product_says_only_what_differs_from_a_plain_one() -> None:
    text = "net (float[2, 3, 8, 5] a, float[2, 3, 8, 7] b) => (float[N] y) { y = com.microsoft.FusedMatMul<%s>(a, b) }"
    op, attributes, outputs = only(text % "transA = 1, transB = 0, alpha = 0.125")

    assert (op, attributes, outputs) == ("MatMul", {"alpha": 0.125, "transA": 1}, (float32(2, 3, 5, 7),))

    plain = "net (float[4, 5] a, float[5, 7] b) => (float[N] y) { y = %s(a, b) }"
    assert only(plain % "com.microsoft.FusedMatMul<alpha = 1.0>") == only(plain % "MatMul")


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        ("Attention<num_heads = 4>(x, qkv, bias)", (2, 10, 24)),
        ("MultiHeadAttention<num_heads = 4>(x, x, value)", (2, 10, 12)),
        ("SkipLayerNormalization(x, x, gamma)", (2, 10, 24)),
        ("BiasGelu(x, gamma)", (2, 10, 24)),
        ("QuickGelu(x)", (2, 10, 24)),
    ],
)
def test_other_operators_keep_their_name(call: str, shape: tuple[int, ...]) -> None:
    op, _, outputs = only(
        f"""net (float[2, 10, 24] x, float[2, 10, 12] value) => (float[N] y) <
            float[24, 72] qkv = {{1}}, float[72] bias = {{1}}, float[24] gamma = {{1}}
        > {{ y = com.microsoft.{call} }}"""
    )

    assert op == call.split("<", maxsplit=1)[0].split("(", maxsplit=1)[0]
    assert outputs == (float32(*shape),)


@pytest.mark.parametrize(
    "call",
    [
        "nchwc.Conv(x)",
        "nchwc.Conv<kernel_shape = [9, 9]>(x, w)",
        "nchwc.ReorderOutput(x)",
        "nchwc.ReorderInput(vector)",
        "FusedMatMul(x, w)",
        "Attention(x, w)",
        "FusedConv<strides = [0, 1]>(x, w)",
    ],
)
def test_a_call_that_does_not_fit_is_refused(call: str) -> None:
    with pytest.raises(InvalidGraphError, match=call.split("<", maxsplit=1)[0].split("(", maxsplit=1)[0]):
        read(
            f"""net (float[1, 16, 5, 5] x, float[7] vector) => (float[N] y) <float[16, 16, 3, 2] w = {{1}}>
            {{ y = com.microsoft.{call} }}"""
        )
