"""FLOPs of real networks are those of a public counter, and their operators those of the file."""

from collections import Counter

import onnx
import pytest

from bench.facts import LIGHT_NETWORKS, light_model
from relay_frontend.load import load_graph
from relay_frontend.onnx import read_onnx


@pytest.mark.parametrize("network", LIGHT_NETWORKS)
def test_macs_are_those_of_onnx_tool(network: str) -> None:
    pytest.importorskip("onnx_tool", reason="onnx-tool is part of the dev extra: pip install 'tvm-narcost[dev]'")
    from bench.flops_counter import compare_macs

    row = compare_macs(network)

    assert row.operators > 0
    assert abs(row.deviation) <= 0.01
    assert row.deviation_without_bias == 0  # which is all that they differ in


@pytest.mark.parametrize("network", LIGHT_NETWORKS)
def test_operators_are_those_of_the_file(network: str) -> None:
    path = light_model(network)
    computed = computed_nodes(onnx.load(path))

    assert Counter(node.op for node in read_onnx(path).nodes) == Counter(node.op_type for node in computed)
    assert Counter(node.op for node in load_graph(path).nodes) == Counter(canonical(computed))


def computed_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of which something depends on the input; the others make weights."""
    stored = {tensor.name for tensor in model.graph.initializer}
    active = {value.name for value in model.graph.input} - stored
    found = []
    for node in model.graph.node:
        if active.intersection(node.input):
            active.update(node.output)
            found.append(node)
    return found


def canonical(nodes: list[onnx.NodeProto]) -> list[str]:
    """Operators after canonicalisation.

    A Dropout does nothing, a Sum of two is an Add, and a BatchNormalization goes into the convolution before it.
    """
    writers = {node.output[0]: node.op_type for node in nodes}
    readers = Counter(name for node in nodes for name in node.input)
    found = []
    for node in nodes:
        source = node.input[0]
        folded = node.op_type == "BatchNormalization" and writers.get(source) == "Conv" and readers[source] == 1
        if node.op_type != "Dropout" and not folded:
            found.append("Add" if node.op_type == "Sum" and len(node.input) == 2 else node.op_type)
    return found
