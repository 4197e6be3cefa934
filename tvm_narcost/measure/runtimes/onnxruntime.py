"""ONNX Runtime on the CPU: its optimised graph is the plan, its profiler gives the time of each kernel."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import onnx
import onnxruntime

from hardware_profiles import HardwareProfile, MeasurementProtocol
from relay_frontend.onnx import from_onnx, opset_versions
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.fusion.generic import mark_generic_kernels
from tvm_narcost.measure.fingerprint import fingerprint
from tvm_narcost.measure.inputs import random_input
from tvm_narcost.measure.node_order import arrange_nodes
from tvm_narcost.measure.outcome import measured, name_nodes, runtime_errors, why_inconsistent
from tvm_narcost.measure.pinning import pinned
from tvm_narcost.measure.protocol import take_samples
from tvm_narcost.measure.reference import reference_kernel
from tvm_narcost.measure.runtimes.onnxruntime_overhead import profiler_overhead_us
from tvm_narcost.measure.runtimes.onnxruntime_trace import kernel_times, read_trace, unnamed
from tvm_narcost.measure.weights import with_unique_weights, with_weights

__all__ = ["OPTIONS", "OnnxRuntime"]

OPTIONS = {
    "session.intra_op.allow_spinning": "1",  # ONNX Runtime's own default; without effect on one thread
    "session.set_denormal_as_zero": "0",  # default too; stand-in weights keep activations normal instead
}
"""Session options set besides the CPU provider, all graph optimisations, sequential execution, one inter-op thread."""

_OPTIMISED = "optimised.onnx"
_WEIGHTS = "weights"
_PROFILED_S = 0.2  # short networks: profile for this long, so that whole microseconds average out
_MOST_PROFILED_RUNS = 50
_MOST_EVENTS = 10_000  # about 7 MB of trace


class OnnxRuntime:
    """Plans and measures with the installed ONNX Runtime.

    Weights are replaced where they are missing (:func:`with_weights`) and made unique where they are ConstantOfShape
    nodes (:func:`with_unique_weights`), always, so that the plan is the one of the network with real weights.
    """

    def plan(self, model: onnx.ModelProto, profile: HardwareProfile) -> FusionPlan:
        """See :meth:`Runtime.plan`: one kernel for each node of the graph that a session made of ``model``."""
        with _scratch_folder() as folder:
            _session(_prepared(model), profile, folder, profiled=False)
            return _plan_of(folder)[0]

    def measure(
        self, model: onnx.ModelProto, profile: HardwareProfile, *, graph_hash: str
    ) -> tuple[FusionPlan, Measurement]:
        """See :meth:`Runtime.measure`.

        One session does it all: it starts with the profiler on, which gives the kernels' times; then the profiler is
        switched off for good and the same session is timed end to end. Kernel times are as reported; what the
        profiler adds to each is ``profiler_overhead_us`` in the fingerprint. A network whose kernels, less that, do
        not add up to its end-to-end time is noisy: something else ran meanwhile.
        """
        with _scratch_folder() as folder, pinned(profile.runtime.threads):
            overhead_us = profiler_overhead_us(profile.runtime.threads, folder)
            facts = _facts(profile, overhead_us)
            session = _session(_prepared(model), profile, folder, profiled=True)
            plan, names = _plan_of(folder)
            feed = {
                value.name: random_input(value.name, value.shape, _dtype(value.type)) for value in session.get_inputs()
            }
            with runtime_errors("ONNX Runtime", model.graph.name, "run"):
                warmups = _profile(session, feed, len(names), profile.protocol)
                trace = Path(session.end_profiling())
            kernels = kernel_times(read_trace(trace)[warmups:], names, model.graph.name)
            samples = take_samples(lambda: session.run(None, feed), reference_kernel(), profile.protocol)
        total_us = sum(median(time.samples_us) for time in kernels) - len(kernels) * overhead_us
        doubt = why_inconsistent(total_us, samples, len(kernels), "the kernels' medians")
        measurement = measured(plan, profile, graph_hash, samples, kernels, facts, doubt)
        return plan, measurement


def _prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights present and unique; node names unique and plain, since the trace knows a kernel only by its name."""
    prepared = with_unique_weights(with_weights(model))
    name_nodes(prepared, _plain)
    return prepared


def _plain(name: str) -> str:
    return "".join(letter if letter.isprintable() and letter not in '"\\' else "_" for letter in name)


def _session(model: onnx.ModelProto, profile: HardwareProfile, folder: Path, *, profiled: bool) -> Any:
    """A session of ``model``; its optimised graph lies in ``folder`` afterwards, without weights.

    One that is not profiled is only made to be asked for its plan.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = profile.runtime.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors only: saving a graph with layout transforms is a warning each time
    options.optimized_model_filepath = str(folder / _OPTIMISED)
    options.enable_profiling = profiled
    options.profile_file_prefix = str(folder / "trace")
    # the weights go into a link to nowhere: writing them took half of the time that a VGG's session took to make
    (folder / _WEIGHTS).symlink_to(os.devnull)
    entries = {
        **OPTIONS,
        "session.optimized_model_external_initializers_file_name": _WEIGHTS,
        "session.optimized_model_external_initializers_min_size_in_bytes": "1024",  # shapes and axes stay inside
        # packing weights for the matrix multiplier comes after the graph is saved: a plan does not need it
        "session.disable_prepacking": "0" if profiled else "1",
        **dict(profile.runtime.options),
    }
    with runtime_errors("ONNX Runtime", model.graph.name, "build"):
        for name, value in entries.items():
            options.add_session_config_entry(name, value)
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _plan_of(folder: Path) -> tuple[FusionPlan, list[str]]:
    """The plan, and the name that each of its kernels has in a trace."""
    optimised = onnx.load(str(folder / _OPTIMISED), load_external_data=False)
    graph = mark_generic_kernels(arrange_nodes(from_onnx(optimised)), opset_versions(optimised)[""])
    plan = FusionPlan(graph, tuple((index,) for index in range(len(graph.nodes))), "onnxruntime")
    return plan, [node.name or unnamed(node.op) for node in graph.nodes]


def _profile(session: Any, feed: dict[str, Any], kernels: int, protocol: MeasurementProtocol) -> int:
    """Run under the profiler, long enough for meaningful means; returns how many runs at the start are warm-up."""
    warmups = max(protocol.warmup_runs, 1)
    run_s = float("inf")
    for _ in range(warmups):
        started = time.perf_counter()
        session.run(None, feed)
        run_s = min(run_s, time.perf_counter() - started)
    most = min(_MOST_PROFILED_RUNS, _MOST_EVENTS // max(kernels, 1))
    for _ in range(max(protocol.profiled_runs, min(int(_PROFILED_S / max(run_s, 1e-6)), most))):
        session.run(None, feed)
    return warmups


def _facts(profile: HardwareProfile, overhead_us: float) -> tuple[tuple[str, str], ...]:
    """The fingerprint, with what this runtime adds to it."""
    options = " ".join(f"{name}={value}" for name, value in {**OPTIONS, **dict(profile.runtime.options)}.items())
    own = {"onnxruntime_options": options, "profiler_overhead_us": f"{overhead_us:.2f}"}
    return tuple(sorted({**dict(fingerprint(profile)), **own}.items()))


def _dtype(element_type: str) -> str:
    """ONNX Runtime's ``tensor(float)`` as numpy's ``float32``."""
    plain = element_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(plain, plain)


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    """A folder in memory where there is one: what goes into it is read back at once and thrown away."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="narcost-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)
