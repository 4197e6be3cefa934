"""Sums over a network: known totals, each parameter once, and speed."""

import time

import pytest

from relay_frontend.costs import GraphCost, graph_cost, operator_cost
from relay_frontend.errors import UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, OpNode, TensorType

INPUT = Edge(GRAPH_INPUT)


def float32(*shape: int) -> TensorType:
    return TensorType(shape, "float32")


class Builder:
    """Appends operators to a network; each new one reads the edge that it is given."""

    def __init__(self) -> None:
        self.nodes: list[OpNode] = []
        self.parameters: list[tuple[str, TensorType]] = []

    def add(self, op: str, inputs: tuple[Edge, ...], output: TensorType, **attributes: int | tuple[int, ...]) -> Edge:
        self.nodes.append(OpNode(op, inputs, (output,), tuple(sorted(attributes.items()))))
        return Edge(len(self.nodes) - 1)

    def weight(self, *shape: int) -> Edge:
        self.parameters.append((f"w{len(self.parameters)}", float32(*shape)))
        return Edge(PARAMETER, len(self.parameters) - 1)

    def convolve(self, source: Edge, channels: int, filters: int, kernel: int, size: int, stride: int = 1) -> Edge:
        weight, output = self.weight(filters, channels, kernel, kernel), float32(1, filters, size, size)
        return self.add("Conv", (source, weight), output, pads=(kernel // 2,) * 4, strides=(stride, stride))


def resnet50() -> OpGraph:
    """ResNet-50 (stride in the 3 x 3 convolution) with BatchNorm folded away and no biases."""
    net = Builder()
    edge = net.convolve(INPUT, 3, 64, 7, 112, 2)
    pool = {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}
    edge = net.add("MaxPool", (edge,), float32(1, 64, 56, 56), **pool)
    channels, size = 64, 56
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            inner = net.convolve(edge, channels, width, 1, size)
            size //= stride
            inner = net.convolve(inner, width, width, 3, size, stride)
            inner = net.convolve(inner, width, 4 * width, 1, size)
            if not block:
                edge = net.convolve(edge, channels, 4 * width, 1, size, stride)
            edge, channels = net.add("Add", (inner, edge), float32(1, 4 * width, size, size)), 4 * width
    edge = net.add("GlobalAveragePool", (edge,), float32(1, 2048, 1, 1))
    edge = net.add("Flatten", (edge,), float32(1, 2048))
    edge = net.add("Gemm", (edge, net.weight(1000, 2048)), float32(1, 1000), transB=1)
    return OpGraph("resnet50", tuple(net.nodes), (("x", float32(1, 3, 224, 224)),), tuple(net.parameters), (edge,))


def test_resnet50_has_its_published_size() -> None:
    graph = resnet50()
    products = [
        operator_cost(graph, index).flops for index, node in enumerate(graph.nodes) if node.op in {"Conv", "Gemm"}
    ]

    assert sum(products) == 2 * 4_089_184_256  # published as 4.09 G multiply-adds
    assert graph_cost(graph).parameters == 25_557_032 - 53_120 - 1_000  # published, less BatchNorm and the bias


def test_the_sum_is_of_the_operators() -> None:
    graph = resnet50()
    costs = [operator_cost(graph, index) for index in range(len(graph.nodes))]

    total = graph_cost(graph)

    assert total.flops == sum(cost.flops for cost in costs)
    assert total.padding_flops == sum(cost.padding_flops for cost in costs) > 0
    assert total.activation_bytes == sum(cost.output_bytes for cost in costs)
    assert total.memory_bytes == sum(cost.input_bytes + cost.parameter_bytes + cost.output_bytes for cost in costs)


def test_a_shared_parameter_counts_once_and_a_shape_not_at_all() -> None:
    shared, shape, unused = float32(8, 8), TensorType((2,), "int64"), float32(99)
    nodes = (
        OpNode("MatMul", (INPUT, Edge(PARAMETER, 0)), (float32(4, 8),)),
        OpNode("MatMul", (Edge(0), Edge(PARAMETER, 0)), (float32(4, 8),)),
        OpNode("Reshape", (Edge(1), Edge(PARAMETER, 1)), (float32(2, 16),)),
    )
    parameters = (("w", shared), ("shape", shape), ("unused", unused))
    graph = OpGraph("shared", nodes, (("x", float32(4, 8)),), parameters, (Edge(2),))

    assert graph_cost(graph) == GraphCost(
        flops=2 * 2 * 4 * 8 * 8,
        padding_flops=0,
        parameters=64,
        parameter_bytes=256,
        activation_bytes=2 * 128,
        memory_bytes=2 * (128 + 256 + 128),
    )


def test_unknown_operators_are_all_named() -> None:
    nodes = tuple(OpNode(op, (INPUT,), (float32(4),)) for op in ("Zap", "Relu", "Bop", "Zap"))
    graph = OpGraph("odd", nodes, (("x", float32(4)),), (), ())

    with pytest.raises(UnsupportedOperatorError, match="'odd' uses Bop, Zap, expected"):
        graph_cost(graph)
    assert graph_cost(graph, strict=False) == GraphCost(4, 0, 0, 0, 64, 128, ("Bop", "Zap"))


def test_an_empty_network_costs_nothing() -> None:
    assert graph_cost(OpGraph("empty", (), (), (), ())) == GraphCost(0, 0, 0, 0, 0, 0)


def test_twenty_thousand_nodes_take_well_under_a_second() -> None:
    count = 20_000
    # Each fourth node is a convolution of its own shape among a few hundred; the others add two earlier values.
    nodes = [OpNode("Relu", (INPUT,), (float32(1, 8, 16, 16),))]
    for index in range(1, count):
        earlier = (Edge(index - 1), Edge(max(index - 3, 0)))
        if index % 4:
            nodes.append(OpNode("Add", earlier, (float32(1, 8, 16, 16 + index % 300),)))
        else:
            attributes = (("pads", (1, 1, 1, 1)), ("strides", (1, 1)))
            nodes.append(OpNode("Conv", (earlier[0], Edge(PARAMETER)), (float32(1, 8, 16, 17),), attributes))
    graph = OpGraph("long", tuple(nodes), (("x", float32(1, 8, 16, 16)),), (("w", float32(8, 8, 3, 3)),), ())

    started = time.perf_counter()
    graph_cost(graph)

    assert time.perf_counter() - started < 1.0  # about 0.05 s alone on a core
