"""Networks after LegalizeOps and after TVM's default fusion are the networks that they were."""

from functools import cache
from pathlib import Path

import onnx
import pytest

pytest.importorskip("tvm")

from tvm import relax
from tvm.relax.frontend.onnx import from_onnx as import_onnx

from relay_frontend.costs import graph_cost
from relay_frontend.graph import OpGraph
from relay_frontend.passes import canonicalize
from relay_frontend.plan import PlannedNetwork
from relay_frontend.relax import from_relax
from relay_frontend.relax.spelling import UnifySpellingPass
from tvm_narcost.zoo import generate

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = ("light_squeezenet", "mlp_mixer", "mobilenet_v2", "nasbench201", "swin", "vit")


@cache
def read(name: str) -> tuple[PlannedNetwork, PlannedNetwork, PlannedNetwork]:
    """The module as imported, legalised, and fused as relax.get_default_pipeline does."""
    model = onnx.load(LIGHT / f"{name}.onnx") if name.startswith("light_") else generate(name, 1)
    high = import_onnx(model)
    legal = relax.transform.LegalizeOps()(high)
    fused = legal
    for step in (relax.transform.AnnotateTIROpPattern(), relax.transform.FoldConstant(), relax.transform.FuseOps(),
                 relax.transform.FuseTIR()):  # fmt: skip
        fused = step(fused)
    return from_relax(high), from_relax(legal), from_relax(fused)


def unified(graph: OpGraph) -> OpGraph:
    return UnifySpellingPass()(canonicalize(graph))


@pytest.mark.parametrize("name", NAMES)
def test_network_is_the_same_after_each_pass(name: str) -> None:
    networks = read(name)
    high, legal, fused = (unified(network.graph) for network in networks)
    assert legal.structural_hash() == high.structural_hash()
    assert fused.structural_hash() == high.structural_hash()
    ours, theirs = graph_cost(fused), graph_cost(high)
    assert ours.flops == theirs.flops
    assert ours.flops > 10**8
    assert ours.parameters == pytest.approx(theirs.parameters, abs=2)  # a scalar that was written twice is read once


@pytest.mark.parametrize("name", NAMES)
def test_plan_covers_the_network_with_one_product_a_kernel(name: str) -> None:
    plan = read(name)[2].plan
    assert plan is not None
    assert len(plan.kernels) < len(plan.graph.nodes)
    assert graph_cost(plan.graph).flops == pytest.approx(graph_cost(unified(plan.graph)).flops, rel=0.02)
    for kernel in plan.kernels:
        assert sum(plan.graph.nodes[index].op in ("Conv", "Gemm", "MatMul") for index in kernel) <= 1
