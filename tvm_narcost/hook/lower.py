"""From a prepared module and a plan to a module that the virtual machine can be built from."""

from typing import Any

import tvm
from tvm.relax.backend.cpu_generic import pipeline  # its package forgets to export dataflow_lower_passes

from hardware_profiles import HardwareProfile
from relay_frontend.plan import FusionPlan
from tvm_narcost.hook.grouping import group
from tvm_narcost.hook.prepare import PreparedModule
from tvm_narcost.hook.schedules import schedule
from tvm_narcost.hook.target import target_of

__all__ = ["finish", "lower"]


def lower(
    prepared: PreparedModule, plan: FusionPlan, profile: HardwareProfile, *, database: Any = None
) -> tvm.IRModule:
    """Group, schedule and lower a module; what is returned goes to ``tvm.compile`` with no pipeline of its own.

    Args:
        prepared: is not changed.
        plan: over ``prepared.graph``.
        profile: its vector width, cores and caches are what schedules are made for.
        database: of MetaSchedule; what it has goes before the schedules made here.

    Raises:
        CompileError: the plan is not one that can be built, see :func:`group`.
    """
    grouped = group(prepared, plan)
    return finish(schedule(grouped.module, profile, database=database), profile)


def finish(module: tvm.IRModule, profile: HardwareProfile) -> tvm.IRModule:
    """What TVM's default pipeline does once operators are fused; any number of Relax functions."""
    target = target_of(profile)
    with target:
        passes = pipeline.dataflow_lower_passes(target) + pipeline.finalize_passes(target)
        return tvm.transform.Sequential(passes)(module)
