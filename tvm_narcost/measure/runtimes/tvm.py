"""TVM on the CPU: the virtual machine's instrument gives the time of each kernel.

The profile's option ``pipeline`` says who compiles: ``default`` is TVM's own pipeline for the target, which schedules
nothing; FuseOps' groups are the plan. ``narcost`` is the hook, which compiles any plan and schedules its kernels.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import onnx
import tvm
from tvm import relax

from hardware_profiles import HardwareProfile
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.errors import MeasurementError
from tvm_narcost.fusion.legality import FusionSpace
from tvm_narcost.hook.importing import import_quietly
from tvm_narcost.hook.prepare import PreparedModule
from tvm_narcost.hook.stderr import silent_stderr
from tvm_narcost.hook.thread_pool import use_threads
from tvm_narcost.measure.fingerprint import fingerprint
from tvm_narcost.measure.inputs import random_input
from tvm_narcost.measure.outcome import measured, one_line, runtime_errors
from tvm_narcost.measure.pinning import pinned
from tvm_narcost.measure.protocol import take_samples
from tvm_narcost.measure.reference import reference_kernel
from tvm_narcost.measure.runtimes import tvm_plans
from tvm_narcost.measure.runtimes.tvm_plan import RelaxPlan, plan_module
from tvm_narcost.measure.runtimes.tvm_trace import kernel_times, take_traces
from tvm_narcost.measure.weights import with_unique_weights, with_weights

__all__ = ["TvmNetwork", "TvmRuntime"]


class TvmRuntime:
    """Plans and measures with the installed TVM.

    Weights are replaced where they are missing and made unique, as for ONNX Runtime.
    """

    def plan(self, model: onnx.ModelProto, profile: HardwareProfile) -> FusionPlan:
        """See :meth:`Runtime.plan`: nothing is compiled, constants are not even computed."""
        if _is_hooked(profile):
            return tvm_plans.plans_of(_prepare(_import(model), profile, model.graph.name), 1)[0]
        return _plan(_import(model), _target(profile), model.graph.name).plan

    def measure(
        self, model: onnx.ModelProto, profile: HardwareProfile, *, graph_hash: str
    ) -> tuple[FusionPlan, Measurement]:
        """See :meth:`Runtime.measure`.

        Code without schedules is slow, so a network whose first run takes longer than the protocol's budget is run
        under the instrument only that once.
        """
        if _is_hooked(profile):
            return self.measure_plans(model, profile, graph_hash=graph_hash, count=1)[-1]
        name, target = model.graph.name, _target(profile)
        module = _import(model)
        planned = _plan(module, target, name)
        with _tvm_errors(name, "compile"):
            executable = tvm.compile(module, target, relax_pipeline=relax.get_default_pipeline(target))
        with pinned(profile.runtime.threads):
            facts = fingerprint(profile)
            with _tvm_errors(name, "run"):
                use_threads(profile.runtime.threads)
                machine = relax.VirtualMachine(executable, tvm.cpu())
                feed = [
                    tvm.runtime.tensor(random_input(variable, kind.shape, kind.dtype))
                    for variable, kind in planned.plan.graph.inputs
                ]
                traces = take_traces(machine, "main", feed, profile.protocol)
                kernels = kernel_times(traces, planned.calls, len(planned.plan.kernels), name)
                run = relax.VirtualMachine(executable, tvm.cpu())["main"]  # one without the instrument
                samples = take_samples(lambda: run(*feed), reference_kernel(), profile.protocol)
        measurement = measured(planned.plan, profile, graph_hash, samples, kernels, facts)
        return planned.plan, measurement

    def measure_plans(
        self,
        model: onnx.ModelProto,
        profile: HardwareProfile,
        *,
        graph_hash: str,
        count: int,
        known: frozenset[str] = frozenset(),
    ) -> Sequence[tuple[FusionPlan, Measurement]]:
        """See :meth:`PlanRuntime.measure_plans`.

        Of each variant one step from the profile's, the plan that TVM would make is measured as well; its planner is
        ``tvm`` and the variant.
        """
        network = self.plannable(model, profile)
        prepared = [network.prepared]
        default, *others = tvm_plans.plans_of(network.prepared, count)
        if count > 1:
            prepared += [neighbour.prepared for neighbour in network.neighbours()]
            others += map(tvm_plans.default_of_variant, prepared[1:])
        new = [plan for plan in others if plan.plan_hash() not in known]
        if not new and default.plan_hash() in known:
            return []
        with _tvm_errors(model.graph.name, "run"):
            return tvm_plans.measure_plans(prepared, [default, *new], profile, graph_hash=graph_hash)

    def plannable(self, model: onnx.ModelProto, profile: HardwareProfile) -> "TvmNetwork":
        """See :meth:`PlanRuntime.plannable`."""
        _check_takes_plans(profile)
        module = _import(model)
        return TvmNetwork(_prepare(module, profile, model.graph.name), profile, module)


@dataclass(frozen=True, eq=False)
class TvmNetwork:
    """See :class:`tvm_narcost.measure.runtime.PlannableNetwork`."""

    prepared: PreparedModule
    profile: HardwareProfile
    module: tvm.IRModule = field(repr=False)

    @property
    def variant(self) -> str:
        """Layout and rewrites."""
        return str(self.prepared.variant)

    def neighbours(self) -> Sequence["TvmNetwork"]:
        """In other layouts and with other rewrites."""
        name = self.prepared.graph.name
        with _tvm_errors(name, "prepare"):
            others = tvm_plans.prepare_neighbours(self.prepared, self.module, self.profile)
        return [TvmNetwork(prepared, self.profile, self.module) for prepared in others]

    @property
    def space(self) -> FusionSpace:
        """Its operators as TVM's Relax has them."""
        return self.prepared.space

    def measure(self, plans: Sequence[FusionPlan]) -> Sequence[tuple[FusionPlan, Measurement]]:
        """Compile them as one module, and time them in turn."""
        graph = self.prepared.graph
        with _tvm_errors(graph.name, "run"):
            return tvm_plans.measure_plans([self.prepared], plans, self.profile, graph_hash=graph.structural_hash())


