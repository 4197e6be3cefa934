"""Families beyond classification: each has the parts that make it, reads with its shapes, and its blocks compute."""

import collections
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from tests.zoo.test_zoo_operators import builder
from tvm_narcost.zoo import FAMILIES, ZooError
from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.emit import to_model
from tvm_narcost.zoo.image_blocks import channel_softmax, depth_to_space, group_norm, resize_to
from tvm_narcost.zoo.sequence_blocks import conv_1d, repeated
from tvm_narcost.zoo.spelling import draw_spelling
from tvm_narcost.zoo.yolo_heads import anchor_head, distribution_head

_PARTS = {
    "unet": {"Conv", "ConvTranspose", "Concat", "Sigmoid", "InstanceNormalization", "MaxPool", "Resize", "Upsample",
             "Softmax"},
    "yolo": {"MaxPool", "Concat", "Split", "Slice", "Sigmoid", "Pow", "Transpose", "Softmax", "LeakyRelu", "Resize",
             "SpaceToDepth"},
    "xception": {"Concat", "AveragePool", "MaxPool", "Relu", "BatchNormalization", "Mul"},
    "repvgg": {"Concat", "LeakyRelu", "BatchNormalization", "HardSigmoid"},
    "hrnet": {"Concat", "Split", "Resize", "Upsample", "AveragePool"},
    "super_resolution": {"DepthToSpace", "ConvTranspose", "PRelu", "InstanceNormalization", "Pad", "Tanh", "Resize"},
    "tabular": {"Gather", "Concat", "Reshape", "Mul", "Gemm", "MatMul", "ReduceSum", "Exp"},
    "hybrid": {"Conv", "Softmax", "AveragePool", "InstanceNormalization", "BatchNormalization", "Slice"},
    "audio": {"Conv", "Split", "Softmax", "Transpose", "Slice", "Pad", "Tanh", "InstanceNormalization"},
    "encoder_decoder": {"Softmax", "Gather", "Where", "Relu", "Conv", "Tanh", "Split", "ReduceL2", "Cast"},
}  # fmt: skip


def _members(family: str, count: int) -> Iterator[GraphBuilder]:
    """Single draws: without the search for a cost, so much faster than ``draw_network``."""
    found = 0
    for seed in range(4 * count):
        rng = random.Random(f"{family} {seed} test")
        b = GraphBuilder(rng, draw_spelling(rng))
        try:
            FAMILIES[family].build(b)
        except ZooError:  # sizes that do not fit together; generate() draws again
            continue
        yield b
        found += 1
        if found == count:
            return
    raise AssertionError(f"{family}: only {found} of {4 * count} draws are networks")


@pytest.mark.parametrize("family", _PARTS)
def test_family_has_its_parts_and_spreads_over_sizes(family: str) -> None:
    seen: collections.Counter[str] = collections.Counter()
    costs_us = []
    for b in _members(family, 70):
        seen.update(node.op_type for node in b.nodes)
        costs_us.append(b.cost_us)
    assert _PARTS[family] <= set(seen)
    costs_us.sort()
    assert costs_us[-7] > 10 * costs_us[6]


@pytest.mark.parametrize("family", _PARTS)
def test_the_reader_finds_the_declared_shapes(family: str) -> None:
    for b in _members(family, 4):
        graph = canonicalize(from_onnx(to_model(b, family)))
        assert [graph.type_of(edge).shape for edge in graph.outputs] == [value.shape for value in b.outputs]


def _run(b: GraphBuilder, outputs: list[Value], feed: dict[str, Any]) -> list[Any]:
    for value in outputs:
        b.output(value)
    model = to_model(b, "block")
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feed))


