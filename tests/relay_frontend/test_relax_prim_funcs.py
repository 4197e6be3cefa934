"""PrimFuncs of LegalizeOps, alone and joined by FuseTIR, become the operators that they came from."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tvm")

import tvm
import tvm_ffi
from tvm import relax

from relay_frontend.costs import graph_cost
from relay_frontend.graph import Edge, OpGraph, TensorType
from relay_frontend.passes import canonicalize
from relay_frontend.plan import PlannedNetwork
from relay_frontend.relax import from_relax
from relay_frontend.relax.objects import NUMBERS, Document, FileObject
from relay_frontend.relax.segments import split_fused_name
from relay_frontend.relax.spelling import UnifySpellingPass

Build = Callable[[relax.BlockBuilder, relax.Var], Any]

IMAGE, ROWS, TABLE = (1, 4, 8, 8), (2, 3, 8), (6, 4)
op, nn = relax.op, relax.op.nn


def w(*shape: int, dtype: str = "float32") -> Any:
    return relax.const((np.arange(np.prod(shape)) % 5).astype(dtype).reshape(shape), dtype)


def first(builder: relax.BlockBuilder, call: Any) -> Any:
    return relax.TupleGetItem(builder.emit(call), 0)


def parts(b: relax.BlockBuilder, x: relax.Var) -> Any:
    found = b.emit(op.split(x, [1, 3], axis=1))
    return op.concat([relax.TupleGetItem(found, 2), relax.TupleGetItem(found, 1)], axis=0)


CASES: dict[str, tuple[tuple[int, ...], Build]] = {
    "conv1d": ((1, 4, 9), lambda b, x: nn.conv1d(x, w(6, 4, 3), strides=2, padding=1)),
    "conv2d": (IMAGE, lambda b, x: nn.conv2d(x, w(6, 2, 3, 5), strides=(2, 1), padding=(1, 2), groups=2)),
    "conv2d_dilated": (IMAGE, lambda b, x: nn.conv2d(x, w(6, 4, 3, 3), padding=(0, 1, 2, 3), dilation=2)),
    "conv2d_depthwise": (IMAGE, lambda b, x: nn.conv2d(x, w(4, 1, 3, 3), padding=1, groups=4)),
    "conv2d_of_all": (IMAGE, lambda b, x: nn.conv2d(x, w(4, 4, 8, 8))),
    "conv3d": ((1, 2, 4, 6, 6), lambda b, x: nn.conv3d(x, w(6, 2, 3, 3, 3), padding=1)),
    "transposed": (IMAGE, lambda b, x: nn.conv2d_transpose(x, w(4, 6, 3, 3), strides=2, padding=1,
                                                           output_padding=1, groups=2)),
    "transposed_dilated": (IMAGE, lambda b, x: nn.conv2d_transpose(x, w(4, 6, 3, 3), padding=1, dilation=2)),
    "max_pool": (IMAGE, lambda b, x: nn.max_pool2d(x, (3, 2), strides=2, padding=1)),
    "max_pool_rounded_up": (IMAGE, lambda b, x: nn.max_pool2d(x, (3, 3), strides=2, ceil_mode=True)),
    "max_pool_dilated": ((1, 4, 9), lambda b, x: nn.max_pool1d(x, 3, strides=2, dilation=2)),
    "avg_pool": (IMAGE, lambda b, x: nn.avg_pool2d(x, (3, 3), padding=1)),
    "avg_pool_of_padding": (IMAGE, lambda b, x: nn.avg_pool2d(x, (3, 3), padding=1, count_include_pad=True)),
    "adaptive_pool": (IMAGE, lambda b, x: nn.adaptive_avg_pool2d(x, 2)),
    "batch_norm": (IMAGE, lambda b, x: first(b, nn.batch_norm(x, w(4), w(4), w(4), w(4), axis=1, epsilon=1e-3,
                                                              training=False))),
    "layer_norm": (ROWS, lambda b, x: nn.layer_norm(x, w(3, 8), w(3, 8), axes=[-2, -1], epsilon=1e-6)),
    "rms_norm": (ROWS, lambda b, x: nn.rms_norm(x, w(8), axes=[-1], epsilon=1e-5)),
    "group_norm": (IMAGE, lambda b, x: nn.group_norm(x, w(4), w(4), num_groups=2, channel_axis=1, axes=[2, 3],
                                                     epsilon=1e-4)),
    "instance_norm": (IMAGE, lambda b, x: nn.instance_norm(x, w(4), w(4), channel_axis=1, axes=[2, 3], epsilon=1e-4)),
    "matmul": (ROWS, lambda b, x: op.matmul(x, w(8, 5))),
    "matmul_with_itself": ((4, 4), lambda b, x: op.matmul(x, x)),
    "softmax": (ROWS, lambda b, x: nn.softmax(x, axis=1)),
    "log_softmax": ((2, 8), lambda b, x: nn.log_softmax(x, axis=-1)),
    "add_constant": (IMAGE, lambda b, x: op.add(x, relax.const(0.1))),
    "subtract_from_constant": (IMAGE, lambda b, x: op.subtract(relax.const(1.5), x)),
    "power": (IMAGE, lambda b, x: op.power(x, relax.const(2.0))),
    "multiply_by_itself": (IMAGE, lambda b, x: op.multiply(x, x)),
    "where_greater": (IMAGE, lambda b, x: op.where(b.emit(op.greater(x, w(8))), x, w(1, 1, 1, 8))),
    "mean_of_image": (IMAGE, lambda b, x: op.mean(x, axis=[2, 3], keepdims=True)),
    "sum_of_two_axes": (ROWS, lambda b, x: op.sum(x, axis=[0, 2])),
    "argmax": (ROWS, lambda b, x: op.astype(b.emit(op.argmax(x, axis=1)), "float32")),
    "variance": (ROWS, lambda b, x: op.variance(x, axis=[-1], keepdims=True)),
    "concat": (IMAGE, lambda b, x: op.concat([x, b.emit(nn.relu(x)), w(1, 2, 8, 8)], axis=1)),
    "concat_with_itself": (TABLE, lambda b, x: op.concat([x, x], axis=-1)),
    "stack": ((4, 8), lambda b, x: op.stack([x, w(4, 8)], axis=1)),
    "split": ((4, 5), parts),
    "slice": ((4, 9), lambda b, x: op.strided_slice(x, axes=[0, 1], begin=[1, 0], end=[3, 9], strides=[1, 2])),
    "transpose": ((2, 3, 4), lambda b, x: op.permute_dims(x, [2, 0, 1])),
    "expand": ((2, 1, 4), lambda b, x: op.broadcast_to(x, (2, 3, 4))),
    "take": (TABLE, lambda b, x: op.take(x, relax.const([[0, 2], [1, 3]], "int64"), axis=1, mode="clip")),
    "gather_elements": (TABLE, lambda b, x: op.gather_elements(x, w(2, 4, dtype="int64"), axis=0)),
    "gather_nd": (TABLE, lambda b, x: op.gather_nd(x, w(2, 1, dtype="int64"))),
    "clip": (TABLE, lambda b, x: op.clip(x, -0.1, 6.0)),
    "leaky_relu": (TABLE, lambda b, x: nn.leakyrelu(x, 0.1)),
    "gelu": (TABLE, lambda b, x: nn.gelu(x)),
    "silu": (TABLE, lambda b, x: nn.silu(x)),
    "rsqrt": (TABLE, lambda b, x: op.rsqrt(x)),
    "pad": (IMAGE, lambda b, x: nn.pad(x, (0, 0, 1, 2, 0, 0, 3, 0), pad_mode="constant", pad_value=1.5)),
    "resize_nearest": (IMAGE, lambda b, x: op.image.resize2d(x, (16, 16), method="nearest_neighbor")),
    "resize_cubic": (IMAGE, lambda b, x: op.image.resize2d(x, (16, 16), method="cubic")),
    "attention": ((2, 5, 4, 8), lambda b, x: nn.attention(x, x, x, causal_mask="TopLeft")),
    "einsum": ((2, 3), lambda b, x: op.einsum([x, x], "ij,kj->ik")),
    "dropout": ((2, 3), lambda b, x: first(b, nn.dropout(x))),
}  # fmt: skip


@cache
def modules() -> tuple[tvm.IRModule, tvm.IRModule, tvm.IRModule]:
    """A function for each case, between two elementwise operators: as built, legalised, fused."""
    builder = relax.BlockBuilder()
    for name, (shape, build) in CASES.items():
        x = relax.Var("x", relax.TensorType(shape, "float32"))
        with builder.function(name, [x]):
            with builder.dataflow():
                result = builder.emit(build(builder, builder.emit(op.negative(x))))
                result = builder.emit_output(op.abs(result))
            builder.emit_func_output(result)
    legal = relax.transform.LegalizeOps()(builder.get())
    fused = legal
    for step in (relax.transform.AnnotateTIROpPattern(), relax.transform.FoldConstant(), relax.transform.FuseOps(),
                 relax.transform.FuseTIR()):  # fmt: skip
        fused = step(fused)
    return builder.get(), legal, fused


def unified(network: PlannedNetwork) -> OpGraph:
    return UnifySpellingPass()(canonicalize(network.graph))


@pytest.mark.parametrize("name", CASES)
def test_operator_is_the_same_after_legalisation_and_after_fusion(name: str) -> None:
    high, legal, fused = (from_relax(module, function=name) for module in modules())
    assert [node.op for node in unified(legal).nodes] == [node.op for node in unified(high).nodes]
    assert unified(legal).structural_hash() == unified(high).structural_hash()
    assert unified(fused).structural_hash() == unified(high).structural_hash()
    assert graph_cost(unified(fused)).flops == graph_cost(unified(high)).flops


def test_fields_that_hold_a_number_are_those_of_tvms_reflection() -> None:
    """A file does not say which ints are numbers and which are nodes; the reader's table must."""
    document = Document([], plain_int_imm=False)
    seen = 0
    waiting = [tvm_ffi.core.Object]
    while waiting:
        found = waiting.pop()
        waiting += found.__subclasses__()
        info = getattr(found, "__tvm_ffi_type_info__", None)
        if info is None or not info.type_key.startswith(("relax.attrs.", "relax.TensorType", "relax.ShapeType")):
            continue
        for item in info.fields:
            schema = json.loads(item.metadata["type_schema"]) if item.metadata else {}
            if item.name in NUMBERS or item.name == "axis":
                seen += 1
                node = FileObject(document, 0, info.type_key.rpartition(".")[2], {item.name: 7})
                assert node.holds_number(item.name) == (schema.get("type") == "int"), (info.type_key, item.name)
    assert seen > 40


