"""What ONNX Runtime's profiler adds to the time that it reports for a kernel."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tvm_narcost.measure.runtimes.onnxruntime_trace import read_trace

__all__ = ["profiler_overhead_us"]

_KERNELS = 100
_WARMUPS = 5
_PROFILED_RUNS = 30
_TIMED_RUNS = 100


def profiler_overhead_us(threads: int, folder: Path) -> float:
    """Microseconds that the profiler adds to a kernel's reported time here and now; measuring it takes 80 ms.

    While a kernel's clock runs the profiler also writes down the shapes of what it reads and writes, and with several
    threads what each of them did. That costs about the same for every kernel: 1.5 us where this was written, 1.3 to
    1.7 with two to eight inputs; a third of the times of a network of many small kernels. On a machine that other
    work slows down now and then it changes as everything does (2.6 to 4.3 us within a minute on one), so it is
    measured beside each network: on a chain of additions of one element each, as the sum of the reported times minus
    the time of the whole chain once the profiler is off.

    Args:
        threads: of the session.
        folder: where it may write its trace.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "overhead")
    session: Any = onnxruntime.InferenceSession(_chain(), options, providers=["CPUExecutionProvider"])
    feed = {"x": np.ones((1, 1, 1, 1), np.float32)}
    for _ in range(_WARMUPS + _PROFILED_RUNS):
        session.run(None, feed)
    runs = read_trace(Path(session.end_profiling()))[_WARMUPS:]
    chain_us = min(_time_us(lambda: session.run(None, feed)) for _ in range(_TIMED_RUNS))
    reported_us = sorted(sum(duration_us for _, duration_us in run.kernels) for run in runs)
    fastest_us = fmean(reported_us[: len(reported_us) // 2])  # the others may have been interrupted
    return max(fastest_us - chain_us, 0.0) / _KERNELS


@cache
def _chain() -> bytes:
    values = [f"v{index}" for index in range(_KERNELS)]
    nodes = [
        helper.make_node("Add", [read, "one"], [written], written)
        for read, written in zip(["x", *values], values, strict=False)
    ]
    one = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "one")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, 1]) for name in ("x", values[-1])]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def _time_us(run: Callable[[], object]) -> float:
    started = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - started) / 1e3