def _random(*shape: int) -> Any:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("opset", [11, 18])
def test_pixel_shuffle_is_the_same_in_both_spellings(opset: int) -> None:
    outputs = []
    for flatten in ("Flatten", "Reshape"):
        b = builder(opset, flatten=flatten)
        outputs += _run(b, [depth_to_space(b, b.image(3, 4, 18), 3)], {"input": _random(1, 18, 3, 4)})
    assert outputs[0].shape == (1, 2, 9, 12)
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("opset", [9, 10, 12, 13, 21])
def test_channels_of_a_softmax_sum_to_one(opset: int) -> None:
    b = builder(opset)
    (y,) = _run(b, [channel_softmax(b, b.image(5, 6, 7))], {"input": _random(1, 7, 5, 6)})
    np.testing.assert_allclose(y.sum(1), np.ones((1, 5, 6)), rtol=1e-5)


def test_groups_are_normalised() -> None:
    b = builder(17)
    x = _random(1, 8, 5, 5) * 3 + 2
    (y,) = _run(b, [group_norm(b, b.image(5, 5, 8), 2)], {"input": x})
    groups = x.reshape(1, 2, 100)
    normal = (groups - groups.mean(2, keepdims=True)) / groups.std(2, keepdims=True)
    np.testing.assert_allclose(np.corrcoef(y[0, :4].ravel(), normal[0, 0])[0, 1], 1.0, atol=1e-4)
    assert y.std() == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("opset", range(9, 22, 2))
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resize_to_a_size_that_is_no_multiple(opset: int, mode: str) -> None:
    b = builder(opset)
    x = b.image(6, 8, 3)
    larger = [resize_to(b, x, 15, 12, mode) for _ in range(4)]  # by scales and by sizes
    assert {y.shape for y in _run(b, larger, {"input": _random(1, 3, 6, 8)})} == {(1, 3, 15, 12)}


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "steps"),
    [(3, 1, None, 1, 50), (3, 2, None, 1, 25), (10, 5, 0, 1, 9), (3, 1, (8, 0), 4, 50), (128, 1, 64, 1, 51)],
)
def test_convolution_over_one_axis(kernel: int, stride: int, padding: Any, dilation: int, steps: int) -> None:
    b = builder(13)
    x = b.input((2, 6, 50))
    y = conv_1d(b, x, 4, kernel, stride, padding=padding, dilation=dilation, groups=2)
    assert y.shape == (2, 4, steps)
    assert b.flops == 2 * (2 * 4 * steps) * (3 * kernel)
    assert _run(b, [y], {"input": _random(2, 6, 50)})[0].shape == y.shape


def test_repeated_layers_share_their_weights() -> None:
    shared, own = builder(13, linear="MatMul"), builder(13, linear="MatMul")
    y = repeated(shared, shared.input((1, 5, 8)), lambda x: ops.gemm(shared, x, 8), 3)
    z = own.input((1, 5, 8))
    for _ in range(3):
        z = ops.gemm(own, z, 8)
    assert (len(shared.weights), len(own.weights)) == (2, 6)
    assert shared.weight_bytes == own.weight_bytes / 3 == 4 * (8 * 8 + 8)
    assert shared.flops == own.flops
    ones = np.ones((1, 5, 8), np.float32)
    np.testing.assert_allclose(_run(shared, [y], {"input": ones}), _run(own, [z], {"input": ones}), rtol=0.1)


@pytest.mark.parametrize(("head", "axis", "cells"), [(anchor_head, 1, 3 * (64 + 16)), (distribution_head, 2, 64 + 16)])
def test_a_head_gives_a_box_and_scores_for_every_cell(head: Any, axis: int, cells: int) -> None:
    b = builder(13)
    image = b.image(32)
    levels = [ops.conv(b, image, 16, 3, 4), ops.conv(b, image, 32, 3, 8)]
    head(b, levels, 7, "Relu")
    (output,) = b.outputs
    per_cell = 12 if head is anchor_head else 11
    assert sorted(output.shape) == sorted((1, cells, per_cell))
    assert output.shape[axis] == cells
    b.outputs.clear()
    scores = np.moveaxis(_run(b, [output], {"input": _random(1, 3, 32, 32)})[0], axis, -1)[0, -7:]
    assert (scores > 0).all()
    assert (scores < 1).all()


def test_rows_of_features_come_in_batches() -> None:
    batches = {b.batch for b in _members("tabular", 40)}
    assert {1, 16, 64} <= batches
