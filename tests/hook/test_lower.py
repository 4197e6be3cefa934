"""A plan becomes the kernels that it says, and the network computes what it did."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tvm")

import tvm
import tvm_ffi
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from relay_frontend.plan import FusionPlan
from tests.hook.modules import attention, batch_norm, build, numbers, profile, reference, run, separable
from tvm_narcost.errors import CompileError
from tvm_narcost.fusion.candidates import draw_plans
from tvm_narcost.hook.default_groups import tvm_plan
from tvm_narcost.hook.grouping import group
from tvm_narcost.hook.lower import lower
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


EXPECTED = {name: reference(MODULES[name], [numbers(*shape)]) for name, (_, shape) in NETWORKS.items()}


@settings(max_examples=4)
@given(name=st.sampled_from(sorted(NETWORKS)), seed=st.integers(0, 2**16), data=st.data())
def test_any_legal_plan_gives_the_unfused_outputs(name: str, seed: int, data: st.DataObject) -> None:
    prepared = PREPARED[name]
    plans = draw_plans(prepared.graph, prepared.patterns, 12, seed, inseparable=prepared.inseparable)
    plan = data.draw(st.sampled_from(plans))
    found = run(lower(prepared, plan, profile()), [numbers(*NETWORKS[name][1])])
    for got, expected in zip(found, EXPECTED[name], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_only_read_results_leave_a_kernel() -> None:
    """One that is read inside and outside is written; of three statistics that batch_norm gives, one is."""

    def network(emit: Any, x: Any) -> Any:
        norm = batch_norm(emit, emit(relax.op.exp(x)), seed=3)
        return emit(relax.op.add(emit(relax.op.tanh(norm)), emit(relax.op.sum(norm, axis=[1], keepdims=True))))

    prepared = prepare(build(network, (1, 4, 8, 8)), profile())
    assert [node.op for node in prepared.graph.nodes] == ["Exp", "BatchNormalization", "Tanh", "ReduceSum", "Add"]
    plan = FusionPlan(prepared.graph, ((0, 1, 2), (3,), (4,)), "mine")
    module = group(prepared, plan).module
    first = next(iter(module["main"].body.blocks[0].bindings)).value
    assert [tuple(map(int, kind.shape.values)) for kind in first.ty.fields] == [(1, 4, 8, 8), (1, 4, 8, 8)]
    data = numbers(1, 4, 8, 8)
    (found,) = run(lower(prepared, plan, profile()), [data])
    np.testing.assert_allclose(found, reference(prepared.source, [data])[0], rtol=1e-4, atol=1e-5)


def test_a_tuple_may_be_a_networks_result() -> None:
    def network(emit: Any, x: Any) -> Any:
        halves = emit(relax.op.split(emit(relax.op.exp(x)), 2, axis=1))
        return relax.Tuple([halves, emit(halves[1]), x])

    module = build(network, (1, 4, 8))
    prepared = prepare(module, profile())
    plan = FusionPlan(prepared.graph, (tuple(range(len(prepared.graph.nodes))),), "one kernel")
    data = numbers(1, 4, 8)
    target = tvm.target.Target("llvm")
    results = []
    for lowered in (lower(prepared, plan, profile()), relax.get_default_pipeline(target)(module)):
        executable = tvm.compile(lowered, target, relax_pipeline=tvm.transform.Sequential([]))
        halves, second, same = relax.VirtualMachine(executable, tvm.cpu())["main"](tvm.runtime.tensor(data))
        results.append([tensor.numpy() for tensor in (*halves, second, same)])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_kernels_that_read_each_other_are_refused() -> None:
    prepared = PREPARED["separable"]
    count = len(prepared.graph.nodes)
    around = FusionPlan(prepared.graph, ((0, count - 1), tuple(range(1, count - 1))), "mine")
    with pytest.raises(CompileError, match=r"cannot be put in order .*expected convex kernels"):
        group(prepared, around)


def test_what_one_call_computes_is_not_parted() -> None:
    prepared = PREPARED["attention"]
    assert [[prepared.graph.nodes[node].op for node in nodes] for nodes in prepared.inseparable] == [["Sigmoid", "Mul"]]
    parted = FusionPlan(prepared.graph, tuple((node,) for node in range(len(prepared.graph.nodes))), "mine")
    with pytest.raises(CompileError, match=r"expected them in one: one call computes them together"):
        group(prepared, parted)


def test_a_plan_of_another_graph_is_refused() -> None:
    with pytest.raises(CompileError, match=r"nodes that are not those of the module .*plan what prepare returns"):
        group(PREPARED["attention"], tvm_plan(PREPARED["separable"]))
