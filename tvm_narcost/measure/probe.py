"""Measure what a device can do at best, and make the profile of it and one runtime.

Everything is the best of many short repeats: other work on a shared machine only ever makes a repeat slower.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from hardware_profiles import DeviceFacts, HardwareProfile, MeasurementProtocol, ProfileError, RuntimeFacts
from hardware_profiles.document import check_device_name
from hardware_profiles.probe import DeviceDescription, allowed_cores, describe_device
from tvm_narcost.errors import MeasurementError, RuntimeMissingError

__all__ = ["UNSTEADY", "probe"]

UNSTEADY = MeasurementProtocol(min_samples=300, max_samples=400, budget_s=0.5, noisy_iqr_ratio=0.4)
"""How to measure where other work comes and goes: samples that agree at once say how fast the machine is at that moment
only, so they are taken for half a second, in which it is now fast, now slow."""

PLANS_IN_TURN = MeasurementProtocol(warmup_s=0.03, warmup_runs=2, min_samples=30, budget_s=0.25, stable_iqr_ratio=0.05)
"""How to measure where a network has many plans, which are compared: they are timed in turn, a short time each."""

_MATMUL_EXTENTS = (256, 384, 512)  # of square matrices: three of float32 fit into 1 to 3 MiB
_SHIFT_BYTES = 64  # each reduced row starts one cache line after the one before
_PAGE_BYTES = 4096
_HOOKED = (("layout", "NHWC"), ("pipeline", "narcost"), ("rewrites", "fold_batch_norm"))  # TVM's own schedules nothing


def probe(
    runtime_name: str,
    threads: int,
    name: str = "",
    *,
    budget_s: float = 0.3,
    cores: Sequence[int] | None = None,
    protocol: MeasurementProtocol | None = None,
) -> HardwareProfile:
    """Measure this device and make the profile of it with one runtime; takes about 40 x ``budget_s``.

    The process is pinned while it measures and set free afterwards.

    Args:
        runtime_name: ``onnxruntime``, ``openvino`` or ``tvm``. Peaks come from ONNX Runtime's kernels in all cases.
        threads: intra-operator threads of the runtime; peaks and bandwidths are of one core all the same.
        name: of the device; by default one made from the CPU's name.
        budget_s: time for each single quantity, seconds.
        cores: the cores to use, by default the last allowed ones; the last of them is the one of one-core parts.
        protocol: how networks are to be measured on it; :data:`UNSTEADY`, or by default that of a quiet machine, for
            TVM :data:`PLANS_IN_TURN`.

    Raises:
        ProfileError: the system hides a fact that a profile needs, ``cores`` are too few, or ``name`` is not allowed.
        RuntimeMissingError: onnxruntime, or the runtime that is asked for, is not installed.
        MeasurementError: the runtime is not one that can be probed.
    """
    if runtime_name not in _RUNTIMES:
        raise MeasurementError(f"probe: runtime {runtime_name!r} is unknown, expected one of {', '.join(_RUNTIMES)}")
    used = tuple(cores) if cores is not None else allowed_cores()[-threads:]
    if threads < 1 or len(used) < threads:
        raise ProfileError(f"probe: got {threads} threads and cores {used}, expected 1 thread or more and a core each")
    device = describe_device()
    check_device_name(name or device.name)
    with _pinned(used[-1:]):
        peak_gflops = _measure_peaks(budget_s)
        bandwidth_gb_s = _measure_bandwidths(device, budget_s)
    with _pinned(used[-threads:]):
        runtime, call_overhead_us = _RUNTIMES[runtime_name](threads, budget_s)
    facts = DeviceFacts(
        name=name or device.name,
        cpu_model=device.cpu_model,
        isa=device.isa,
        cores=device.cores,
        vector_bytes=device.vector_bytes,
        l1d_bytes=device.l1d_bytes,
        l2_bytes=device.l2_bytes,
        l3_bytes=device.l3_bytes,
        peak_gflops=peak_gflops,
        bandwidth_gb_s=bandwidth_gb_s,
        call_overhead_us=round(call_overhead_us, 2),
    )
    suffix = "" if threads == 1 else f"-{threads}t"
    quiet = PLANS_IN_TURN if runtime_name == "tvm" else MeasurementProtocol()
    return HardwareProfile(f"{facts.name}.{runtime_name}{suffix}", facts, runtime, protocol or quiet)


@contextmanager
def _pinned(cores: Sequence[int]) -> Iterator[None]:
    before = allowed_cores()
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        raise ProfileError(f"probe: cannot pin to cores {tuple(cores)} ({error}), expected some of {before}") from error
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _times_us(work: Callable[[], object], budget_s: float) -> list[float]:
    """Times of single runs after one that warms up, microseconds; at least three."""
    work()
    end_ns = time.perf_counter_ns() + int(budget_s * 1e9)
    times: list[float] = []
    while len(times) < 3 or time.perf_counter_ns() < end_ns:
        start_ns = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - start_ns) / 1e3)
    return times


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeMissingError(
            "probe: onnxruntime is not installed, expected it because peaks come from its kernels; "
            "run `pip install onnxruntime`"
        ) from error
    return onnxruntime


def _session(op: str, inputs: dict[str, np.ndarray], weights: dict[str, np.ndarray], out: str, threads: int) -> Any:
    """A session of one operator; ``out`` is numpy's name of the result's dtype."""
    from onnx import helper, numpy_helper

    def value(name: str, array: np.ndarray) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    result = helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(np.dtype(out)), None)
    node = helper.make_node(op, [*inputs, *weights], ["y"])
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph([node], "probe", [value(*item) for item in inputs.items()], [result], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _measure_peaks(budget_s: float) -> tuple[tuple[str, float], ...]:
    """GFLOP/s of one core for each dtype, by square matrix products with prepacked weights."""
    cases = (("float32", "MatMul", "float32"), ("float64", "MatMul", "float64"), ("int8", "MatMulInteger", "int32"))
    return tuple((dtype, _matmul_gflops(dtype, op, out, budget_s)) for dtype, op, out in cases)


def _matmul_gflops(dtype: str, op: str, out: str, budget_s: float) -> float:
    rng = np.random.default_rng(0)
    best = 0.0
    for extent in _MATMUL_EXTENTS:
        shape = (extent, extent)
        # The fastest int8 kernels of x86 take unsigned activations and signed weights.
        left, right = (
            (rng.integers(0, 255, shape).astype(np.uint8), rng.integers(-127, 127, shape).astype(np.int8))
            if dtype == "int8"
            else (rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype))
        )
        session = _session(op, {"a": left}, {"b": right}, out, threads=1)
        fastest_us = min(_times_us(partial(session.run, None, {"a": left}), budget_s))
        best = max(best, 2 * extent**3 / fastest_us / 1e3)
    return round(best, 1)


def _measure_bandwidths(device: DeviceDescription, budget_s: float) -> tuple[tuple[str, float], ...]:
    """GB/s of one core for each level, bytes read plus bytes written, as numpy's vector loops reach it.

    A level is never given less than the one behind it: what streams from L2 streams from L1 as well, and the
    difference between the two is below what these loops can show.
    """
    behind = max(device.l3_bytes, device.l2_bytes)
    totals = {"memory": max(4 * behind, 64 * 1024**2)}  # four times what the caches hold
    if device.l3_bytes:
        totals["l3"] = max(device.l3_bytes // 4, 2 * device.l2_bytes)  # other cores share it
    totals |= {"l2": device.l2_bytes // 2, "l1": device.l1d_bytes * 3 // 4}
    reached: dict[str, float] = {}
    best = 0.0
    for level, total in totals.items():
        best = max(best, _stream_gb_s(total, budget_s))
        reached[level] = round(best, 1)
    return tuple((level, reached[level]) for level in ("l1", "l2", "l3", "memory") if level in reached)


def _stream_gb_s(total_bytes: int, budget_s: float) -> float:
    """The best of a copy and of a running maximum over a working set of ``total_bytes``."""
    items = total_bytes // 8  # two float32 buffers
    passes = max(4, min(32, 2**22 // total_bytes))  # of one call: its own time must not count in L1
    shift = _SHIFT_BYTES // 4
    target = _aligned_ones(items, 0)
    source = _aligned_ones(items + passes * shift, _PAGE_BYTES // 4)
    # Rows that start a line apart, not all at one address, keep numpy from taking them for the innermost loop.
    rows = np.lib.stride_tricks.as_strided(source, (passes, items), (_SHIFT_BYTES, 4))
    copy_us = min(_times_us(lambda: np.copyto(target, source[:items]), budget_s))
    reduce_us = min(_times_us(lambda: np.maximum.reduce(rows, axis=0, out=target), budget_s))
    reduced_bytes = 4 * items * (3 * passes - 1)  # reads row and target, writes target; the first row: a copy
    return max(8 * items / copy_us, reduced_bytes / reduce_us) / 1e3


def _aligned_ones(items: int, offset_bytes: int) -> np.ndarray:
    """float32 ones that start ``offset_bytes`` behind a page.

    Unaligned vectors cost up to a third of L2's bandwidth, and equal page offsets of what is read and what is
    written make loads wait for stores; where malloc puts a buffer would decide over the result.
    """
    block = np.ones(items + 2 * _PAGE_BYTES // 4, np.float32)
    start = ((-block.ctypes.data) % _PAGE_BYTES + offset_bytes) // 4
    return block[start : start + items]


def _probe_onnxruntime(threads: int, budget_s: float) -> tuple[RuntimeFacts, float]:
    """The runtime's facts, and the median time of a network of one Relu over one element."""
    value = np.ones(1, np.float32)
    session = _session("Relu", {"x": value}, {}, "float32", threads)
    overhead_us = float(np.median(_times_us(partial(session.run, None, {"x": value}), budget_s)))
    facts = RuntimeFacts("onnxruntime", _onnxruntime().__version__, threads, planner="onnxruntime")
    return facts, overhead_us


