"""The shipped artifact chooses plans: what it compiles computes the same, and its costs are there."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tvm")

import tvm
from tvm import relax

from hardware_profiles import load_profile
from tests.hook.modules import attention, build, numbers, reference, separable
from tvm_narcost.hook import rank_variants, register
from tvm_narcost.models.plan_models import open_plan_models

SHIPPED = load_profile("epyc-zen5.tvm")
# Its own target has instructions that this machine may lack.
PROFILE = dataclasses.replace(SHIPPED, runtime=dataclasses.replace(SHIPPED.runtime, tvm_target="llvm"))


@pytest.mark.parametrize(("network", "shape"), [(separable, (1, 3, 16, 16)), (attention, (1, 6, 8))])
def test_the_best_plan_and_variant_compute_the_same(network: Callable[..., Any], shape: tuple[int, ...]) -> None:
    register()
    module = build(network, shape)
    data = numbers(*shape)
    (expected,) = reference(module, [data])
    pipeline = relax.get_pipeline("narcost", profile=PROFILE, variant="best")
    executable = tvm.compile(module, tvm.target.Target("llvm"), relax_pipeline=pipeline)
    found = relax.VirtualMachine(executable, tvm.cpu())["main"](tvm.runtime.tensor(data)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_plans_are_compared_by_costs_of_calls_and_of_memory() -> None:
    costs = open_plan_models(SHIPPED.id).costs
    assert costs is not None
    assert 0.1 < costs.us_per_unit["calls"] < 5
    assert any(name.endswith("_bytes_memory") for name in costs.us_per_unit)


def test_fewer_kernels_are_predicted_to_be_faster() -> None:
    own, *_ = rank_variants(build(separable, (1, 3, 16, 16)), "llvm", PROFILE)
    unfused = next(plan for plan in own.plans if plan.plan.planner == "none")
    default = next(plan for plan in own.plans if plan.default)
    assert unfused.kernels > default.kernels
    assert unfused.predicted_ms > default.predicted_ms > 0
