"""com.microsoft operators: what the reader says they write is what ONNX Runtime's own kernels write."""

from typing import Any

import numpy as np
import pytest
from onnx import helper

from relay_frontend.costs import operator_cost
from relay_frontend.graph import TensorType
from relay_frontend.onnx import from_onnx

NAMES = {"f": np.float32, "u": np.uint8, "b": np.int8, "i": np.int32, "l": np.int64, "?": np.bool_}
Input = str | np.ndarray[Any, Any]


def given(spec: Input) -> np.ndarray[Any, Any]:
    """``"f2x3"``: random float32 of [2, 3]; ``"f"`` a scalar; an array stands for itself."""
    if not isinstance(spec, str):
        return spec
    shape = tuple(int(extent) for extent in spec[1:].split("x") if extent)
    if spec[0] == "f":
        return np.random.default_rng(0).uniform(0.1, 1.0, shape).astype(np.float32)
    return np.ones(shape, NAMES[spec[0]])


def run_and_read(
    op: str, inputs: list[Input], outputs: list[str], attributes: dict[str, Any]
) -> tuple[list[TensorType], list[TensorType], int]:
    """Types that ONNX Runtime wrote, types that the reader gives, and the FLOPs that it counts."""
    onnxruntime = pytest.importorskip("onnxruntime")
    values = {f"i{slot}": given(spec) for slot, spec in enumerate(inputs) if not isinstance(spec, str) or spec}
    node = helper.make_node(
        op,
        [f"i{slot}" if f"i{slot}" in values else "" for slot in range(len(inputs))],
        [f"o{slot}" for slot in range(len(outputs))],
        domain="com.microsoft",
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        op,
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in values.items()
        ],
        [
            helper.make_tensor_value_info(f"o{slot}", helper.np_dtype_to_tensor_dtype(np.dtype(NAMES[kind])), None)
            for slot, kind in enumerate(outputs)
        ],
    )
    opsets = [helper.make_operatorsetid("", 21), helper.make_operatorsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    written = session.run(None, values)
    read = from_onnx(model)
    kinds = [read.type_of(edge) for edge in read.outputs]
    return [TensorType(value.shape, str(value.dtype)) for value in written], kinds, operator_cost(read, 0).flops


Z, S = "u", "f"  # a zero point and a scale
I32 = np.int32

CASES: list[tuple[str, list[Input], str, dict[str, Any], int]] = [
    ("QLinearAdd", ["u2x3x4", S, Z, "u3x1", S, Z, S, Z], "u", {}, 24),
    ("QLinearMul", ["u2x3x4", S, Z, "u4", S, Z, S, Z], "u", {}, 24),
    ("QLinearLeakyRelu", ["u2x3", S, Z, S, Z], "u", {"alpha": 0.1}, 6),
    ("QLinearSigmoid", ["u2x3", S, Z, S, Z], "u", {}, 6),
    ("QLinearSoftmax", ["u2x3", S, Z, S, Z], "u", {"axis": 1, "opset": 13}, 5 * 6),
    ("QLinearConcat", [S, Z, "u2x3", S, Z, "u2x5", S, Z], "u", {"axis": -1}, 0),
    ("QLinearWhere", ["?2x1", "u2x3", S, Z, "u3", S, Z, S, Z], "u", {}, 6),
    ("QLinearGlobalAveragePool", ["u2x5x6x3", S, Z, S, Z], "u", {"channels_last": 1}, 180),
    ("QLinearGlobalAveragePool", ["u2x3x5x6", S, Z, S, Z], "u", {}, 180),
    ("QLinearAveragePool", ["u1x4x9x9", S, Z, S, Z], "u", {"kernel_shape": [3, 3], "strides": [2, 2]}, 4 * 16 * 9),
    ("QLinearAveragePool", ["u1x9x9x4", S, Z, S, Z], "u",
     {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "channels_last": 1}, 4 * 25 * 4),
    ("QLinearConv", ["u1x9x9x4", S, Z, "u6x2x3x3", S, Z, S, Z], "u",
     {"channels_last": 1, "group": 2, "strides": [2, 1], "pads": [1, 1, 1, 1], "kernel_shape": [3, 3]},
     2 * 5 * 9 * 6 * 2 * 9),
    ("NhwcMaxPool", ["u1x9x7x4"], "u", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, 5 * 4 * 36),
    ("DynamicQuantizeMatMul", ["f2x3x4", "u4x5", S, Z, "f5"], "f", {}, 2 * 30 * 4),
    ("MatMulIntegerToFloat", ["u2x3x4", "u4x5", S, S, Z, Z, "f5"], "f", {}, 2 * 30 * 4),
    ("MatMulNBits", ["f2x3x64", "u5x2x16", "f5x2"], "f", {"K": 64, "N": 5, "bits": 4, "block_size": 32}, 2 * 30 * 64),
    ("MatMulBnb4", ["f3x64", "u160", "f5"], "f", {"K": 64, "N": 5, "block_size": 64, "quant_type": 1}, 2 * 15 * 64),
    ("QGemm", ["u3x4", S, Z, "u5x4", S, Z], "f", {"transB": 1}, 2 * 15 * 4),
    ("QGemm", ["u4x3", S, Z, "u4x5", S, Z, "i5", S, Z], "u", {"transA": 1}, 2 * 15 * 4),
    ("TransposeMatMul", ["f4x3", "f4x5"], "f", {"transA": 1}, 2 * 15 * 4),
    ("FusedMatMul", ["f2x4x3", "f2x5x4"], "f", {"transA": 1, "transB": 1}, 2 * 2 * 15 * 4),
    ("QuantizeLinear", ["f2x3", S, Z], "u", {}, 2 * 6),
    ("DequantizeLinear", ["u2x3", S, Z], "f", {}, 2 * 6),
    ("Gelu", ["f2x3"], "f", {}, 6),
    ("BiasGelu", ["f2x3", "f3"], "f", {}, 2 * 6),
    ("FastGelu", ["f2x3", "f3"], "f", {}, 6),
    ("QuickGelu", ["f2x3"], "f", {}, 6),
    ("ScaledSiLU", ["f2x3"], "f", {}, 2 * 6),
    ("Trilu", ["f4x5"], "f", {"upper": 0}, 0),
    ("Inverse", ["f2x3x3"], "f", {}, 2 * 2 * 27),
    ("GatherND", ["f2x3x4", np.array([[0], [1], [1]], np.int64)], "f", {}, 0),
    ("GridSample", ["f1x3x4x5", "f1x6x7x2"], "f", {}, 8 * 3 * 42),
    ("UnfoldTensor", ["f2x9"], "f", {"dim": -1, "size": 3, "step": 2}, 0),
    ("GatherBlockQuantized", ["u10x16", np.array([[1, 2, 3]], np.int64), "f10x1"], "f",
     {"bits": 4, "block_size": 32, "quantize_axis": 1, "gather_axis": 0}, 0),
    ("RotaryEmbedding", ["f2x3x32", np.zeros(1, np.int64), "f50x4", "f50x4"], "f", {}, 3 * 192),
    ("SkipLayerNormalization", ["f2x3x8", "f2x3x8", "f8", "f8", "f8"], "ffff", {}, 8 * 48),
    ("SkipSimplifiedLayerNormalization", ["f2x3x8", "f2x3x8", "f8"], "f", {}, 5 * 48),
    ("EmbedLayerNormalization",
     [np.ones((2, 3), I32), "", "f9x8", "f5x8", "", "f8", "f8"], "fi", {}, 9 * 48),
    ("Attention", ["f2x3x8", "f8x24", "f24"], "f", {"num_heads": 2}, 2 * 6 * 8 * 24 + 2 * 2 * 9 * 16 + 5 * 2 * 2 * 9),
    ("QAttention", ["u2x3x8", "u8x24", "f24", S, S, "", Z, Z], "f", {"num_heads": 2},
     2 * 6 * 8 * 24 + 2 * 2 * 9 * 16 + 5 * 2 * 2 * 9),
    ("Attention", ["f2x3x8", "f8x24", "f24", "", "f2x2x2x5x4"], "ff", {"num_heads": 2},
     2 * 6 * 8 * 24 + 2 * 2 * 24 * 16 + 5 * 2 * 2 * 24),
    ("MultiHeadAttention", ["f2x3x8", "f2x5x8", "f2x5x12"], "f", {"num_heads": 2}, 2 * 2 * 15 * 20 + 5 * 2 * 2 * 15),
    ("GroupQueryAttention",
     ["f1x6x32", "f1x6x16", "f1x6x16", "", "", np.full((1,), 5, I32), np.array(6, I32)], "fff",
     {"num_heads": 4, "kv_num_heads": 2}, 2 * 36 * 64 + 5 * 4 * 36),
    ("GroupQueryAttention",
     ["f1x6x64", "", "", "", "", np.full((1,), 5, I32), np.array(6, I32)], "fff",
     {"num_heads": 4, "kv_num_heads": 2}, 2 * 36 * 64 + 5 * 4 * 36),
    ("DecoderMaskedMultiHeadAttention",
     ["f2x1x8", "f2x1x8", "f2x1x8", "", "", "f2x2x6x4", "f2x2x6x4", np.full((1,), 5, I32)], "fff",
     {"num_heads": 2, "past_present_share_buffer": 1}, 2 * 2 * 6 * 16 + 5 * 2 * 2 * 6),
    ("LinearAttention", ["f2x5x16", "f2x5x8", "f2x5x12"], "ff",
     {"q_num_heads": 4, "kv_num_heads": 2, "update_rule": "linear"}, 2 * 10 * 4 * 6 * (4 + 2)),
    ("CausalConvWithState", ["f2x4x9", "f4x1x3", "f4"], "ff", {}, 2 * 72 * 3),
    ("DynamicQuantizeLSTM",
     ["f5x2x3", "u1x3x16", "u1x4x16", "", "", "", "", "", "f1", "u1", "f1", "u1"], "fff", {"hidden_size": 4},
     2 * 10 * 16 * 7),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "attributes", "flops"),
    CASES,
    ids=[f"{index}-{case[0]}" for index, case in enumerate(CASES)],
)
def test_the_reader_says_what_the_runtime_writes(
    op: str, inputs: list[Input], outputs: str, attributes: dict[str, Any], flops: int
) -> None:
    written, read, counted = run_and_read(op, inputs, list(outputs), attributes)

    assert read == written
    assert counted == flops
