"""Pin this process to a few cores while it measures."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["allowed_cores", "pinned"]


def allowed_cores() -> tuple[int, ...]:
    """The cores that the calling thread may run on, ascending; empty where the system cannot say."""
    if sys.platform != "linux":
        return ()
    return tuple(sorted(os.sched_getaffinity(0)))


@contextmanager
def pinned(threads: int) -> Iterator[tuple[int, ...]]:
    """Pin the calling thread, and each thread it starts meanwhile, to the last ``threads`` of the allowed cores.

    The last, since the first cores get most of a machine's interrupts. Yields the cores; an empty tuple where there
    is nothing to pin with (other systems than Linux) or where fewer cores than ``threads`` are allowed: the
    fingerprint then says ``unpinned``. The former affinity comes back in any case.
    """
    before = allowed_cores()
    if len(before) < threads or threads < 1:
        yield ()
        return
    cores = before[-threads:]
    os.sched_setaffinity(0, cores)
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, before)
