"""OpenVINO on the CPU: its execution graph is the plan, its performance counters give the time of each kernel."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import fmean, median
from typing import Any

import onnx
import openvino

from hardware_profiles import HardwareProfile, MeasurementProtocol
from relay_frontend.graph import OpGraph
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import KernelTime, Measurement
from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure.fingerprint import fingerprint
from tvm_narcost.measure.inputs import random_input
from tvm_narcost.measure.outcome import measured, name_nodes, runtime_errors, why_inconsistent
from tvm_narcost.measure.pinning import pinned
from tvm_narcost.measure.protocol import take_samples
from tvm_narcost.measure.reference import reference_kernel
from tvm_narcost.measure.runtimes.openvino_graph import executed_nodes, name_operators
from tvm_narcost.measure.runtimes.openvino_plan import OpenVinoPlan, plan_nodes
from tvm_narcost.measure.weights import with_unique_weights, with_weights

__all__ = ["OPTIONS", "OpenVino"]

OPTIONS = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": "1",
    "INFERENCE_PRECISION_HINT": "f32",  # the default is bfloat16 on CPUs that have it, which is another network
    "ENABLE_CPU_PINNING": "NO",  # the process is pinned already
}
"""Properties set besides INFERENCE_NUM_THREADS; a profile's options go over these."""

_NEUTRAL = (0.0, 1.0)  # sums with the one and products with the other are taken out, scales of a whole tensor too
_PROFILED_S = 0.2  # short networks: profile for this long, so that whole microseconds average out
_MOST_PROFILED_RUNS = 50
_MOST_ROUNDS = 3
_DISTURBED = 1.1
_ROUNDING_US = 0.5
_COUNTER_US = 0.03  # two readings of the clock; measured on a network of 90 kernels that took 170 us without
_COUNTED_SHARE = 0.01


class OpenVino:
    """Plans and measures with the installed OpenVINO, in float32, one inference stream.

    Weights are replaced where they are missing and made unique, as for ONNX Runtime.
    """

    def plan(self, model: onnx.ModelProto, profile: HardwareProfile) -> FusionPlan:
        """See :meth:`Runtime.plan`: the network is compiled, and its execution graph traced back to its operators."""
        return _build(model, profile)[-1].plan

    def measure(
        self, model: onnx.ModelProto, profile: HardwareProfile, *, graph_hash: str
    ) -> tuple[FusionPlan, Measurement]:
        """See :meth:`Runtime.measure`.

        The performance counters give each kernel's mean over all runs so far, in whole microseconds, rounded down; a
        kernel's time here is the one sample that they give of the undisturbed runs, plus half a microsecond. They cost
        0.03 us a kernel, up to 3 % of networks of many small ones: where it is more than 1 % the network is compiled a
        second time, without counters, to be timed end to end. A network whose kernels do not add up to its end-to-end
        time is noisy.
        """
        with pinned(profile.runtime.threads):  # before compiling: threads keep the cores that they start on
            facts = _facts(profile)
            network, compiled, planned = _build(model, profile)
            with runtime_errors("OpenVINO", model.graph.name, "run"):
                request, run = _request(compiled)
                means, run_us = _profile(run, request, profile.protocol)
                if sum(map(len, planned.members)) * _COUNTER_US > _COUNTED_SHARE * run_us:
                    _, run = _request(openvino.Core().compile_model(network, "CPU", _properties(profile)))
                samples = take_samples(run, reference_kernel(), profile.protocol)
        kernels = _kernel_times(planned, means)
        total_us = sum(sum(time.samples_us) for time in kernels)
        doubt = why_inconsistent(total_us, samples, len(kernels), "the kernels")
        measurement = measured(planned.plan, profile, graph_hash, samples, kernels, facts, doubt)
        return planned.plan, measurement


def _build(model: onnx.ModelProto, profile: HardwareProfile) -> tuple[Any, Any, OpenVinoPlan]:
    """The network as OpenVINO reads it, compiled with counters, and planned."""
    prepared = _prepared(model)
    graph = canonicalize(from_onnx(prepared))
    with runtime_errors("OpenVINO", model.graph.name, "build"):
        core = openvino.Core()
        network = core.read_model(prepared.SerializeToString())
        name_operators(network, prepared.graph.node)
        compiled = core.compile_model(network, "CPU", {**_properties(profile), "PERF_COUNT": "YES"})
        executed = executed_nodes(compiled)
    return network, compiled, plan_nodes(graph, _operators(prepared, graph), executed)