def _check_takes_plans(profile: HardwareProfile) -> None:
    if not _is_hooked(profile):
        raise MeasurementError(
            f"profile {profile.id!r} has TVM's default pipeline, which has one plan, expected [runtime.options] "
            'pipeline = "narcost": set it, or ask for no other plans'
        )


def _is_hooked(profile: HardwareProfile) -> bool:
    pipeline = dict(profile.runtime.options).get("pipeline", "default")
    if pipeline not in ("default", "narcost"):
        raise MeasurementError(
            f"profile {profile.id!r} has pipeline {pipeline!r}, expected default or narcost: correct [runtime.options]"
        )
    return pipeline == "narcost"


def _prepare(module: tvm.IRModule, profile: HardwareProfile, name: str) -> PreparedModule:
    with _tvm_errors(name, "prepare"):
        return tvm_plans.prepare_module(module, profile, name)


def _plan(module: tvm.IRModule, target: tvm.target.Target, name: str) -> RelaxPlan:
    with _tvm_errors(name, "plan"):
        return plan_module(module, target, name=name)


def _import(model: onnx.ModelProto) -> tvm.IRModule:
    """To Relax, as the hook imports it."""
    prepared = with_unique_weights(with_weights(model))
    with _tvm_errors(model.graph.name, "import"):
        return import_quietly(prepared)


def _target(profile: HardwareProfile) -> tvm.target.Target:
    try:
        return tvm.target.Target(profile.runtime.tvm_target)
    except Exception as error:
        raise MeasurementError(
            f"profile {profile.id!r} has tvm_target {profile.runtime.tvm_target!r} ({one_line(error)}), expected "
            'llvm or a JSON document such as {"kind": "llvm", "mcpu": "znver5"}: correct [runtime] tvm_target'
        ) from error


@contextlib.contextmanager
def _tvm_errors(network: str, verb: str) -> Iterator[None]:
    """Turn what TVM raises into a MeasurementError, and keep what it prints to itself."""
    with runtime_errors("TVM", network, verb), silent_stderr():
        yield
