"""A plan's kernels as functions of the module: the partition is built as it is said, whatever TVM would fuse."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import relax

from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import CompileError
from tvm_narcost.fusion.patterns import Pattern
from tvm_narcost.hook.bindings import bindings_of, is_call_tir, with_bindings
from tvm_narcost.hook.kernel_function import build_function
from tvm_narcost.hook.prepare import PreparedModule

__all__ = ["GroupedModule", "group"]


@dataclass(frozen=True, eq=False)
class GroupedModule:
    """A module whose ``main`` makes one call a kernel.

    Attributes:
        module: after FuseTIR, not scheduled. Constants are arguments of the calls that read them.
        calls: what ``main`` calls, in order: (name of the PrimFunc or operator, index of the kernel in the plan). The
            index is None for a call that stands for no operator. Kernels come in the plan's order if each reads only
            what those before it wrote, as they should.
    """

    module: tvm.IRModule = field(repr=False)
    calls: tuple[tuple[str, int | None], ...]


def group(prepared: PreparedModule, plan: FusionPlan) -> GroupedModule:
    """Build the kernels of a plan; the prepared module is not changed.

    Raises:
        CompileError: the plan is of another graph, parts nodes that one call computes together, has kernels that read
            each other's results, or puts a call that is no PrimFunc's together with others.
    """
    if plan.graph != prepared.graph:
        raise CompileError(
            f"plan of {plan.graph.name!r} has {len(plan.graph.nodes)} nodes that are not those of the module "
            f"({len(prepared.graph.nodes)} nodes), expected a plan over PreparedModule.graph: plan what prepare returns"
        )
    units = _units(prepared, plan)
    builder = relax.BlockBuilder(prepared.module)
    bindings: list[relax.Binding] = []
    kernels: list[int | None] = []
    outside = _Readers(units, prepared.module["main"].body.body)
    for unit in _ordered(units, plan):
        calls = [binding for binding in unit.bindings if isinstance(binding.value, tvm.ir.Call)]
        if len(calls) > 1 or _leaves_results_unread(unit, calls, prepared):
            opaque = [str(call.value.op) for call in calls if not is_call_tir(call.value)]
            if opaque:
                raise CompileError(
                    f"plan of {plan.graph.name!r} puts {', '.join(opaque)} into a kernel of {len(calls)} calls, "
                    "expected calls that are no PrimFuncs' each in a kernel of its own"
                )
            kernel = build_function(unit.bindings, outside.of(unit))
            bindings += kernel.bind(builder.add_func(kernel.function, kernel.name))  # equal functions are added once
        else:
            bindings += unit.bindings
        kernels += [unit.kernel] if calls else []
    grouped = with_bindings(builder.get(), bindings, prepared.module["main"].body.body)
    passes = [relax.transform.Normalize(), relax.transform.FuseTIR(), relax.transform.DeadCodeElimination()]
    with prepared.target:
        module = tvm.transform.Sequential(passes)(grouped)
    return GroupedModule(module, tuple(zip(_symbols(module), kernels, strict=True)))


@dataclass(eq=False, slots=True)
class _Unit:
    """Bindings that stay together: a kernel's, or one that belongs to none."""

    kernel: int | None
    bindings: list[relax.Binding]


def _units(prepared: PreparedModule, plan: FusionPlan) -> list[_Unit]:
    kernel_of = {node: kernel for kernel, nodes in enumerate(plan.kernels) for node in nodes}
    units: list[_Unit] = []
    of_kernel: dict[int, _Unit] = {}
    unit_of: dict[relax.Var, _Unit] = {}
    for binding in bindings_of(prepared.module["main"]):
        kernels = sorted({kernel_of[node] for node in prepared.nodes_of.get(binding.var, ())})
        if len(kernels) > 1:
            names = ", ".join(prepared.graph.nodes[node].name for node in prepared.nodes_of[binding.var])
            raise CompileError(
                f"plan of {plan.graph.name!r} has nodes {names} in kernels {kernels}, expected them in one: one call "
                "computes them together (PreparedModule.inseparable)"
            )
        if kernels:
            unit = of_kernel.get(kernels[0]) or _Unit(kernels[0], [])
            of_kernel[kernels[0]] = unit
        elif isinstance(binding.value, relax.TupleGetItem) and binding.value.tuple_value in unit_of:
            unit = unit_of[binding.value.tuple_value]  # a result of several goes with its call
        else:
            unit = _Unit(None, [])
        if not unit.bindings:
            units.append(unit)
        unit.bindings.append(binding)
        unit_of[binding.var] = unit
    return units


