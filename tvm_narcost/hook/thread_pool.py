"""The threads on which TVM runs compiled code."""

import os

import tvm

from tvm_narcost.errors import MeasurementError

__all__ = ["use_threads"]


def use_threads(threads: int) -> None:
    """Let TVM run on so many threads, and leave each on the cores of the process.

    By default TVM pins its threads by itself, the caller to the machine's first core, whatever it was pinned to; and
    it has no more threads than half the cores, because it takes two of them for one.

    Raises:
        MeasurementError: TVM made its threads before this was called, and made fewer.
    """
    os.environ["TVM_BIND_THREADS"] = "0"  # read each time that the pool is configured
    os.environ["TVM_NUM_THREADS"] = str(max(threads, os.cpu_count() or 1))  # read once, when the pool is made
    tvm.get_global_func("runtime.config_threadpool")(1, threads)  # 1: the fast cores of a machine that has two kinds
    running = tvm.get_global_func("runtime.NumThreads")()
    if running != threads:
        raise MeasurementError(
            f"TVM runs on {running} threads of {threads}: this process ran compiled code before it asked for them. "
            f"Set TVM_NUM_THREADS={threads} before starting it, or measure in a process of its own."
        )
