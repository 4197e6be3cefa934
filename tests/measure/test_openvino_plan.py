"""From an execution graph to a plan, without OpenVINO."""

from collections.abc import Sequence

import pytest

from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, OpNode, TensorType
from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure.runtimes.openvino_graph import ExecutedNode
from tvm_narcost.measure.runtimes.openvino_layout import moves
from tvm_narcost.measure.runtimes.openvino_plan import OpenVinoPlan, plan_nodes

SHAPE = (1, 16, 8, 8)
KIND = TensorType(SHAPE, "float32")
X, W = Edge(GRAPH_INPUT), Edge(PARAMETER)


def graph(*operators: tuple[str, tuple[Edge, ...]]) -> OpGraph:
    nodes = tuple(OpNode(op, inputs, (KIND,), name=op.lower()) for op, inputs in operators)
    return OpGraph("net", nodes, (("x", KIND),), (("w", KIND),), (Edge(len(nodes) - 1),))


def node(
    name: str,
    kind: str,
    inputs: Sequence[str],
    origins: tuple[int, ...] = (),
    *,
    primitive: str = "jit",
    layout: str = "acdb",
) -> ExecutedNode:
    return ExecutedNode(name, kind, primitive, origins, tuple((source, 0) for source in inputs), layout, SHAPE)


INPUT = node("x", "Input", [], primitive="unknown_f32", layout="abcd")


def plan(network: OpGraph, *executed: ExecutedNode) -> OpenVinoPlan:
    """Every operator was read from the ONNX node of its own index."""
    operators = {index: (index, True) for index in range(len(network.nodes))}
    return plan_nodes(network, operators, [INPUT, *executed])


def kernels(planned: OpenVinoPlan) -> list[tuple[str, tuple[str, ...]]]:
    found = planned.plan
    ops = [" ".join(found.graph.nodes[index].op for index in kernel) for kernel in found.kernels]
    return list(zip(ops, planned.members, strict=True))


CONV_RELU = (("Conv", (X, W)), ("Relu", (Edge(0),)))


def test_fused_operators_are_one_kernel_and_a_reorder_is_one() -> None:
    planned = plan(
        graph(*CONV_RELU),
        node("moved", "Reorder", ["x"]),
        node("conv", "Convolution", ["moved"], (0, 1)),
        node("back", "Reorder", ["conv"], layout="abcd"),
        node("y", "Output", ["back"], primitive="unknown_f32"),
    )
    assert kernels(planned) == [
        ("ReorderInput", ("moved",)),
        ("Conv Relu", ("conv",)),
        ("ReorderOutput", ("back",)),
    ]
    assert planned.plan.graph.outputs == (Edge(3),)


def test_a_reorder_that_moves_nothing_gives_its_time_to_its_reader() -> None:
    planned = plan(
        graph(*CONV_RELU),
        node("copied", "Reorder", ["x"], layout="abcd"),
        node("conv", "Convolution", ["copied"], (0, 1)),
    )
    assert kernels(planned) == [("Conv Relu", ("conv", "copied"))]


def test_a_reorder_that_cancels_a_transpose_gives_its_time_to_its_reader() -> None:
    network = graph(("Conv", (X, W)), ("Transpose", (Edge(0),)), ("Softmax", (Edge(1),)))
    planned = plan(
        network,
        node("conv", "Convolution", ["x"], (0,)),
        node("conv_acdb_abcd_fake", "Reorder", ["conv"], layout="abcd"),
        node("soft", "Softmax", ["conv_acdb_abcd_fake"], (2,)),
    )
    assert kernels(planned) == [("Conv", ("conv",)), ("Transpose Softmax", ("soft", "conv_acdb_abcd_fake"))]


def test_a_transpose_put_before_a_product_is_a_part_of_it() -> None:
    network = graph(("MatMul", (X, W)), ("Add", (Edge(0), W)))
    planned = plan(
        network,
        node("a.0/transpose_a", "Transpose", ["x"], (0,), primitive="unknown_f32"),
        node("fc", "FullyConnected", ["a.0/transpose_a"], (1,)),
    )
    assert kernels(planned) == [("MatMul Add", ("fc", "a.0/transpose_a"))]


def test_an_operator_without_a_trace_joins_what_alone_reads_it() -> None:
    network = graph(("MatMul", (X, W)), ("Add", (Edge(0), W)), ("Softmax", (Edge(1),)))
    planned = plan(network, node("fc", "FullyConnected", ["x"], (1,)), node("soft", "Softmax", ["fc"], (2,)))
    assert kernels(planned) == [("MatMul Add", ("fc",)), ("Softmax", ("soft",))]


def test_an_activation_without_a_trace_joins_the_convolution_before_not_the_one_behind() -> None:
    network = graph(*CONV_RELU, ("Conv", (Edge(1), W)))
    planned = plan(network, node("a", "Convolution", ["x"], (0,)), node("b", "Convolution", ["a"], (2,)))
    assert kernels(planned) == [("Conv Relu", ("a",)), ("Conv", ("b",))]


