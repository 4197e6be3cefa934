"""The Relax reader on the smallest modules that show each rule."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

pytest.importorskip("tvm")

import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx as import_onnx

from relay_frontend.costs import graph_cost
from relay_frontend.errors import DynamicShapeError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, TensorType
from relay_frontend.relax import from_relax
from relay_frontend.relax.reader import read_relax

Build = Callable[..., Any]


def module_of(build: Build, *shapes: tuple[Any, ...], num_input: int | None = None) -> tvm.IRModule:
    """A module with one function: float32 inputs of ``shapes``, and what ``build`` makes of them."""
    builder = relax.BlockBuilder()
    inputs = [relax.Var(f"x{index}", relax.TensorType(shape, "float32")) for index, shape in enumerate(shapes)]
    attributes = {} if num_input is None else {"num_input": num_input}
    with builder.function("main", inputs, attrs=attributes):
        with builder.dataflow():
            result = builder.emit_output(build(builder, *inputs))
        builder.emit_func_output(result)
    return builder.get()


def graph_of(module: tvm.IRModule, **options: Any) -> OpGraph:
    return from_relax(module, **options).graph


def weight(*shape: int) -> Any:
    return relax.const(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))


def ops(graph: OpGraph) -> list[str]:
    return [node.op for node in graph.nodes]


def through_onnx(
    *nodes: onnx.NodeProto, shape: tuple[int, ...], opset: int = 13, weights: dict[str, Any] | None = None
) -> OpGraph:
    """Nodes from x to y, imported by TVM's own importer and read back."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return graph_of(import_onnx(onnx.shape_inference.infer_shapes(model)))


def test_convolution_with_bias_is_one_operator_with_onnx_attributes() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        conv = builder.emit(relax.op.nn.conv2d(x, weight(8, 2, 3, 5), strides=2, padding=(1, 2), groups=2))
        return relax.op.add(conv, relax.op.reshape(weight(8), (1, 8, 1, 1)))

    graph = graph_of(module_of(build, (1, 4, 16, 16)), name="net")
    (node,) = graph.nodes
    assert graph.name == "net"
    assert node.op == "Conv"
    assert node.attribute_map == {
        "dilations": (1, 1),
        "group": 2,
        "kernel_shape": (3, 5),
        "pads": (1, 2, 1, 2),
        "strides": (2, 2),
    }
    assert node.inputs == (Edge(GRAPH_INPUT, 0), Edge(PARAMETER, 0), Edge(PARAMETER, 1))
    assert [kind.shape for _, kind in graph.parameters] == [(8, 2, 3, 5), (8,)]
    assert node.outputs == (TensorType((1, 8, 8, 8), "float32"),)


def test_addition_stays_where_the_convolution_has_another_reader() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        conv = builder.emit(relax.op.nn.conv2d(x, weight(4, 4, 1, 1)))
        shifted = builder.emit(relax.op.add(conv, weight(1, 4, 1, 1)))
        return relax.op.multiply(shifted, conv)

    assert ops(graph_of(module_of(build, (1, 4, 8, 8)))) == ["Conv", "Add", "Mul"]


def test_addition_along_another_axis_is_no_bias() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        conv = builder.emit(relax.op.nn.conv2d(x, weight(8, 4, 1, 1)))
        return relax.op.add(conv, weight(8))

    assert ops(graph_of(module_of(build, (1, 4, 8, 8)))) == ["Conv", "Add"]


def test_what_is_computed_from_weights_alone_is_a_parameter() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var, second: relax.Var) -> Any:
        scaled = builder.emit(relax.op.multiply(second, weight(16, 8)))
        transposed = builder.emit(relax.op.permute_dims(scaled))
        return relax.op.matmul(x, transposed)

    graph = graph_of(module_of(build, (2, 8), (16, 8), num_input=1))
    assert ops(graph) == ["MatMul"]
    assert [name for name, _ in graph.inputs] == ["x0"]
    assert [kind.shape for _, kind in graph.parameters] == [(8, 16)]


def test_every_parameter_is_an_input_without_num_input() -> None:
    graph = graph_of(module_of(lambda builder, x, y: relax.op.matmul(x, y), (2, 8), (8, 16)))
    assert [name for name, _ in graph.inputs] == ["x0", "x1"]


