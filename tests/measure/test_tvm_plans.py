"""TVM under several plans: compiled together, timed in turn, each kernel by itself; one that fails leaves the rest."""

import dataclasses
from statistics import median

import numpy as np
import pytest

pytest.importorskip("tvm")

import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from hardware_profiles import HardwareProfile, MeasurementProtocol, RuntimeFacts, load_profile
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import CompileError, MeasurementError
from tvm_narcost.hook.grouping import group
from tvm_narcost.hook.prepare import PreparedModule, prepare
from tvm_narcost.measure.inputs import random_input
from tvm_narcost.measure.runtimes import tvm_plans
from tvm_narcost.measure.runtimes.tvm import TvmRuntime
from tvm_narcost.measure.runtimes.tvm_merge import merge_modules
from tvm_narcost.measure.runtimes.tvm_plans import compile_plans, measure_plans, plans_of, prepare_neighbours
from tvm_narcost.zoo import generate

pytestmark = pytest.mark.usefixtures("first_core")

PROTOCOL = MeasurementProtocol(
    warmup_s=0, warmup_runs=1, min_samples=4, max_samples=8, budget_s=0.05, noisy_iqr_ratio=100, profiled_runs=3
)
MODEL = generate("micro_layer_norm", 2)


def profile(**options: str) -> HardwareProfile:
    runtime = RuntimeFacts("tvm", "any", 1, "tvm", tuple(sorted(options.items())), "llvm")
    shipped = load_profile("epyc-zen5.tvm")
    return dataclasses.replace(shipped, id="here.tvm", runtime=runtime, protocol=PROTOCOL)


HERE = profile(pipeline="narcost")


@pytest.fixture(scope="module")
def prepared() -> PreparedModule:
    return prepare(from_onnx(MODEL), HERE, name="net")


def test_equal_functions_are_compiled_once(prepared: PreparedModule) -> None:
    plans = plans_of(prepared, 4)
    modules = [group(prepared, plan).module for plan in plans]
    merged = merge_modules(modules)
    assert merged.entries == ("main_0", "main_1", "main_2", "main_3")
    kernels = sum(len(module.functions) - 1 for module in modules)
    assert len(plans) < len(merged.module.functions) < kernels
    assert all(set(names.values()) <= {v.name_hint for v in merged.module.get_global_vars()} for names in merged.names)


def test_all_plans_compute_the_same(prepared: PreparedModule) -> None:
    plans = plans_of(prepared, 6)
    (programs,) = compile_plans([prepared], plans, HERE, {})
    assert programs.plans == tuple(plans)
    machine = relax.VirtualMachine(programs.executable, tvm.cpu())
    feed = [tvm.runtime.tensor(random_input(name, kind.shape, kind.dtype)) for name, kind in prepared.graph.inputs]
    first, *others = (machine[entry](*feed).numpy() for entry in programs.entries)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-4, atol=1e-5)


def test_plans_over_several_variants_are_compiled_together_and_compute_the_same() -> None:
    module = from_onnx(generate("micro_epilogue", 2))
    own = prepare(module, HERE, name="net")
    variants = [own, *prepare_neighbours(own, module, HERE)]
    assert [variant.variant.layout for variant in variants[:2]] == ["NCHW", "NHWC"]
    plans = [plans_of(variant, 1)[0] for variant in variants]
    assert len({plan.plan_hash() for plan in plans}) == len(plans)
    (programs,) = compile_plans(variants, plans, HERE, {})
    machine = relax.VirtualMachine(programs.executable, tvm.cpu())
    feed = [tvm.runtime.tensor(random_input(name, kind.shape, kind.dtype)) for name, kind in variants[0].graph.inputs]
    first, *others = (machine[entry](*feed).numpy() for entry in programs.entries)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-4, atol=1e-5)


def test_each_plan_is_a_measurement_with_the_times_of_its_kernels() -> None:
    pairs = TvmRuntime().measure_plans(MODEL, HERE, graph_hash="f" * 64, count=5)
    again, default, *others = pairs
    assert again[0] == default[0] == TvmRuntime().plan(MODEL, HERE)
    assert again[1].samples_us != default[1].samples_us
    assert len({plan.plan_hash() for plan, _ in pairs}) == len(pairs) - 1 == 5
    assert len(others[0][0].kernels) == len(default[0].graph.nodes)  # none fused
    for plan, measurement in pairs:
        assert measurement.plan_hash == plan.plan_hash()
        assert [time.kernel for time in measurement.kernels] == list(range(len(plan.kernels)))
        assert {len(time.samples_us) for time in measurement.kernels} == {3}
        assert len(measurement.samples_us) == len(measurement.reference_us) >= 4
        assert all(min(time.samples_us) > 0 for time in measurement.kernels)
        kernels_us = sum(min(time.samples_us) for time in measurement.kernels)
        assert 0.1 < kernels_us / median(measurement.samples_us) < 10


def test_the_plans_of_other_variants_are_measured_beside_them() -> None:
    pairs = TvmRuntime().measure_plans(generate("micro_matmul", 101), HERE, graph_hash="", count=2)
    _, default, unfused, other = (plan for plan, _ in pairs)
    assert default.graph == unfused.graph != other.graph  # the product reads a transposed operand as it is
    assert len(other.graph.nodes) < len(default.graph.nodes)
    assert [default.planner, unfused.planner, other.planner] == ["tvm", "none", "tvm NCHW+fuse_transpose_matmul"]


def test_known_plans_are_not_measured_again() -> None:
    runtime = TvmRuntime()
    known = frozenset(plan.plan_hash() for plan, _ in runtime.measure_plans(MODEL, HERE, graph_hash="", count=3))
    assert runtime.measure_plans(MODEL, HERE, graph_hash="", count=3, known=known) == []
    more = runtime.measure_plans(MODEL, HERE, graph_hash="", count=4, known=known)
    assert [plan.plan_hash() in known for plan, _ in more] == [True, True, False]


def test_a_plan_that_cannot_be_built_fails_alone(prepared: PreparedModule, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = plans_of(prepared, 3)

    def refuse(module: PreparedModule, plan: FusionPlan) -> object:
        if plan is plans[1]:
            raise CompileError("no such kernel")
        return group(module, plan)

    monkeypatch.setattr(tvm_plans, "group", refuse)
    pairs = measure_plans([prepared], plans, HERE, graph_hash="")
    assert [measurement.verdict == "failed" for _, measurement in pairs] == [False, False, False, True]
    assert (pairs[-1][0], pairs[-1][1].reason) == (plans[1], "no such kernel")
    with pytest.raises(MeasurementError, match=r"none of 1 plans of 'net' can be built: no such kernel"):
        measure_plans([prepared], plans[1:2], HERE, graph_hash="")


def test_the_default_pipeline_has_one_plan() -> None:
    with pytest.raises(MeasurementError, match="has TVM's default pipeline, which has one plan"):
        TvmRuntime().measure_plans(MODEL, profile(), graph_hash="", count=3)
    with pytest.raises(MeasurementError, match="has pipeline 'fast', expected default or narcost"):
        TvmRuntime().plan(MODEL, profile(pipeline="fast"))