def test_an_activation_without_a_trace_does_not_join_a_pool() -> None:
    network = graph(*CONV_RELU, ("MaxPool", (Edge(1),)))
    planned = plan(network, node("conv", "Convolution", ["x"], (0,)), node("pool", "Pooling", ["conv"], (2,)))
    assert kernels(planned) == [("Conv Relu", ("conv",)), ("MaxPool", ("pool",))]


@pytest.mark.parametrize("traced", [0, 2])
def test_duplicates_are_one_kernel(traced: int) -> None:
    network = graph(("Relu", (X,)), ("Softmax", (Edge(0),)), ("Relu", (X,)), ("Mul", (Edge(1), Edge(2))))
    planned = plan(
        network,
        node("relu", "Eltwise", ["x"], (traced,)),
        node("soft", "Softmax", ["relu"], (1,)),
        node("mul", "Eltwise", ["soft", "relu"], (3,)),
    )
    assert kernels(planned) == [("Relu Relu", ("relu",)), ("Softmax", ("soft",)), ("Mul", ("mul",))]


def test_what_renames_memory_joins_what_it_reads_and_constants_do_not_count() -> None:
    network = graph(("MatMul", (X, W)), ("Reshape", (Edge(0),)), ("Softmax", (Edge(1),)))
    planned = plan(
        network,
        node("w", "Const", []),
        node("transposed", "Transpose", ["w"], (1,)),
        node("fc", "FullyConnected", ["x", "transposed"], (0,)),
        node("view", "Reshape", ["fc"], (1,), primitive="unknown_f32"),
        node("soft", "Softmax", ["view"], (2,)),
    )
    assert kernels(planned) == [("MatMul Reshape", ("fc",)), ("Softmax", ("soft",))]


def test_an_operator_that_became_several_nodes_has_the_time_of_all_but_those_with_operators_of_their_own() -> None:
    network = graph(("LayerNormalization", (X, W)), ("Add", (Edge(0), X)))
    mvn = node("mvn", "MVN", ["x"], (0,))
    scale = node("scale", "Subgraph", ["mvn"], (0,))
    assert kernels(plan(network, mvn, scale, node("add", "Subgraph", ["scale"], (1,)))) == [
        ("LayerNormalization", ("mvn", "scale")),
        ("Add", ("add",)),
    ]
    assert kernels(plan(network, mvn, node("scale", "Subgraph", ["mvn"], (0, 1)))) == [
        ("LayerNormalization", ("mvn",)),
        ("Add", ("scale",)),
    ]


def test_nodes_of_no_operator_give_their_time_to_what_reads_them() -> None:
    planned = plan(
        graph(
            ("Gather", (W, X)),
        ),
        node("ids", "Convert", ["x"]),
        node("checked", "Eltwise", ["ids"]),
        node("gather", "Gather", ["checked"], (0,)),
    )
    assert kernels(planned) == [("Gather", ("gather", "checked", "ids"))]


def test_a_concatenation_in_place_is_the_copies_that_it_needs() -> None:
    network = graph(("Relu", (X,)), ("Sigmoid", (X,)), ("Concat", (Edge(0), Edge(1))))
    relu, sigmoid = node("relu", "Eltwise", ["x"], (0,)), node("sigmoid", "Eltwise", ["x"], (1,))
    joined = ("relu_copy", "sigmoid")
    planned = plan(
        network,
        relu,
        sigmoid,
        node("relu_copy", "Reorder", ["relu"]),
        node("concat", "Concatenation", joined, (2,), primitive="unknown_f32"),
    )
    assert kernels(planned) == [("Relu", ("relu",)), ("Sigmoid", ("sigmoid",)), ("Concat", ("relu_copy",))]


def test_a_network_that_only_renames_memory_has_a_kernel_without_a_node() -> None:
    network = graph(("Reshape", (X,)))
    assert kernels(plan(network, node("view", "Reshape", ["x"], (0,), primitive="unknown_f32"))) == [("Reshape", ())]


def test_kernels_that_read_from_each_other_are_refused() -> None:
    network = graph(("Relu", (X,)), ("Tanh", (Edge(0),)), ("Add", (Edge(0), Edge(1))))
    with pytest.raises(MeasurementError, match="OpenVINO's 2 kernels of 'net' read from each other"):
        plan(network, node("a", "Eltwise", ["x"], (0, 2)), node("b", "Eltwise", ["a"], (1,)))


@pytest.mark.parametrize(
    ("shape", "before", "after", "moved"),
    [
        ((1, 3, 8, 8), "abcd", "acdb", True),
        ((1, 1, 8, 8), "abcd", "acdb", False),
        ((1, 64, 1, 1), "acdb", "abcd", False),
        ((1, 64, 1, 1), "abcd", "aBcd16b", False),
        ((1, 60, 1, 1), "abcd", "aBcd16b", True),
        ((1, 64, 2, 1), "abcd", "aBcd16b", True),
    ],
)
def test_data_moves_only_where_its_order_in_memory_changes(
    shape: tuple[int, ...], before: str, after: str, moved: bool
) -> None:
    assert moves(shape, before, after) is moved
