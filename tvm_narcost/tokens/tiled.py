"""What kernels of a compiler that tiles by its own rule are going to take: convolutions and matrix products by tiles.

A roofline knows how many multiply-adds there are, and not that eleven channels leave a vector of sixteen lanes partly
empty, or that two rows cannot keep both ports busy. The rule that tiles them does (:mod:`tvm_narcost.tokens.tiles`).
And in such a kernel one thing is done after the other: padding is copied, sums are made, what follows is computed, and
weights come from as far as they have to. Its time is therefore their sum and not, as a roofline's, the larger one.
"""

import numpy as np

from hardware_profiles import HardwareProfile
from tvm_narcost.tokens.facts import KernelFacts
from tvm_narcost.tokens.loops import ProductLoops
from tvm_narcost.tokens.machine import Machine
from tvm_narcost.tokens.roofline import Roofline, compute_us, data_us, overhead_us, weights_us
from tvm_narcost.tokens.tiles import PORTS, best_tile

__all__ = ["tiled_bounds"]

_BITS = 32
# Of what the profile calls a cache a network's weights find about this share: what else a pass touches, and neighbours
# on a shared cache, drive them out. On Zen 5 with 32 MiB they come at the memory's rate from 8 MB on.
_SHARE_OF_CACHE = 0.25
# Cycles to copy a vector of what is padded, found on Zen 5: with as much padding before as after, and otherwise, which
# takes three times as long.
_PADDING_CYCLES = 7.0
_ASKEW_CYCLES = 22.0
_FLOPS_OF_ONE = 2  # a multiply-add is one instruction, and so is an operation of what follows it, which counts as one


def tiled_bounds(facts: KernelFacts, profile: HardwareProfile) -> Roofline:
    """A roofline with sums of products by their tiles, and with computing and moving added up.

    Args:
        facts: described with ``inlining``, see :func:`tvm_narcost.tokens.facts.kernel_facts`.
        profile: where it runs.
    """
    machine = Machine.of(profile)
    peak_flops_a_us = dict(profile.device.peak_gflops)["float32"] * 1e3
    cycles_a_us = peak_flops_a_us / (_FLOPS_OF_ONE * PORTS * machine.lanes(_BITS))
    cycles = np.array([0.0 if loops is None else _cycles(loops, machine) for loops in facts.loops])
    multiply_adds = np.array([0.0 if loops is None else loops.multiply_adds for loops in facts.loops])
    following = np.maximum(facts.column("flops") - _FLOPS_OF_ONE * multiply_adds, 0.0)
    product_us = cycles / cycles_a_us + _FLOPS_OF_ONE * following / peak_flops_a_us
    compute = np.where(multiply_adds > 0, product_us / profile.runtime.threads, compute_us(facts, profile))
    memory = data_us(facts, profile) + weights_us(facts, profile, _SHARE_OF_CACHE)
    return Roofline(compute, memory, compute + memory + overhead_us(facts, profile))


def _cycles(loops: ProductLoops, machine: Machine) -> float:
    """Cycles of one core for a product in its tile, and for the padded copy of what it reads."""
    _, one = best_tile(
        loops.rows, loops.width, machine, _BITS, filled=loops.filled, cut=True, depthwise=loops.depthwise
    )
    copied = loops.padded / machine.lanes(_BITS) * (_ASKEW_CYCLES if loops.askew else _PADDING_CYCLES)
    return one * loops.multiply_adds + copied