def test_product_and_bias_of_a_matrix_are_a_gemm() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        product = builder.emit(relax.op.matmul(x, weight(8, 16)))
        return relax.op.nn.softmax(relax.op.add(product, weight(16)), axis=-1)

    graph = graph_of(module_of(build, (2, 8)))
    assert ops(graph) == ["Gemm", "Softmax"]
    assert graph.nodes[1].attribute_map == {"axis": 1}


def test_product_and_bias_of_three_axes_stay_apart() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        return relax.op.add(builder.emit(relax.op.matmul(x, weight(8, 16))), weight(16))

    assert ops(graph_of(module_of(build, (2, 3, 8)))) == ["MatMul", "Add"]


def test_batch_norm_has_the_one_output_that_is_read() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        normalised = builder.emit(relax.op.nn.batch_norm(x, *(weight(4) for _ in range(4)), axis=1, epsilon=1e-3))
        return relax.TupleGetItem(normalised, 0)

    (node,) = graph_of(module_of(build, (1, 4, 8, 8))).nodes
    assert (node.op, len(node.inputs), len(node.outputs)) == ("BatchNormalization", 5, 1)
    assert node.attribute_map["epsilon"] == pytest.approx(1e-3)


def test_split_slice_and_pad_say_what_the_onnx_reader_says() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        parts = builder.emit(relax.op.split(x, [2, 5], axis=-1))
        window = relax.op.strided_slice(relax.TupleGetItem(parts, 1), axes=[0, 1], begin=[0, -3], end=[9, 99])
        return relax.op.nn.pad(builder.emit(window), (0, 0, 1, 2))

    split, window, pad = graph_of(module_of(build, (4, 8))).nodes
    assert split.attribute_map == {"axis": 1, "split": (2, 3, 3)}
    assert window.inputs == (Edge(0, 1),)
    assert window.attribute_map == {"axes": (), "ends": (), "starts": (), "steps": ()}
    assert pad.attribute_map == {"mode": "constant", "pads": (0, 1, 0, 2), "value": 0.0}


def test_operators_that_onnx_has_not_become_several() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        return relax.op.rsqrt(builder.emit(relax.op.nn.silu(x)))

    graph = graph_of(module_of(build, (4, 8)))
    assert ops(graph) == ["Sigmoid", "Mul", "Sqrt", "Reciprocal"]
    assert graph.nodes[1].inputs == (Edge(GRAPH_INPUT, 0), Edge(0))
    assert graph.outputs == (Edge(3),)


def test_attention_counts_both_products() -> None:
    graph = graph_of(
        module_of(lambda builder, q, k, v: relax.op.nn.attention(q, k, v), (2, 5, 4, 8), (2, 7, 4, 8), (2, 7, 4, 16))
    )
    assert ops(graph) == ["Reshape", "Reshape", "Reshape", "Attention", "Reshape"]
    assert graph.nodes[3].attribute_map == {"is_causal": 0, "kv_num_heads": 4, "q_num_heads": 4}
    assert graph.nodes[4].outputs == (TensorType((2, 5, 4, 16), "float32"),)
    products = 2 * 2 * 4 * (5 * 7 * 8 + 5 * 7 * 16)
    assert graph_cost(graph).flops == products + 5 * 2 * 4 * 5 * 7


def test_gate_with_other_bounds_is_no_hard_swish() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        gate = relax.op.clip(builder.emit(relax.op.add(x, relax.const(3.0))), 0, 5)
        return relax.op.multiply(x, builder.emit(relax.op.divide(builder.emit(gate), relax.const(6.0))))

    graph = graph_of(module_of(build, (2, 3)))
    assert ops(graph) == ["Add", "Clip", "Div", "Mul"]
    assert graph.nodes[1].attribute_map == {"max": 5.0, "min": 0.0}