def test_what_is_fused_is_one_kernel() -> None:
    plan = from_relax(modules()[2], function="concat").plan
    assert plan is not None
    assert [plan.graph.nodes[index].op for index in plan.kernels[0]] == ["Neg", "Relu", "Concat", "Abs"]
    assert len(plan.kernels) == 1


def test_operator_that_its_loops_do_not_tell_is_opaque() -> None:
    """ScatterElements is written by hand in TVM, not as blocks."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(TABLE, "float32"))
    with builder.function("main", [x]):
        call = op.scatter_elements(x, w(2, 4, dtype="int64"), w(2, 4), axis=0)
        builder.emit_func_output(builder.emit(call))
    graph = from_relax(relax.transform.LegalizeOps()(builder.get())).graph
    (node,) = graph.nodes
    assert node.op == "tir.scatter_elements"
    assert node.outputs == (TensorType(TABLE, "float32"),)
    assert [edge.source for edge in node.inputs] == [-1, -2, -2]


def test_loops_that_are_split_and_bound_to_threads_are_still_the_operator() -> None:
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(IMAGE, "float32"))
    with builder.function("main", [x]):
        pooled = builder.emit(nn.max_pool2d(x, (2, 2), strides=2))
        builder.emit_func_output(builder.emit(nn.relu(pooled)))
    module = relax.transform.LegalizeOps()(builder.get())
    with tvm.target.Target("cuda"):
        scheduled = tvm.s_tir.dlight.ApplyDefaultSchedule(tvm.s_tir.dlight.gpu.Fallback())(module)
    graph = from_relax(scheduled).graph
    assert [node.op for node in graph.nodes] == ["MaxPool", "Relu"]
    assert graph.nodes[0].attribute_map["kernel_shape"] == graph.nodes[0].attribute_map["strides"] == (2, 2)
    assert graph.nodes[1].inputs == (Edge(0),)


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("conv2d1_add_relu6", 3, ("conv2d", "add", "relu")),
        ("adaptive_avg_pool2d_tir_exp2", 2, ("adaptive_avg_pool2d", "tir_exp")),
        ("conv2d_transpose_add", 2, ("conv2d_transpose", "add")),
        ("conv2d_transpose_add", 3, ("conv2d", "transpose", "add")),
        ("conv2d1_add_b2c9f0", 3, ("", "", "")),
        ("relu", 2, ("", "")),
    ],
)
def test_fused_names_are_split_where_there_is_one_way(name: str, count: int, expected: tuple[str, ...]) -> None:
    known = {"conv2d", "conv2d_transpose", "transpose", "add", "relu", "tir_exp", "adaptive_avg_pool2d"}
    assert split_fused_name(name, count, known) == expected
