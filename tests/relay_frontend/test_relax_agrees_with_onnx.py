"""The same network through both readers is the same network."""

from collections import Counter
from functools import cache
from pathlib import Path

import onnx
import pytest

pytest.importorskip("tvm")

from tvm.relax.frontend.onnx import from_onnx as import_onnx

from relay_frontend.costs import graph_cost
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, OpNode, TensorType
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from relay_frontend.relax import from_relax
from relay_frontend.relax.spelling import UnifySpellingPass
from tvm_narcost.zoo import generate

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = (
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", "vgg19",
    "zfnet512",
)  # fmt: skip


@cache
def light(name: str) -> tuple[OpGraph, OpGraph]:
    return through_both(onnx.load(LIGHT / f"light_{name}.onnx"))


def through_both(model: onnx.ModelProto) -> tuple[OpGraph, OpGraph]:
    return canonicalize(from_onnx(model)), canonicalize(from_relax(import_onnx(model)).graph)


@pytest.mark.parametrize("name", NAMES)
def test_same_network_has_the_same_operators_and_costs(name: str) -> None:
    straight, through_relax = light(name)
    assert Counter(node.op for node in through_relax.nodes) == Counter(node.op for node in straight.nodes)
    ours, theirs = graph_cost(through_relax), graph_cost(straight)
    assert ours == theirs
    assert ours.flops > 10**8


@pytest.mark.parametrize("name", NAMES)
def test_same_network_in_one_spelling_is_the_same_graph(name: str) -> None:
    straight, through_relax = map(UnifySpellingPass(), light(name))
    assert through_relax.structural_hash() == straight.structural_hash()


@pytest.mark.parametrize("family", ["mobilenet_v3", "regnet", "vit"])
def test_zoo_network_in_one_spelling_is_the_same_graph(family: str) -> None:
    straight, through_relax = map(UnifySpellingPass(), through_both(generate(family, 1)))
    assert through_relax.structural_hash() == straight.structural_hash()


def test_spelling_changes_only_what_is_written_in_several_ways() -> None:
    vector, matrix = TensorType((4,), "float32"), TensorType((4, 2), "float32")
    image, flat = TensorType((1, 2, 3, 3), "float32"), TensorType((1, 2), "float32")
    pooled = TensorType((1, 2, 1, 1), "float32")
    out = TensorType((1, 4), "float32")
    graph = OpGraph(
        "net",
        nodes=(
            OpNode("ReduceMean", (Edge(GRAPH_INPUT),), (pooled,), (("axes", (2, 3)), ("keepdims", 1))),
            OpNode("Squeeze", (Edge(0),), (flat,), (("axes", (2, 3)),)),
            OpNode("Gemm", (Edge(1), Edge(PARAMETER, 0), Edge(PARAMETER, 1)), (out,), (("transB", 1),)),
            OpNode("Relu", (Edge(2),), (out,)),
        ),
        inputs=(("x", image),),
        parameters=(("w", matrix), ("b", vector)),
        outputs=(Edge(3),),
    )
    unified = UnifySpellingPass()(graph)
    assert [node.op for node in unified.nodes] == ["GlobalAveragePool", "Reshape", "Gemm", "Relu"]
    assert unified.nodes[1].attribute_map == {"shape": (1, 2)}
    assert unified.nodes[2].attribute_map == {"transB": 0}
    assert unified.type_of(unified.nodes[2].inputs[1]).shape == (2, 4)
    assert unified.nodes[3] == graph.nodes[3]
    assert UnifySpellingPass()(unified) == unified
