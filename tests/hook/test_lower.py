"""A plan becomes the kernels that it says, and the network computes what it did."""

from collections import Counter

import pytest

pytest.importorskip("tvm")

import tvm
import tvm_ffi
from tvm import relax

from relay_frontend.plan import FusionPlan
from tests.hook.modules import attention, build, profile, separable
from tvm_narcost.hook.default_groups import tvm_plan
from tvm_narcost.hook.grouping import group
from tvm_narcost.hook.prepare import PreparedModule, prepare

NETWORKS = {"separable": (separable, (1, 3, 16, 16)), "attention": (attention, (1, 6, 8))}
MODULES = {name: build(network, shape) for name, (network, shape) in NETWORKS.items()}
PREPARED = {name: prepare(module, profile()) for name, module in MODULES.items()}


def prim_funcs(module: tvm.IRModule) -> Counter[int]:
    """How often each PrimFunc is called, by what it computes and not by its name."""
    calls = [binding.value for block in module["main"].body.blocks for binding in block.bindings]
    names = [call.args[0] for call in calls if isinstance(call, tvm.ir.Call)]
    return Counter(tvm_ffi.structural_hash(module[name].without_attr("global_symbol")) for name in names)


@pytest.mark.parametrize("name", NETWORKS)
def test_tvms_own_plan_gives_its_own_kernels(name: str) -> None:
    prepared = PREPARED[name]
    with prepared.target:
        fused = relax.transform.FuseTIR()(relax.transform.FuseOps()(prepared.module))
    assert prim_funcs(group(prepared, tvm_plan(prepared)).module) == prim_funcs(fused)


def apart(prepared: PreparedModule) -> FusionPlan:
    """Every call in a kernel of its own."""
    joined = {node: nodes for nodes in prepared.inseparable for node in nodes}
    kernels = dict.fromkeys(joined.get(node, (node,)) for node in range(len(prepared.graph.nodes)))
    return FusionPlan(prepared.graph, tuple(kernels), "none")


@pytest.mark.parametrize("name", NETWORKS)
def test_one_call_a_kernel_in_the_plans_order(name: str) -> None:
    for plan in (tvm_plan(PREPARED[name]), apart(PREPARED[name])):
        grouped = group(PREPARED[name], plan)
        assert [kernel for _, kernel in grouped.calls] == list(range(len(plan.kernels)))
        assert len(prim_funcs(grouped.module)) <= len(plan.kernels)
