"""TVM on the CPU: FuseOps' groups are the plan, the virtual machine's instrument gives the time of each kernel."""

import contextlib
import io
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from hardware_profiles import HardwareProfile, MeasurementProtocol
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import KernelTime, Measurement
from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure.fingerprint import fingerprint
from tvm_narcost.measure.inputs import random_input
from tvm_narcost.measure.outcome import measured, one_line, runtime_errors
from tvm_narcost.measure.pinning import pinned
from tvm_narcost.measure.protocol import take_samples
from tvm_narcost.measure.reference import reference_kernel
from tvm_narcost.measure.runtimes.tvm_plan import RelaxPlan, plan_module
from tvm_narcost.measure.weights import with_unique_weights, with_weights

__all__ = ["TvmRuntime", "kernel_times"]

_VIEW = "vm.builtin.reshape"  # what a reshape becomes that need not copy

Trace = list[tuple[int, str, bool]]  # nanoseconds, function's name, whether before the call


class TvmRuntime:
    """Plans and measures with the installed TVM, with the default pipeline of the profile's target.

    Weights are replaced where they are missing and made unique, as for ONNX Runtime.
    """

    def plan(self, model: onnx.ModelProto, profile: HardwareProfile) -> FusionPlan:
        """See :meth:`Runtime.plan`: nothing is compiled, constants are not even computed."""
        return _plan(_import(model), _target(profile), model.graph.name).plan

    def measure(
        self, model: onnx.ModelProto, profile: HardwareProfile, *, graph_hash: str
    ) -> tuple[FusionPlan, Measurement]:
        """See :meth:`Runtime.measure`.

        Code without schedules is slow, so a network whose first run takes longer than the protocol's budget is run
        under the instrument only that once.
        """
        name, target = model.graph.name, _target(profile)
        module = _import(model)
        planned = _plan(module, target, name)
        with _tvm_errors(name, "compile"):
            executable = tvm.compile(module, target, relax_pipeline=relax.get_default_pipeline(target))
        with pinned(profile.runtime.threads):
            facts = fingerprint(profile)
            with _tvm_errors(name, "run"):
                tvm.get_global_func("runtime.config_threadpool")(1, profile.runtime.threads)
                machine = relax.VirtualMachine(executable, tvm.cpu())
                feed = [
                    tvm.runtime.tensor(random_input(variable, kind.shape, kind.dtype))
                    for variable, kind in planned.plan.graph.inputs
                ]
                traces = _profile(machine, feed, profile.protocol)
                kernels = kernel_times(traces, planned.calls, len(planned.plan.kernels), name)
                run = relax.VirtualMachine(executable, tvm.cpu())["main"]  # one without the instrument
                samples = take_samples(lambda: run(*feed), reference_kernel(), profile.protocol)
        measurement = measured(planned.plan, profile, graph_hash, samples, kernels, facts)
        return planned.plan, measurement


def kernel_times(
    traces: Sequence[Trace], calls: Sequence[tuple[str, int | None]], kernels: int, network: str
) -> tuple[KernelTime, ...]:
    """The samples of each kernel of a plan.

    Args:
        traces: what the instrument saw, one a run.
        calls: functions that the network calls, in order, and the kernel of each; see ``RelaxPlan``.
        kernels: how many kernels the plan has.
        network: its name, for messages.

    Raises:
        MeasurementError: a run called other functions, or in another order.
    """
    samples: list[list[float]] = [[] for _ in range(kernels)]
    known = {symbol for symbol, _ in calls} | {_VIEW}
    for trace in traces:
        expected = iter(calls)
        for symbol, duration_us in _durations(trace, known):
            # Calls that stand for no operator may have been folded away, or made into nothing by a later pass.
            for wanted, kernel in expected:
                if symbol in (wanted, _VIEW):
                    break
                if kernel is not None:
                    raise MeasurementError(_mismatch(network, symbol, wanted))
            else:
                raise MeasurementError(_mismatch(network, symbol, "no more"))
            if kernel is not None:
                samples[kernel].append(duration_us)
        left = [wanted for wanted, kernel in expected if kernel is not None]
        if left:
            raise MeasurementError(_mismatch(network, "no more", left[0]))
    return tuple(KernelTime(kernel, tuple(found)) for kernel, found in enumerate(samples))


def _mismatch(network: str, got: str, expected: str) -> str:
    return (
        f"TVM runs {got} in {network!r} where its plan has {expected}, expected the kernels in the plan's order: this "
        "version of TVM has another default pipeline, install the one that the profile names"
    )


def _durations(trace: Trace, known: set[str]) -> Iterator[tuple[str, float]]:
    """(name, microseconds) of each call of a known function; calls do not nest."""
    started = 0
    for moment, symbol, before in trace:
        if symbol not in known:
            continue
        if before:
            started = moment
        else:
            yield symbol, (moment - started) / 1e3


def _profile(machine: Any, feed: list[Any], protocol: MeasurementProtocol) -> list[Trace]:
    """Run under the instrument: once to warm up, then ``profiled_runs`` times or until the budget is spent."""
    trace: Trace = []
    clock, record = time.perf_counter_ns, trace.append

    def instrument(function: object, symbol: str, before: bool, result: object, *arguments: object) -> int:
        record((clock(), symbol, before))
        return 0  # go on

    machine.set_instrument(instrument)
    run = machine["main"]
    traces: list[Trace] = []
    started = clock()
    for count in range(1 + protocol.profiled_runs):
        trace.clear()
        run(*feed)
        spent = clock() - started >= protocol.budget_s * 1e9
        if count or spent:
            traces.append(list(trace))
        if spent:
            break
    return traces


def _plan(module: tvm.IRModule, target: tvm.target.Target, name: str) -> RelaxPlan:
    with _tvm_errors(name, "plan"):
        return plan_module(module, target, name=name)


def _import(model: onnx.ModelProto) -> tvm.IRModule:
    """To Relax. The importer warns of each input that it renames, and prints the operator on which it fails."""
    prepared = with_unique_weights(with_weights(model))
    with _tvm_errors(model.graph.name, "import"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with contextlib.redirect_stdout(io.StringIO()):
            return from_onnx(prepared)


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
    with runtime_errors("TVM", network, verb), _silent_stderr():
        yield


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Without what TVM's C++ code writes to file descriptor 2: advice to authors of kernels, hundreds of lines."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