def _request(compiled: Any) -> tuple[Any, Callable[[], object]]:
    """A request that holds its inputs, and a run of it, in which nothing is copied."""
    request = compiled.create_infer_request()
    for port in compiled.inputs:
        dtype = port.get_element_type().to_dtype().name
        request.get_tensor(port).data[...] = random_input(port.get_any_name(), list(port.get_shape()), dtype)
    return request, partial(request.infer, share_outputs=True)


def _prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights present and unique; node names unique, since the graph as read knows a node only by its name."""
    prepared = with_unique_weights(with_weights(model), reserved=_NEUTRAL)
    name_nodes(prepared)
    return prepared


def _operators(model: onnx.ModelProto, graph: OpGraph) -> dict[int, tuple[int, bool]]:
    """Index of a node of the file -> index of the operator that was read from it, or that it is a part of, and which.

    OpenVINO gives what writes a value the name of the Identity, Dropout or Reshape that it removes behind it.
    """
    read = {node.name: index for index, node in enumerate(graph.nodes)}
    found: dict[int, tuple[int, bool]] = {}
    writers: dict[str, int] = {}
    for index, node in enumerate(model.graph.node):
        before = writers.get(node.input[0]) if node.input else None
        if node.name in read:
            found[index] = read[node.name], True
        elif before in found:
            found[index] = found[before][0], False
        writers.update(dict.fromkeys(node.output, index))
    return found


def _properties(profile: HardwareProfile) -> dict[str, Any]:
    threads = {"INFERENCE_NUM_THREADS": str(profile.runtime.threads)}
    return {**OPTIONS, **threads, **dict(profile.runtime.options)}


def _profile(run: Callable[[], object], request: Any, protocol: MeasurementProtocol) -> tuple[dict[str, float], float]:
    """Executed node -> mean microseconds of one undisturbed round of runs; and the network's, the median.

    The counters cannot be reset, so a round's mean is the difference of two readings. A round that something else
    interrupted is followed by another one, and the calmest counts: each reading is rounded down to a microsecond a
    run, and that weighs the more the more runs came before.
    """
    run_s = min(_timed(run) for _ in range(max(protocol.warmup_runs, 1)))
    runs = max(protocol.profiled_runs, min(int(_PROFILED_S / max(run_s, 1e-6)), _MOST_PROFILED_RUNS), 1)
    done = max(protocol.warmup_runs, 1)
    before = _counters(request)
    calmest, best, run_s = float("inf"), before, 0.0
    for _ in range(_MOST_ROUNDS):
        times_s = [_timed(run) for _ in range(runs)]
        after = _counters(request)
        disturbance = fmean(times_s) / median(times_s)
        if disturbance < calmest:
            calmest, run_s = disturbance, median(times_s)
            best = {name: max(after[name] * (done + runs) - before[name] * done, 0.0) / runs for name in after}
        done, before = done + runs, after
        if calmest <= _DISTURBED:
            break
    return best, run_s * 1e6


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _counters(request: Any) -> dict[str, float]:
    return {entry.node_name: entry.real_time.total_seconds() * 1e6 for entry in request.get_profiling_info()}


def _kernel_times(planned: OpenVinoPlan, means: Mapping[str, float]) -> tuple[KernelTime, ...]:
    """One sample a kernel: what the counters say of its executed nodes; the counter of each is rounded down."""
    missing = sorted({name for names in planned.members for name in names} - means.keys())
    if missing:
        raise MeasurementError(
            f"OpenVINO's counters of {planned.plan.graph.name!r} lack {len(missing)} executed nodes: "
            f"{', '.join(missing[:5])}; expected each once: install the version of openvino that the profile names"
        )
    return tuple(
        KernelTime(kernel, (sum(means[name] + _ROUNDING_US for name in names),) if names else (0.0,))
        for kernel, names in enumerate(planned.members)
    )


def _facts(profile: HardwareProfile) -> tuple[tuple[str, str], ...]:
    """The fingerprint, with what this runtime adds to it."""
    options = " ".join(f"{name}={value}" for name, value in sorted(_properties(profile).items()))
    return tuple(sorted({**dict(fingerprint(profile)), "openvino_options": options}.items()))
