"""Schedule all PrimFuncs of a module: by a tuned record where a database has one, by the rules otherwise."""

from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.dlight.base import ScheduleRule

from hardware_profiles import HardwareProfile
from tvm_narcost.hook.schedules.convolution import Convolution
from tvm_narcost.hook.schedules.injective import Injective
from tvm_narcost.hook.schedules.machine import Machine
from tvm_narcost.hook.schedules.reduction import RowReduction
from tvm_narcost.hook.target import target_of

__all__ = ["cpu_rules", "schedule"]

_SCHEDULED = "tirx.is_scheduled"


def cpu_rules(profile: HardwareProfile) -> tuple[ScheduleRule, ...]:
    """The rules for a profile's device, in the order in which they are to be tried."""
    machine = Machine.of(profile)
    return Convolution(machine), RowReduction(machine), Injective(machine)


def schedule(module: tvm.IRModule, profile: HardwareProfile, *, database: Any = None) -> tvm.IRModule:
    """A module whose PrimFuncs are scheduled; ``module`` is not changed.

    A PrimFunc that is scheduled already, or to which no rule applies, stays as it is. Equal PrimFuncs are scheduled
    once.

    Args:
        module: with any number of Relax functions, after FuseTIR.
        profile: of the device and runtime that the code is for.
        database: a MetaSchedule database; its best record of a PrimFunc goes before the rules.
    """
    target = target_of(profile)
    rules = cpu_rules(profile)
    scheduled = module.clone()
    done: dict[int, list[tuple[tirx.PrimFunc, tirx.PrimFunc]]] = {}
    for variable, function in module.functions_items():
        if not isinstance(function, tirx.PrimFunc) or function.attrs.get(_SCHEDULED, False):
            continue
        bare = function.without_attr("global_symbol")
        alike = done.setdefault(tvm_ffi.structural_hash(bare), [])
        found = next((new for old, new in alike if tvm_ffi.structural_equal(old, bare)), None)
        if found is None:
            found = _tuned(bare, variable.name_hint, target, database) or _by_rule(bare, target, rules)
            alike.append((bare, found))
        if found is not bare:
            symbol = function.attrs.get("global_symbol")
            scheduled.update_func(variable, found if symbol is None else found.with_attr("global_symbol", symbol))
    return scheduled


def _tuned(function: tirx.PrimFunc, name: str, target: tvm.target.Target, database: Any) -> tirx.PrimFunc | None:
    if database is None:
        return None
    normalize = tvm.get_global_func("tvm.meta_schedule.normalize_mod")
    found = database.query_schedule(normalize(function), target, name)
    return None if found is None else _finished(found)


def _by_rule(function: tirx.PrimFunc, target: tvm.target.Target, rules: tuple[ScheduleRule, ...]) -> tirx.PrimFunc:
    for rule in rules:
        found = rule.apply(function, target, False)
        if found is not None:
            return _finished(found)
    return function


def _finished(found: Any) -> tirx.PrimFunc:
    function = next(function for _, function in found.mod.functions_items())
    return function.without_attr("global_symbol").with_attr(_SCHEDULED, True)