def _probe_openvino(threads: int, budget_s: float) -> tuple[RuntimeFacts, float]:
    """The runtime's facts, and the median time of a network of one Relu over one element."""
    try:
        import openvino
        from openvino import opset13
    except ImportError as error:
        raise RuntimeMissingError(
            "probe: openvino is not installed, expected it for --runtime openvino; run `pip install openvino`"
        ) from error
    x = opset13.parameter([1], np.float32, name="x")
    network = openvino.Model([opset13.relu(x)], [x])
    properties = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads),
                  "ENABLE_CPU_PINNING": "NO"}  # fmt: skip
    request = openvino.Core().compile_model(network, "CPU", properties).create_infer_request()
    overhead_us = float(np.median(_times_us(request.infer, budget_s)))  # on the input that it holds, as when measuring
    version = openvino.__version__.partition("-")[0]  # what follows names the build
    return RuntimeFacts("openvino", version, threads, planner="openvino"), overhead_us


def _probe_tvm(threads: int, budget_s: float) -> tuple[RuntimeFacts, float]:
    """The runtime's facts, compiled by the hook for this CPU, and the median time of a network of one Relu."""
    try:
        import tvm
        from tvm import relax
        from tvm.target import codegen
    except ImportError as error:
        raise RuntimeMissingError(
            "probe: tvm is not installed, expected it for --runtime tvm; run `pip install apache-tvm`"
        ) from error
    # num-cores is what MetaSchedule parallelises for
    target = {"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu(), "num-cores": threads}
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((1,), "float32"))
    with builder.function("main", [x]):
        builder.emit_func_output(builder.emit(relax.op.nn.relu(x)))
    executable = tvm.compile(builder.get(), target=tvm.target.Target(target))
    machine = relax.VirtualMachine(executable, tvm.cpu())
    value = tvm.runtime.tensor(np.ones(1, np.float32))
    overhead_us = float(np.median(_times_us(partial(machine["main"], value), budget_s)))
    text = json.dumps(target, separators=(",", ":"))
    facts = RuntimeFacts("tvm", tvm.__version__, threads, planner="tvm", options=_HOOKED, tvm_target=text)
    return facts, overhead_us


_RUNTIMES: dict[str, Callable[[int, float], tuple[RuntimeFacts, float]]] = {
    "onnxruntime": _probe_onnxruntime,
    "openvino": _probe_openvino,
    "tvm": _probe_tvm,
}
