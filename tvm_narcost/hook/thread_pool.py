"""The threads on which TVM runs compiled code."""

import os

import tvm

__all__ = ["use_threads"]


def use_threads(threads: int) -> None:
    """Let TVM run on so many threads, and leave each on the cores of the process.

    By default TVM pins its threads by itself: the caller to the machine's first core, whatever it was pinned to.
    """
    os.environ["TVM_BIND_THREADS"] = "0"  # read each time that the pool is configured
    tvm.get_global_func("runtime.config_threadpool")(1, threads)  # 1: the fast cores of a machine that has two kinds
