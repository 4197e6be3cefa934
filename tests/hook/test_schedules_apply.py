"""A whole module: scheduled once a kernel, its constants packed, what no rule fits left, the caller's module kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tvm")

import tvm
import tvm_ffi
from tvm import relax, tirx

from tests.hook.modules import attention, build, numbers, profile, reference, run, separable
from tvm_narcost.hook.default_groups import tvm_plan
from tvm_narcost.hook.grouping import group
from tvm_narcost.hook.lower import finish
from tvm_narcost.hook.prepare import prepare
from tvm_narcost.hook.schedules import cpu_rules, schedule
from tvm_narcost.hook.variant import Variant

NETWORKS = {"separable": (separable, (1, 3, 16, 16)), "attention": (attention, (1, 6, 8))}


def grouped(name: str, variant: Variant | None = None) -> tuple[tvm.IRModule, tvm.IRModule]:
    """A network as it was built, and with its operators fused as TVM does it."""
    network, shape = NETWORKS[name]
    module = build(network, shape)
    prepared = prepare(module, profile(), variant=variant)
    return module, group(prepared, tvm_plan(prepared)).module


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_computes_what_it_did(name: str, layout: str) -> None:
    module, fused = grouped(name, Variant(layout=layout))
    inputs = [numbers(*NETWORKS[name][1])]
    found = run(finish(schedule(fused, profile()), profile()), inputs)
    for got, expected in zip(found, reference(module, inputs), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_callers_module_is_kept() -> None:
    _, fused = grouped("separable")
    before = tvm_ffi.structural_hash(fused)
    assert tvm_ffi.structural_hash(schedule(fused, profile())) != before
    assert tvm_ffi.structural_hash(fused) == before


def test_same_module_same_schedules() -> None:
    _, fused = grouped("separable")
    first, second = schedule(fused, profile()), schedule(fused, profile())
    assert tvm_ffi.structural_equal(first, second)


def products(*weights: Any) -> tvm.IRModule:
    """Products of the input with each of the weights, one after the other."""

    def network(emit: Any, x: Any, *more: Any) -> Any:
        for weight in (*weights, *more):
            x = emit(relax.op.matmul(x, weight))
        return x

    shapes = [(9, 24), *([(24, 24)] if not weights else [])]
    module = build(network, *shapes)
    with tvm.target.Target("llvm"):
        return relax.transform.LegalizeOps()(module)


def constants(module: tvm.IRModule) -> list[Any]:
    calls = [binding.value for block in module["main"].body.blocks for binding in block.bindings]
    operands = [item for call in calls if isinstance(call, tvm.ir.Call) for item in call.args[1].fields]
    return [operand for operand in operands if isinstance(operand, tvm.ir.GenericConst)]


def test_constants_are_packed_once() -> None:
    weight = relax.const(numbers(24, 24))
    module = products(weight, weight)
    scheduled = schedule(module, profile())
    first, second = constants(scheduled)
    assert first.value.numpy().shape != (24, 24)
    assert first.value.same_as(second.value)
    inputs = [numbers(9, 24)]
    np.testing.assert_allclose(run(finish(scheduled, profile()), inputs)[0], reference(module, inputs)[0], rtol=1e-4)


def test_parameters_keep_their_layout() -> None:
    module = products()
    scheduled = schedule(module, profile())
    inputs = [numbers(9, 24), numbers(24, 24, seed=1)]
    np.testing.assert_allclose(run(finish(scheduled, profile()), inputs)[0], reference(module, inputs)[0], rtol=1e-4)


def prim_funcs(module: tvm.IRModule) -> list[tirx.PrimFunc]:
    return [function for _, function in module.functions_items() if isinstance(function, tirx.PrimFunc)]


def test_scheduled_kernels_are_marked_and_left() -> None:
    scheduled = schedule(grouped("separable", Variant(layout="NHWC"))[1], profile())
    assert all(function.attrs["tirx.is_scheduled"] for function in prim_funcs(scheduled))
    assert tvm_ffi.structural_equal(schedule(scheduled, profile()), scheduled)


def test_kernel_that_no_rule_fits_is_left() -> None:
    module = build(lambda emit, x: emit(relax.op.cumsum(x, axis=1)), (3, 40))
    with tvm.target.Target("llvm"):
        module = relax.transform.LegalizeOps()(module)
    assert tvm_ffi.structural_equal(schedule(module, profile()), module)


class Database:
    """Answers for one kernel, as a MetaSchedule database does."""

    def __init__(self, answers: Sequence[str]):
        self.answers = answers

    def query_schedule(self, module: tvm.IRModule, target: Any, name: str) -> Any:
        if name not in self.answers:
            return None
        found = tvm.s_tir.Schedule(module)
        found.annotate(found.get_sblock("root"), "tuned", 1)
        return found


def test_tuned_record_goes_first() -> None:
    _, fused = grouped("separable")
    name = next(variable.name_hint for variable, item in fused.functions_items() if isinstance(item, tirx.PrimFunc))
    scheduled = schedule(fused, profile(), database=Database([name]))
    tuned = [function for function in prim_funcs(scheduled) if '"tuned"' in function.script()]
    assert len(tuned) == 1
    assert tuned[0].attrs["tirx.is_scheduled"]


def test_rules_follow_the_profile() -> None:
    assert [type(rule).__name__ for rule in cpu_rules(profile())][-1] == "Injective"