def test_adaptive_pool_is_a_pool_where_its_windows_are_equal() -> None:
    def pool_to(extent: int) -> OpGraph:
        return graph_of(module_of(lambda builder, x: relax.op.nn.adaptive_avg_pool2d(x, extent), (1, 2, 8, 8)))

    assert ops(pool_to(1)) == ["GlobalAveragePool"]
    assert pool_to(2).nodes[0].attribute_map["kernel_shape"] == (4, 4)
    with pytest.raises(UnsupportedOperatorError, match="windows of unequal size"):
        pool_to(3)


def test_bounds_that_are_no_literals_are_refused() -> None:
    bound = tvm.tirx.Var("bound", "float32")
    with pytest.raises(InvalidGraphError, match=r"relax\.clip .* does not fit its inputs or attributes"):
        graph_of(module_of(lambda builder, x: relax.op.clip(x, bound, 6.0), (2, 3)))


def test_variance_is_the_mean_squared_distance_from_the_mean() -> None:
    graph = graph_of(module_of(lambda builder, x: relax.op.variance(x, axis=-1), (4, 8)))
    assert ops(graph) == ["ReduceMean", "Sub", "Mul", "ReduceMean"]
    assert [node.outputs[0].shape for node in graph.nodes] == [(4, 1), (4, 8), (4, 8), (4,)]


def test_shapes_are_constants() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        extents = builder.emit(relax.op.shape_to_tensor(builder.emit(relax.op.shape_of(x))))
        place = builder.emit(relax.op.take(extents, relax.const(0, "int64"), axis=0))
        return relax.op.take(x, place, axis=0)

    graph = graph_of(module_of(build, (4, 8)))
    assert ops(graph) == ["Gather"]
    assert graph.nodes[0].inputs[1].source == PARAMETER


def test_sum_of_two_is_add_and_of_three_is_sum() -> None:
    sum_of_two = through_onnx(helper.make_node("Sum", ["x", "x"], ["y"]), shape=(2, 3))
    assert ops(sum_of_two) == ["Add"]
    assert sum_of_two.nodes[0].inputs == (Edge(GRAPH_INPUT, 0),) * 2
    row = np.ones((1, 3), np.float32)
    of_three = through_onnx(helper.make_node("Sum", ["x", "row", "x"], ["y"]), shape=(2, 3), weights={"row": row})
    assert ops(of_three) == ["Sum"]
    assert [edge.source for edge in of_three.nodes[0].inputs] == [GRAPH_INPUT, PARAMETER, GRAPH_INPUT]