def _ordered(units: list[_Unit], plan: FusionPlan) -> Iterable[_Unit]:
    """Each unit once all that it reads is there; of those that could come, the first of the plan."""
    unit_of = {binding.var: unit for unit in units for binding in unit.bindings}
    readers: dict[_Unit, list[_Unit]] = {unit: [] for unit in units}
    missing: dict[_Unit, int] = {}
    for unit in units:
        sources = {unit_of[var] for binding in unit.bindings for var in _variables(binding.value) if var in unit_of}
        sources.discard(unit)
        missing[unit] = len(sources)
        for source in sources:
            readers[source].append(unit)
    place = {unit: (-1 if unit.kernel is None else unit.kernel, number) for number, unit in enumerate(units)}
    ready = [(place[unit], unit) for unit in units if not missing[unit]]
    heapq.heapify(ready)
    while ready:
        _, unit = heapq.heappop(ready)
        yield unit
        for reader in readers[unit]:
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, (place[reader], reader))
    stuck = sorted(unit.kernel for unit, count in missing.items() if count and unit.kernel is not None)
    if stuck:
        raise CompileError(
            f"plan of {plan.graph.name!r} has kernels that cannot be put in order ({stuck[:8]} of {len(plan.kernels)}"
            "): some read each other's results; expected convex kernels: no path may leave a kernel and come back"
        )


def _leaves_results_unread(unit: _Unit, calls: list[relax.Binding], prepared: PreparedModule) -> bool:
    """Whether a call writes results that nobody reads; in a function of its own they need no memory.

    So it is in TVM, where FuseOps puts a batch_norm and what takes its first result together.
    """
    if len(calls) != 1 or not is_call_tir(calls[0].value) or not isinstance(calls[0].var.ty, relax.TupleType):
        return False
    pattern = prepared.patterns[prepared.nodes_of[calls[0].var][0]] if unit.kernel is not None else Pattern.OPAQUE
    return pattern != Pattern.OPAQUE and len(unit.bindings) - 1 < len(calls[0].var.ty.fields)


class _Readers:
    """Who reads which variable."""

    def __init__(self, units: Sequence[_Unit], result: Any) -> None:
        self.readers: dict[relax.Var, set[_Unit | None]] = {}
        for unit in units:
            for binding in unit.bindings:
                for variable in _variables(binding.value):
                    self.readers.setdefault(variable, set()).add(unit)
        for variable in _variables(result):
            self.readers.setdefault(variable, set()).add(None)

    def of(self, unit: _Unit) -> list[relax.Var]:
        """The variables of a unit that others read, or that ``main`` returns, in order."""
        return [binding.var for binding in unit.bindings if self.readers.get(binding.var, set()) - {unit}]


def _variables(expression: Any) -> Iterable[relax.Var]:
    if isinstance(expression, relax.Var):
        yield expression
    elif isinstance(expression, relax.TupleGetItem):
        yield from _variables(expression.tuple_value)
    elif isinstance(expression, relax.Tuple | tvm.ir.Call):
        for part in expression.fields if isinstance(expression, relax.Tuple) else expression.args:
            yield from _variables(part)


def _symbols(module: tvm.IRModule) -> list[str]:
    """What ``main`` calls, in order."""
    found = []
    for binding in bindings_of(module["main"]):
        call = binding.value
        if is_call_tir(call):
            found.append(call.args[0].name_hint)
        elif isinstance(call, tvm.ir.Call):
            found.append(str(call.op.name))
    return found
