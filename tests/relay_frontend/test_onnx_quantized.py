"""A network as ONNX Runtime quantises it: read as the profiler saw it, with the products of the one it came from."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from relay_frontend.costs import operator_cost
from relay_frontend.graph import OpGraph
from relay_frontend.onnx import from_onnx
from relay_frontend.ops import operator_category
from tests.relay_frontend.test_onnx_microsoft import assert_agrees, optimise

NETWORK = """net (float[1, 3, 16, 16] x) => (float[1, 10] y) <
    float[8, 3, 3, 3] w0 = {1}, float[8] b0 = {1}, float[8, 1, 3, 3] w1 = {1}, float[16, 16, 1, 1] w2 = {1},
    float[10, 16] w3 = {1}, float[10] b3 = {1}, int64[2] flat = {1, 16}
> {
    a = Conv<pads = [1, 1, 1, 1]>(x, w0, b0)
    b = Relu(a)
    c = Conv<pads = [1, 1, 1, 1], group = 8>(b, w1)
    d = Add(c, b)
    e = Sigmoid(d)
    f = Mul(d, e)
    g = Concat<axis = 1>(f, d)
    h = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(g)
    i = MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(h)
    j = LeakyRelu(i)
    k = Conv(j, w2)
    l = GlobalAveragePool(k)
    m = Reshape(l, flat)
    n = Gemm<transB = 1>(m, w3, b3)
    y = Softmax<axis = -1>(n)
}"""


def network() -> onnx.ModelProto:
    model = helper.make_model(
        parser.parse_graph(NETWORK), opset_imports=[helper.make_operatorsetid("", 17)], ir_version=9
    )
    random = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = random.normal(size=tuple(tensor.dims)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for node in model.graph.node:
        node.name = node.output[0]
    return model


class Images:
    """Three inputs to find the ranges of activations with."""

    def __init__(self) -> None:
        self.left = 3

    def get_next(self) -> dict[str, Any] | None:
        self.left -= 1
        image = np.random.default_rng(self.left + 1).normal(size=(1, 3, 16, 16)).astype(np.float32)
        return {"x": image} if self.left >= 0 else None


def quantised(how: str, folder: Path) -> onnx.ModelProto:
    quantization = pytest.importorskip("onnxruntime.quantization")
    source, target = folder / "network.onnx", folder / "quantised.onnx"
    onnx.save(network(), source)
    if how == "dynamic":
        quantization.quantize_dynamic(str(source), str(target))
    else:
        quantization.quantize_static(
            str(source), str(target), Images(), quant_format=quantization.QuantFormat[how],
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
    model = onnx.load(target)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"unnamed{index}"  # the profiler makes up names where there are none
    return model


def products(graph: OpGraph) -> int:
    """FLOPs of convolutions and matrix products, but for activations and sums fused into them."""
    indices = [i for i, node in enumerate(graph.nodes) if operator_category(node.op) in ("convolution", "matmul")]
    fused = sum(graph.nodes[i].outputs[0].elements for i in indices if graph.nodes[i].attribute_map.get("activation"))
    return sum(operator_cost(graph, index).flops for index in indices) - fused


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("how", "written"),
    [
        ("QOperator", {"QLinearConv", "QLinearAdd", "QLinearConcat", "QLinearAveragePool", "NhwcMaxPool", "QGemm"}),
        ("QDQ", {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearSigmoid", "QLinearLeakyRelu"}),
        ("dynamic", {"DynamicQuantizeLinear", "ConvInteger", "DynamicQuantizeMatMul", "QuickGelu"}),
    ],
)
def test_a_quantised_network_reads_as_the_profiler_saw_it(how: str, written: set[str], tmp_path: Path) -> None:
    model = quantised(how, tmp_path)
    graph, kernels = optimise(model.SerializeToString(), tmp_path)

    assert_agrees(graph, kernels)
    assert written <= {node.op for node in graph.nodes}
    assert products(graph) == products(from_onnx(model)) == products(from_onnx(network()))