@pytest.mark.parametrize(
    ("node", "shape", "opset", "attributes"),
    [
        (helper.make_node("LRN", ["x"], ["y"], size=5, alpha=0.5, beta=0.25), (1, 8, 4, 4), 13,
         {"alpha": 0.5, "beta": 0.25, "bias": 1.0, "size": 5}),
        (helper.make_node("HardSwish", ["x"], ["y"]), (2, 3), 14, {}),
        (helper.make_node("HardSigmoid", ["x"], ["y"], alpha=0.25), (2, 3), 13, {"alpha": 0.25, "beta": 0.5}),
        (helper.make_node("GlobalAveragePool", ["x"], ["y"]), (1, 8, 4, 4), 13, {}),
        (helper.make_node("Softmax", ["x"], ["y"], axis=1), (1, 8, 1, 1), 11, {"axis": 1}),
        (helper.make_node("Softmax", ["x"], ["y"], axis=1), (2, 8, 3, 3), 11, {"axis": 1, "flatten": 1}),
        (helper.make_node("Softmax", ["x"], ["y"], axis=-2), (2, 8, 3, 3), 13, {"axis": 2}),
        (helper.make_node("Gelu", ["x"], ["y"]), (2, 3), 20, {}),
        (helper.make_node("Transpose", ["x"], ["y"]), (2, 3, 4), 13, {"perm": (2, 1, 0)}),
        (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
         (1, 2, 8, 8), 12,
         {"ceil_mode": 0, "dilations": (1, 1), "kernel_shape": (3, 3), "pads": (0, 0, 1, 1), "strides": (2, 2)}),
        (helper.make_node("ReduceMean", ["x"], ["y"], axes=[-1]), (2, 3, 4), 13, {"axes": (2,), "keepdims": 1}),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else "",
)  # fmt: skip
def test_what_the_importer_takes_apart_is_one_operator_again(
    node: onnx.NodeProto, shape: tuple[int, ...], opset: int, attributes: dict[str, Any]
) -> None:
    (found,) = through_onnx(node, shape=shape, opset=opset).nodes
    assert found.op == node.op_type
    assert found.attribute_map == attributes
    assert found.inputs == (Edge(GRAPH_INPUT, 0),)


def test_clip_that_the_importer_writes_as_prim_funcs_is_clip() -> None:
    bounds = {"low": np.float32(0), "high": np.float32(6)}
    graph = through_onnx(helper.make_node("Clip", ["x", "low", "high"], ["y"]), shape=(2, 3), weights=bounds)
    assert ops(graph) == ["Clip"]
    assert graph.nodes[0].attribute_map == {"max": 6.0, "min": 0.0}


def test_nodes_lead_back_to_bindings() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        return relax.op.nn.relu(builder.emit(relax.op.nn.silu(x)))

    module = module_of(build, (4, 8))
    reading = read_relax(module)
    silu, relu = module["main"].body.blocks[0].bindings
    assert reading.nodes_of[silu.var] == (0, 1)
    assert reading.nodes_of[relu.var] == (2,)


def test_open_dimension_is_named() -> None:
    size = tvm.tirx.Var("batch", "int64")
    with pytest.raises(DynamicShapeError, match=r"'x0'.*batch unbound.*BindSymbolicVars"):
        graph_of(module_of(lambda builder, x: relax.op.nn.relu(x), (size, 8)))


def test_unknown_rank_is_refused() -> None:
    x = relax.Var("x", relax.TensorType(dtype="float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        builder.emit_func_output(builder.emit(relax.op.nn.relu(x)))
    with pytest.raises(DynamicShapeError, match="'x' has unknown rank.*expected a static shape"):
        graph_of(builder.get())


def test_operators_that_no_table_has_stay_with_their_types() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        first = builder.emit(relax.op.flip(x, axis=0))
        second = builder.emit(relax.op.nn.relu(first))
        return relax.op.left_shift(second, x)

    graph = graph_of(module_of(build, (4, 8)))
    assert ops(graph) == ["relax.flip", "Relu", "relax.left_shift"]
    assert graph.nodes[2].inputs == (Edge(1), Edge(GRAPH_INPUT, 0))
    assert graph.nodes[0].outputs == (TensorType((4, 8), "float32"),)
    assert graph_cost(graph, strict=False).unknown_operators == ("relax.flip", "relax.left_shift")


def test_channels_last_is_an_attribute_and_the_weight_is_as_onnx_has_it() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        conv = relax.op.nn.conv2d(x, weight(3, 3, 2, 8), groups=2, data_layout="NHWC", kernel_layout="HWIO")
        return relax.op.nn.max_pool2d(builder.emit(conv), (2, 2), layout="NHWC")

    graph = graph_of(module_of(build, (1, 8, 8, 4)))
    conv, pool = graph.nodes
    assert graph.input_types(0) == (TensorType((1, 8, 8, 4), "float32"), TensorType((8, 2, 3, 3), "float32"))
    assert (conv.attribute_map["channels_last"], conv.attribute_map["kernel_shape"]) == (1, (3, 3))
    assert pool.attribute_map["channels_last"] == 1
    assert graph_cost(graph).flops == 2 * 6 * 6 * 8 * 2 * 9 + 5 * 5 * 8 * 4


def test_other_layouts_are_refused() -> None:
    def build(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        return relax.op.nn.conv2d(x, weight(8, 3, 3, 4), data_layout="NHWC", kernel_layout="OHWI")

    with pytest.raises(
        UnsupportedOperatorError, match=r"relax\.nn\.conv2d has kernel_layout OHWI, expected WIO or HWIO"
    ):
        graph_of(module_of(build, (1, 8, 8, 4)))


def test_missing_function_is_named_beside_those_there_are() -> None:
    module = module_of(lambda builder, x: relax.op.nn.relu(x), (4, 8))
    with pytest.raises(InvalidGraphError, match="no Relax function 'forward', expected one of main"):
        graph_of(module, function="forward")
