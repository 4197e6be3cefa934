"""The same network through both readers is the same network."""

from collections import Counter
from pathlib import Path

import onnx
import pytest

pytest.importorskip("tvm")

from tvm.relax.frontend.onnx import from_onnx as import_onnx

from relay_frontend.costs import graph_cost
from relay_frontend.graph import OpGraph
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from relay_frontend.relax import from_relax

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def through_both(name: str) -> tuple[OpGraph, OpGraph]:
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    return canonicalize(from_onnx(model)), canonicalize(from_relax(import_onnx(model)))


@pytest.mark.parametrize(
    "name",
    ["bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", "vgg19",
     "zfnet512"],
)  # fmt: skip
def test_same_network_has_the_same_operators_and_costs(name: str) -> None:
    straight, through_relax = through_both(name)
    assert Counter(node.op for node in through_relax.nodes) == Counter(node.op for node in straight.nodes)
    ours, theirs = graph_cost(through_relax), graph_cost(straight)
    assert ours == theirs
    assert ours.flops > 10**8


@pytest.mark.parametrize("name", ["densenet121", "squeezenet"])
def test_networks_without_a_gemm_are_the_same_graph(name: str) -> None:
    straight, through_relax = through_both(name)
    assert through_relax.structural_hash() == straight.structural_hash()
