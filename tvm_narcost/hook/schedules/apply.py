"""Schedule all PrimFuncs of a module: by a tuned record where a database has one, by the rules otherwise."""

import logging
from dataclasses import dataclass, field
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.dlight.base import ScheduleRule

from hardware_profiles import HardwareProfile
from tvm_narcost.hook.schedules.convolution import Convolution
from tvm_narcost.hook.schedules.injective import Injective
from tvm_narcost.hook.schedules.packing import CONSTANTS, PACKED, Packing
from tvm_narcost.hook.schedules.reduction import RowReduction
from tvm_narcost.hook.schedules.weights import constant_operands, pack_constants
from tvm_narcost.hook.target import target_of
from tvm_narcost.tokens.machine import Machine

__all__ = ["cpu_rules", "normalized", "schedule"]

_LOG = logging.getLogger(__name__)
_SCHEDULED = "tirx.is_scheduled"


def cpu_rules(profile: HardwareProfile) -> tuple[ScheduleRule, ...]:
    """The rules for a profile's device, in the order in which they are to be tried."""
    machine = Machine.of(profile)
    return Convolution(machine), RowReduction(machine), Injective(machine)


def normalized(function: tirx.PrimFunc) -> tvm.IRModule:
    """The module that MetaSchedule's databases know a kernel by; ``function`` has no ``global_symbol``."""
    normalize = tvm.get_global_func("tvm.s_tir.meta_schedule.normalize_mod")  # registered where databases are
    return normalize(function)


def schedule(module: tvm.IRModule, profile: HardwareProfile, *, database: Any = None) -> tvm.IRModule:
    """A module whose PrimFuncs are scheduled; ``module`` is not changed.

    A PrimFunc that is scheduled already, or to which no rule applies, stays as it is. Equal PrimFuncs are scheduled
    once. Constants that a kernel wants in another layout are replaced in the calls, so that the PrimFunc's parameter
    has another shape than before; what is a parameter of a Relax function stays as it is.

    Args:
        module: with any number of Relax functions, after FuseTIR.
        profile: of the device and runtime that the code is for.
        database: a MetaSchedule database; its best record of a PrimFunc goes before the rules.

    Raises:
        CompileError: the profile names no target that can be compiled for here.
    """
    scheduler = _Scheduler(target_of(profile), cpu_rules(profile), database)
    constants = constant_operands(module)
    scheduled = module.clone()
    packings: dict[str, dict[int, Packing]] = {}
    for variable, function in module.functions_items():
        if not isinstance(function, tirx.PrimFunc) or function.attrs.get(_SCHEDULED, False):
            continue
        name = variable.name_hint
        found, packed = scheduler.schedule(function, name, constants.get(name, ()))
        if found is not None:
            scheduled.update_func(variable, found)
        if packed:
            packings[name] = packed
    return pack_constants(scheduled, packings) if packings else scheduled


@dataclass(slots=True)
class _Scheduler:
    """Schedules one PrimFunc after the other, and equal ones once."""

    target: tvm.target.Target
    rules: tuple[ScheduleRule, ...]
    database: Any
    done: dict[int, list[tuple[tirx.PrimFunc, Any]]] = field(default_factory=dict)

    def schedule(
        self, function: tirx.PrimFunc, name: str, constants: tuple[int, ...]
    ) -> tuple[tirx.PrimFunc | None, dict[int, Packing]]:
        """The scheduled function, None where it stays as it is, and what its callers have to pack."""
        bare = function.without_attr("global_symbol").with_attr(CONSTANTS, list(constants))
        alike = self.done.setdefault(tvm_ffi.structural_hash(bare), [])
        found = next((new for old, new in alike if tvm_ffi.structural_equal(old, bare)), _UNKNOWN)
        if found is _UNKNOWN:
            found = self._tuned(bare.without_attr(CONSTANTS), name) or self._by_rule(bare, name)
            alike.append((bare, found))
        if found is None:
            return None, {}
        packed = {int(at): Packing(*map(int, facts)) for at, facts in found.attrs.get(PACKED, {}).items()}
        new = found.without_attr(CONSTANTS).without_attr(PACKED).with_attr(_SCHEDULED, True)
        symbol = function.attrs.get("global_symbol")
        return (new if symbol is None else new.with_attr("global_symbol", symbol)), packed

    def _tuned(self, function: tirx.PrimFunc, name: str) -> tirx.PrimFunc | None:
        if self.database is None:
            return None
        return _function(self.database.query_schedule(normalized(function), self.target, name))

    def _by_rule(self, function: tirx.PrimFunc, name: str) -> tirx.PrimFunc | None:
        for rule in self.rules:
            try:
                found = rule.apply(function, self.target, False)
            except Exception as error:  # TVM raises what it likes
                _LOG.warning("%s cannot schedule %s, which stays as it is: %s", type(rule).__name__, name, error)
                return None
            if found is not None:
                return _function(found)
        return None


_UNKNOWN: Any = object()


def _function(schedule: Any) -> tirx.PrimFunc | None:
    if schedule is None:
        return None
    return next(function for _, function in schedule.mod.functions_items()).without_attr("global_symbol")
