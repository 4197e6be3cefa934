"""TVM's threads stay on the cores that a measurement was given."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("tvm")

_SCRIPT = """
import os
from tvm_narcost.hook.thread_pool import use_threads
last = max(os.sched_getaffinity(0))
os.sched_setaffinity(0, [last])
use_threads(1)
print(last, *os.sched_getaffinity(0))
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no threads")
def test_the_caller_stays_on_its_core() -> None:
    """By default TVM moves it to the first one of the machine. In a process of its own: the pool is one a process."""
    found = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    last, *now = found.stdout.split()
    assert now == [last]


_COUNTED = """
import tvm
from tvm_narcost.errors import MeasurementError
from tvm_narcost.hook.thread_pool import use_threads
count = tvm.get_global_func("runtime.NumThreads")
if {early}:
    count()
try:
    for threads in (2, 1, 2):
        use_threads(threads)
        print(count())
except MeasurementError as error:
    print(error)
"""


def _counted(early: bool) -> list[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # TVM heeds it, if nothing else is set
    script = _COUNTED.format(early=early)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    return found.stdout.splitlines()


def test_all_threads_that_are_asked_for_run() -> None:
    assert _counted(early=False) == ["2", "1", "2"]


def test_a_pool_that_was_made_too_small_is_refused() -> None:
    (message,) = _counted(early=True)
    assert message.startswith("TVM runs on 1 threads of 2") and "TVM_NUM_THREADS=2" in message
