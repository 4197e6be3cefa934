"""The reference kernel: a fixed computation whose time tells how fast the machine is right now."""

from collections.abc import Callable

import numpy as np

__all__ = ["reference_kernel"]

# Two float32 buffers of 8 KiB: with them the median of a 12 us network rose by 0.7 %, of a 125 us network by 0.6 %, and
# of longer ones by nothing that could be seen. Buffers of 32 KiB cost the short ones 1 %, of 512 KiB 4 to 26 %.
_ELEMENTS = 2048
_PASSES = 110


def reference_kernel() -> Callable[[], None]:
    """A function of about 100 us: multiplies and adds over 16 KiB, and the interpreter's own loop around them.

    It tells the core's clock rate and what a neighbour takes of it. It stays inside half of the first-level cache,
    so that the network's data is where the last run left it; a neighbour's load on memory it does not see.
    """
    buffer = np.linspace(0.5, 1.5, _ELEMENTS, dtype=np.float32)
    scratch = np.empty_like(buffer)
    half = np.float32(0.5)

    def run() -> None:
        for _ in range(_PASSES):
            np.multiply(buffer, half, out=scratch)
            np.add(scratch, buffer, out=scratch)

    return run
