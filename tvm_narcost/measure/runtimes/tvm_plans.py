"""A network under several fusion plans in TVM: compiled as one module, timed in turn, each kernel in the network.

The plans may be over several variants of the network: it is the same inputs that all of them get.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import tvm
from tvm import relax

from hardware_profiles import HardwareProfile
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import PROTOCOL_VERSION, KernelTime, Measurement
from tvm_narcost.errors import MeasurementError, NarcostError
from tvm_narcost.fusion.candidates import draw_plans
from tvm_narcost.hook.grouping import group
from tvm_narcost.hook.lower import finish
from tvm_narcost.hook.prepare import PreparedModule, prepare
from tvm_narcost.hook.schedules import schedule
from tvm_narcost.hook.thread_pool import use_threads
from tvm_narcost.hook.variant import neighbours, variant_of
from tvm_narcost.hook.variants import prepare_others
from tvm_narcost.measure.fingerprint import fingerprint
from tvm_narcost.measure.inputs import random_input
from tvm_narcost.measure.interleaved import take_interleaved
from tvm_narcost.measure.outcome import measured, one_line
from tvm_narcost.measure.pinning import pinned
from tvm_narcost.measure.reference import reference_kernel
from tvm_narcost.measure.runtimes.tvm_merge import merge_modules
from tvm_narcost.measure.runtimes.tvm_trace import kernel_times, take_traces

__all__ = [
    "PlannedPrograms",
    "compile_plans",
    "default_of_variant",
    "measure_plans",
    "plans_of",
    "prepare_module",
    "prepare_neighbours",
]

_SEED = 0  # of the plans that are drawn, and of the order in which they are timed


@dataclass(frozen=True, eq=False)
class PlannedPrograms:
    """Plans that were compiled together.

    Attributes:
        plans: in the order in which they were given, those left out that could not be built.
        executable: has one entry a plan.
        entries: their names.
        calls: for each plan what it calls, in order, see :func:`tvm_narcost.measure.runtimes.tvm_trace.kernel_times`.
    """

    plans: tuple[FusionPlan, ...]
    executable: Any = field(repr=False)
    entries: tuple[str, ...]
    calls: tuple[tuple[tuple[str, int | None], ...], ...] = field(repr=False)


def prepare_module(module: tvm.IRModule, profile: HardwareProfile, name: str) -> PreparedModule:
    """A module in the variant that the profile's options name."""
    return prepare(module, profile, variant=variant_of(profile), name=name)


def prepare_neighbours(
    prepared: PreparedModule, module: tvm.IRModule, profile: HardwareProfile
) -> tuple[PreparedModule, ...]:
    """A module in the variants that are one step from the one in which it was prepared, as many as differ."""
    _, *others = neighbours(prepared.variant)
    return prepare_others(prepared, module, profile, others)


def plans_of(prepared: PreparedModule, count: int) -> list[FusionPlan]:
    """Up to ``count`` plans, all different: TVM's default, none fused, and others at random."""
    return list(draw_plans(prepared.graph, prepared.patterns, count, _SEED, inseparable=prepared.inseparable))


def default_of_variant(prepared: PreparedModule) -> FusionPlan:
    """The plan that TVM would make of another variant than the profile's; its planner says which."""
    (plan,) = plans_of(prepared, 1)
    return replace(plan, planner=f"{plan.planner} {prepared.variant}")


def measure_plans(
    prepared: Sequence[PreparedModule], plans: Sequence[FusionPlan], profile: HardwareProfile, *, graph_hash: str
) -> list[tuple[FusionPlan, Measurement]]:
    """Time ``plans`` in turn, the first twice, as if it were two: its second measurement comes first.

    Plans that cannot be built are failed measurements, after the others. Each is over the graph of one of the
    ``prepared`` variants of a network.

    Raises:
        MeasurementError: none can be built, or a plan runs other kernels than it says.
    """
    failures: dict[str, str] = {}
    compiled = compile_plans(prepared, plans, profile, failures)
    if not compiled:
        raise MeasurementError(
            f"none of {len(plans)} plans of {prepared[0].graph.name!r} can be built: {next(iter(failures.values()))}"
        )
    with pinned(profile.runtime.threads):
        facts = fingerprint(profile)
        use_threads(profile.runtime.threads)
        feed = [
            tvm.runtime.tensor(random_input(variable, kind.shape, kind.dtype))
            for variable, kind in prepared[0].graph.inputs
        ]
        timed = _time(compiled, feed, profile, graph_hash, facts)
    return [*timed, *((plan, _failed(plan, profile, graph_hash, facts, failures)) for plan in plans
                      if plan.plan_hash() in failures)]  # fmt: skip


