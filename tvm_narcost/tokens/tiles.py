"""Tiles of sums of products: how much of the output is held in registers, and what a multiply-add costs there.

The schedules of ``hook`` tile convolutions and matrix products by it. It is arithmetic over extents, so that tokens can
tell, before anything is compiled, what such a kernel is going to take.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from tvm_narcost.tokens.machine import Machine

__all__ = ["PORTS", "Tile", "best_tile"]

PORTS = 2
"""Multiply-adds of whole vectors that start in each cycle, and loads."""

_LATENCY = 4  # cycles of a multiply-add: eight must be under way


@dataclass(frozen=True, slots=True)
class Tile:
    """How much of the output is held in registers: ``rows`` of ``vectors`` vectors of ``lanes`` values."""

    rows: int
    vectors: int
    lanes: int


@functools.lru_cache(maxsize=16384)
def best_tile(
    rows: int, width: int, machine: Machine, bits: int, *, filled: bool, cut: bool, depthwise: bool
) -> tuple[Tile, float]:
    """The tile whose multiply-adds wait least for loads, for each other, and for values outside of the output.

    Args:
        rows: extent of the axis that is unrolled, along which the vectors that are loaded are used again.
        width: extent of the axis that is vectorised; of one group, where the axis has several.
        machine: what computes it.
        bits: of a value.
        filled: whether tiles may reach beyond the vector axis, which is then filled up.
        cut: whether the last vector may be shorter than the others; where tiles are not filled.
        depthwise: whether both operands change along the vector axis.

    Returns:
        The tile, and the cycles that a multiply-add of one value takes, with its share of what is wasted.
    """
    best, least, cycles = Tile(1, 1, 1), float("inf"), 0.0
    for lanes, ragged in _lanes(width, machine.lanes(bits), filled=filled, cut=cut):
        for vectors in _vectors(width, lanes, machine, ragged=ragged):
            for height in range(1, min(rows, machine.accumulators // vectors) + 1):
                sums = height * vectors
                loaded = vectors + height if not depthwise else 1.5 * sums
                waited = max(sums / PORTS, loaded / PORTS, _LATENCY) + 0.2
                one = waited * _wasted(rows, height) * _wasted(width, vectors * lanes) / (sums * lanes)
                cost = one * (1 + 0.01 * abs(vectors - 2))
                if cost < least - 1e-9:
                    best, least, cycles = Tile(height, vectors, lanes), cost, one
    return best, cycles


def _lanes(width: int, full: int, *, filled: bool, cut: bool) -> list[tuple[int, bool]]:
    """Lanes a vector may have, and whether vectors of so many may reach beyond the axis.

    Whole vectors, or the smallest power of two that holds the axis, where it is filled up; else the largest power of
    two that divides it, or whole vectors, of which the last one is cut.
    """
    if filled:
        return [(min(full, 1 << (width - 1).bit_length()), True)]
    dividing = next(full >> shift for shift in range(full.bit_length()) if width % (full >> shift) == 0)
    return [(dividing, False), *([(full, True)] if cut and dividing < full < width else [])]


def _vectors(width: int, lanes: int, machine: Machine, *, ragged: bool) -> Iterator[int]:
    """How many vectors of so many lanes a tile may have side by side."""
    for vectors in range(1, machine.accumulators + 1):
        if vectors * lanes < width + lanes and (ragged or width % (vectors * lanes) == 0):
            yield vectors


def _wasted(extent: int, tile: int) -> float:
    return -(-extent // tile) * tile / extent
