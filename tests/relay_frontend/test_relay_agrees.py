"""The same network from ONNX, Relay JSON, Relay text and Relax is the same network."""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from relay_frontend import OpGraph, load_graph, load_module
from relay_frontend.costs import graph_cost
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from relay_frontend.relax.spelling import UnifySpellingPass
from tests.relay_frontend.relay_fixture import FUSED, NETWORKS, unpack
from tvm_narcost.zoo import generate

Network = tuple[str, int]
# Of vit Relax's importer makes an index constant a use where the file has one for all: as many operators, 3 parameters
# more.
THROUGH_RELAX = [network for network in NETWORKS if network[0] not in ("nasbench201", "vit", "yolo")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relay")


@cache
def straight(network: Network) -> OpGraph:
    return UnifySpellingPass()(canonicalize(from_onnx(generate(*network))))


def operators(graph: OpGraph) -> Counter[str]:
    return Counter(node.op for node in graph.nodes)


@pytest.mark.parametrize("suffix", ["json", "txt"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network[0])
def test_relay_is_the_same_as_onnx(network: Network, suffix: str, folder: Path) -> None:
    family, seed = network
    read = UnifySpellingPass()(load_graph(unpack(f"{family}-{seed}.{suffix}", folder)))
    assert operators(read) == operators(straight(network))
    assert graph_cost(read) == graph_cost(straight(network))
    assert read.structural_hash() == straight(network).structural_hash()


@pytest.mark.parametrize("network", THROUGH_RELAX, ids=lambda network: network[0])
def test_relax_is_the_same_as_relay(network: Network, folder: Path) -> None:
    pytest.importorskip("tvm")
    from tvm.relax.frontend.onnx import from_onnx as import_onnx

    from relay_frontend.relax import from_relax

    family, seed = network
    relay = UnifySpellingPass()(load_graph(unpack(f"{family}-{seed}.json", folder)))
    relax = UnifySpellingPass()(canonicalize(from_relax(import_onnx(generate(family, seed))).graph))
    assert operators(relax) == operators(relay)
    assert graph_cost(relax) == graph_cost(relay)
    assert relax.structural_hash() == relay.structural_hash()


@pytest.mark.parametrize("network", FUSED, ids=lambda network: network[0])
def test_a_fused_module_is_the_same_network_in_kernels(network: Network, folder: Path) -> None:
    family, seed = network
    (graph, plan), (by_text, text_plan) = (
        load_module(unpack(f"{family}-{seed}.fused.{suffix}", folder)) for suffix in ("json", "txt")
    )
    for found in (graph, by_text):
        assert UnifySpellingPass()(found).structural_hash() == straight(network).structural_hash()
    assert plan is not None and text_plan is not None

    def kernels(of: object) -> Counter[tuple[str, ...]]:
        assert plan is not None and text_plan is not None
        one = plan if of == "json" else text_plan
        return Counter(tuple(one.graph.nodes[node].op for node in kernel) for kernel in one.kernels)

    assert kernels("json") == kernels("txt")
    assert kernels("json")["Conv", "Relu"] > 5
    assert len(plan.kernels) < len(plan.graph.nodes)


def test_an_unfused_module_has_no_plan(folder: Path) -> None:
    assert load_module(unpack("squeezenet-3.json", folder))[1] is None
