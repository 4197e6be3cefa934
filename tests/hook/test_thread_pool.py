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
