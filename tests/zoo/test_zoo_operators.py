"""Each operator in the form of each opset, against the shapes that onnx infers."""

import random

import onnx
import pytest

from tvm_narcost.zoo import ZooError
from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.builder import GraphBuilder
from tvm_narcost.zoo.emit import to_model
from tvm_narcost.zoo.spelling import Spelling
from tvm_narcost.zoo.wild_blocks import ACTIVATIONS, BLOCKS


def spelling(opset: int, **changes: object) -> Spelling:
    chosen: dict[str, object] = {
        "opset": opset, "ir_version": 4 if opset == 9 else 8, "norm": "batch_norm", "residual": "Add",
        "flatten": "Flatten", "global_pool": "ReduceMean", "padding": "pads", "linear": "Gemm",
        "hard_swish": "op" if opset >= 14 else "clip", "layer_norm": "op" if opset >= 17 else "chain",
        "gelu": "op" if opset >= 20 else "erf", "constants": "initializer", "dropout": opset <= 12,
        "final_softmax": True, "fused_qkv": True,
    }  # fmt: skip
    return Spelling(**(chosen | changes))  # type: ignore[arg-type]


def builder(opset: int, **changes: object) -> GraphBuilder:
    return GraphBuilder(random.Random(5), spelling(opset, **changes))


@pytest.mark.parametrize("opset", range(9, 22))
def test_operators_that_changed_between_opsets(opset: int) -> None:
    b = builder(opset)
    x = b.image(13, 16, 8)
    values = [
        ops.clip(b, x, 0.0, 6.0),
        ops.resize(b, x, 2), ops.resize(b, x, 3, "linear"),
        ops.pad(b, x, (0, 0, 1, 2, 0, 0, 0, 1), "reflect"),
        ops.slice_axis(b, x, 2, 1, 9), ops.slice_axis(b, x, 3, 0, 16, 2),
        *ops.split(b, x, (3, 5)),
        ops.reduce_mean(b, x, (2, 3), keepdims=False), ops.reduce_mean(b, x, (1,), op_type="ReduceMax"),
        ops.unsqueeze(b, ops.squeeze(b, ops.reduce_mean(b, x, (2, 3)), (2, 3)), (0, 3)),
        ops.softmax(b, x), ops.batch_norm(b, x),
        ops.pool(b, x, "MaxPool", 3, 2, ceil=True), ops.pool(b, x, "AveragePool", 3, 2, 1),
        ops.conv(b, x, 6, (1, 5), (2, 3), groups=2), ops.conv(b, x, 7, 3, dilation=4),
        *(ops.conv_transpose(b, x, 4, kernel, 2) for kernel in (2, 3, 4)),
    ]  # fmt: skip
    for value in values:
        b.output(value)
    onnx.checker.check_model(to_model(b, "all"), full_check=True)


@pytest.mark.parametrize("padding", ["same_upper", "asymmetric"])
@pytest.mark.parametrize("side", [14, 15])
def test_same_padding_rounds_up(padding: str, side: int) -> None:
    b = builder(13, padding=padding)
    y = ops.conv(b, b.image(side), 4, 3, 2)
    assert y.shape == (1, 4, -(-side // 2), -(-side // 2))
    b.output(y)
    onnx.checker.check_model(to_model(b, "same"), full_check=True)


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
@pytest.mark.parametrize("index", range(len(BLOCKS)))
def test_every_wild_block_keeps_the_size_of_the_image(index: int, opset: int) -> None:
    b = builder(opset, flatten="Reshape" if index % 2 else "Flatten")
    x = b.image(12, 14, 12)
    for _ in range(4):
        y = BLOCKS[index][1](b, x)
        assert y.shape[2:] == (12, 14)
        b.output(y)
    onnx.checker.check_model(to_model(b, "block"), full_check=True)


def test_activations_are_operators_of_every_opset() -> None:
    from tvm_narcost.zoo.blocks import activation

    for opset in (9, 14, 20):
        b = builder(opset)
        x = b.image(4)
        for kind in sorted(set(ACTIVATIONS)):
            b.output(activation(b, x, kind))
        onnx.checker.check_model(to_model(b, "activations"), full_check=True)


def test_flops_are_two_per_multiply_accumulate() -> None:
    b = builder(13)
    ops.conv(b, b.image(8, 8, 4), 6, 3, groups=2)
    assert b.flops == 2 * (6 * 8 * 8) * (2 * 3 * 3)


def test_levels_stay_near_one_through_a_deep_chain() -> None:
    b = builder(13)
    x = b.image(8, 8, 16)
    for _ in range(300):
        x = ops.unary(b, "Relu", ops.conv(b, x, 16, 3))
    assert 0.5 < x.level < 2.0


def test_kernel_larger_than_the_image_is_refused() -> None:
    b = builder(13)
    with pytest.raises(ZooError, match=r"MaxPool would have output .*expected extents of 1 or more"):
        ops.pool(b, b.image(4), "MaxPool", 7, 2)
