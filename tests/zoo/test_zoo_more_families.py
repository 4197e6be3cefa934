"""Families beyond classification: each has the parts that make it, and its outputs read with their shapes."""

import collections

import pytest

from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from tvm_narcost.zoo import FAMILIES
from tvm_narcost.zoo.emit import to_model
from tvm_narcost.zoo.families import draw_network

_PARTS = {
    "unet": {"ConvTranspose", "Concat", "Sigmoid", "InstanceNormalization", "MaxPool"},
    "yolo": {"MaxPool", "Concat", "Split", "Slice", "Sigmoid", "Pow", "Transpose"},
    "xception": {"Concat", "AveragePool", "MaxPool", "Relu"},
    "repvgg": {"Concat", "LeakyRelu", "BatchNormalization"},
    "hrnet": {"Concat", "Split", "Resize"},
    "super_resolution": {"DepthToSpace", "ConvTranspose", "PRelu", "InstanceNormalization", "Pad"},
    "tabular": {"Gather", "Concat", "Reshape", "Mul", "Gemm", "MatMul"},
    "hybrid": {"Conv", "Softmax", "AveragePool", "InstanceNormalization", "BatchNormalization"},
    "audio": {"Conv", "Split", "Softmax", "Transpose", "Slice"},
    "encoder_decoder": {"Softmax", "Gather", "Where", "Relu", "Conv"},
}  # fmt: skip
_SPREAD_SEEDS = range(8)


@pytest.mark.parametrize("family", _PARTS)
def test_family_has_its_parts_and_reads_with_the_declared_shapes(family: str) -> None:
    seen: collections.Counter[str] = collections.Counter()
    costs_us = []
    for seed in _SPREAD_SEEDS:
        b = draw_network(FAMILIES[family], seed)
        seen.update(node.op_type for node in b.nodes)
        costs_us.append(b.cost_us)
        graph = canonicalize(from_onnx(to_model(b, family)))
        assert [graph.type_of(edge).shape for edge in graph.outputs] == [value.shape for value in b.outputs]
    assert _PARTS[family] <= set(seen)
    assert max(costs_us) > 8 * min(costs_us)
