"""The reference kernel: a fixed computation whose time tells how fast the machine is right now."""

from collections.abc import Callable

import numpy as np

__all__ = ["reference_kernel"]

_ELEMENTS = 8192  # two float32 buffers of 32 KiB
_PASSES = 40


def reference_kernel() -> Callable[[], None]:
    """A function of about 100 us: multiply-adds over 64 KiB, and the interpreter's own loop around them.

    The buffers live in the second-level cache. They are small so that the network's data stays where it is.
    """
    buffer = np.linspace(0.5, 1.5, _ELEMENTS, dtype=np.float32)
    scratch = np.empty_like(buffer)

    def run() -> None:
        for _ in range(_PASSES):
            np.multiply(buffer, np.float32(0.5), out=scratch)
            np.add(scratch, buffer, out=scratch)

    return run