def compile_plans(
    prepared: Sequence[PreparedModule],
    plans: Sequence[FusionPlan],
    profile: HardwareProfile,
    failures: dict[str, str],
) -> list[PlannedPrograms]:
    """Compile plans together; where that fails, halves of them, so that only those that fail alone are left out.

    Args:
        prepared: what they are plans of: the variants of a network.
        plans: in the order in which they are wanted.
        profile: what to schedule for.
        failures: gets plan hash -> reason of those that cannot be built.
    """
    try:
        return [_compile(prepared, plans, profile)]
    except Exception as error:  # TVM raises what it likes
        if len(plans) == 1:
            reason = str(error) if isinstance(error, NarcostError) else one_line(error)
            failures[plans[0].plan_hash()] = reason
            return []
    half = (len(plans) + 1) // 2
    first = compile_plans(prepared, plans[:half], profile, failures)
    return first + compile_plans(prepared, plans[half:], profile, failures)


def _compile(
    prepared: Sequence[PreparedModule], plans: Sequence[FusionPlan], profile: HardwareProfile
) -> PlannedPrograms:
    grouped = [group(_variant_of_plan(prepared, plan), plan) for plan in plans]
    merged = merge_modules([found.module for found in grouped])
    lowered = finish(schedule(merged.module, profile), profile)
    executable = tvm.compile(lowered, prepared[0].target, relax_pipeline=tvm.transform.Sequential([]))
    calls = tuple(
        tuple((names.get(symbol, symbol), kernel) for symbol, kernel in found.calls)
        for names, found in zip(merged.names, grouped, strict=True)
    )
    return PlannedPrograms(tuple(plans), executable, merged.entries, calls)


def _variant_of_plan(prepared: Sequence[PreparedModule], plan: FusionPlan) -> PreparedModule:
    found = next((variant for variant in prepared if variant.graph == plan.graph), None)
    if found is None:
        raise MeasurementError(
            f"plan {plan.planner!r} is over another graph than the {len(prepared)} that were prepared"
        )
    return found


def _time(
    compiled: Sequence[PlannedPrograms],
    feed: Sequence[Any],
    profile: HardwareProfile,
    graph_hash: str,
    facts: tuple[tuple[str, str], ...],
) -> list[tuple[FusionPlan, Measurement]]:
    """End to end without the instrument, in turn; then each plan under it."""
    plans = [plan for programs in compiled for plan in programs.plans]
    runs = []
    for programs in compiled:
        machine = relax.VirtualMachine(programs.executable, tvm.cpu())
        runs += [_bound(machine[entry], feed) for entry in programs.entries]
    reference, protocol = reference_kernel(), profile.protocol
    samples = take_interleaved([runs[0], *runs], reference, protocol, _SEED)
    kernels = [times for programs in compiled for times in _kernels(programs, feed, profile)]
    rows = [
        (plan, measured(plan, profile, graph_hash, found, times, facts))
        for plan, found, times in zip([plans[0], *plans], samples, [kernels[0], *kernels], strict=True)
    ]
    return rows


def _bound(function: Any, feed: Sequence[Any]) -> Any:
    return lambda: function(*feed)


def _kernels(programs: PlannedPrograms, feed: Sequence[Any], profile: HardwareProfile) -> list[tuple[KernelTime, ...]]:
    machine = relax.VirtualMachine(programs.executable, tvm.cpu())
    found = []
    for plan, entry, calls in zip(programs.plans, programs.entries, programs.calls, strict=True):
        traces = take_traces(machine, entry, feed, profile.protocol)
        times = kernel_times(traces, calls, len(plan.kernels), plan.graph.name)
        runs = len(traces)
        # What is computed from constants alone is not called at all.
        found.append(tuple(time if time.samples_us else replace(time, samples_us=(0.0,) * runs) for time in times))
    return found


def _failed(
    plan: FusionPlan,
    profile: HardwareProfile,
    graph_hash: str,
    facts: tuple[tuple[str, str], ...],
    failures: Mapping[str, str],
) -> Measurement:
    return Measurement(
        graph_hash=graph_hash,
        plan_hash=plan.plan_hash(),
        profile_id=profile.id,
        samples_us=(),
        reference_us=(),
        kernels=(),
        fingerprint=facts,
        protocol_version=PROTOCOL_VERSION,
        verdict="failed",
        reason=failures[plan.plan_hash()],
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
