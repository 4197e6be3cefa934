"""Loop nests of many stores as padded arrays, and what follows of them: cache lines, traffic, strides, unrolling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from tvm_narcost.tokens.stores import MAX_ACCESSES, Store

__all__ = [
    "CACHE_LINE_BYTES", "TOLD_LOOPS", "VECTOR_REGISTERS", "Nests", "access_strides", "cache_lines", "memory_traffic",
    "pad_stores", "unrolled_loops",
]  # fmt: skip

TOLD_LOOPS = 8
"""Innermost loops that a token tells one by one; arrays have room for as many at least."""

CACHE_LINE_BYTES = 64
VECTOR_REGISTERS = 32


@dataclass(frozen=True)
class Nests:
    """All stores, padded: loops and dimensions at the end of their axes, the missing ones with extent 1."""

    extent: NDArray[np.float64]  # [N, L]
    reduces: NDArray[np.bool_]  # [N, L]
    vector: NDArray[np.bool_]  # [N, L]
    unrolled: NDArray[np.bool_]  # [N, L]; explicitly
    parallel: NDArray[np.bool_]  # [N, L]
    coefficient: NDArray[np.float64]  # [N, A, D, L]
    span: NDArray[np.float64]  # [N, A, D, L]
    shape: NDArray[np.float64]  # [N, A, D]
    element_bytes: NDArray[np.float64]  # [N, A]; 0 where no access is
    access: NDArray[np.float64]  # [N, A, 3] reads, writes, intermediate


def pad_stores(stores: Sequence[Store]) -> Nests:
    """Loops and accesses of stores as arrays."""
    N = len(stores)
    L = max([TOLD_LOOPS, *(len(store.loops) for store in stores)])
    D = max([2, *(len(access.shape) for store in stores for access in store.accesses)])
    loops: list[float] = []  # row, place, extent, and three flags of each
    dimensions: list[float] = []  # row, column, place, size of each
    accesses: list[float] = []  # row, column, bytes, and three flags of each
    steps: list[float] = []  # row, column, dimension, loop, coefficient, span of each
    for row, store in enumerate(stores):
        first, reduced = L - len(store.loops), store.reduced
        for place, loop in enumerate(store.loops):
            kind = loop.kind
            loops += (row, first + place, loop.extent, place in reduced, kind == "vectorized", kind == "unrolled",
                      kind == "parallel")  # fmt: skip
        for column, access in enumerate(store.accesses[:MAX_ACCESSES]):
            skipped = D - len(access.shape)
            for place, size in enumerate(access.shape, skipped):
                dimensions += (row, column, place, size)
            accesses += (row, column, access.element_bytes, access.reads, access.writes, access.intermediate)
            for dimension, place, coefficient, span in access.steps:
                steps += (row, column, skipped + dimension, first + place, coefficient, span)
    extent_and_flags = np.zeros((N, L, 5))
    extent_and_flags[..., 0] = 1
    _scatter(loops, extent_and_flags)
    shape = np.ones((N, MAX_ACCESSES, D, 1))
    _scatter(dimensions, shape)
    facts = np.zeros((N, MAX_ACCESSES, 4))
    _scatter(accesses, facts)
    moves = np.zeros((N, MAX_ACCESSES, D, L, 2))
    _scatter(steps, moves)
    flags = extent_and_flags[..., 1:] != 0
    return Nests(
        extent_and_flags[..., 0], flags[..., 0], flags[..., 1], flags[..., 2], flags[..., 3], moves[..., 0],
        moves[..., 1], shape[..., 0], facts[..., 0], facts[..., 1:],
    )  # fmt: skip


def _scatter(rows: list[float], into: NDArray[np.float64]) -> None:
    """Write rows, one after the other in a list: places along all axes of ``into`` but the last, and values."""
    axes, values = into.ndim - 1, into.shape[-1]
    table = np.fromiter(rows, np.float64, len(rows)).reshape(-1, axes + values)
    places = np.ravel_multi_index(tuple(table[:, :axes].T.astype(np.intp)), into.shape[:-1])
    into.reshape(-1, values)[places] = table[:, axes:]


def unrolled_loops(stores: Sequence[Store], nests: Nests) -> NDArray[np.bool_]:
    """Loops that are unrolled, [N, L]: those marked, and from the innermost out what stays under the limit."""
    limit = np.array([store.unroll_limit for store in stores], np.float64)[:, None]
    steps = np.cumprod(np.where(nests.vector, 1, nests.extent)[:, ::-1], axis=1)[:, ::-1]
    return nests.unrolled | ((steps <= limit) & ~nests.vector & ~nests.parallel & (nests.extent > 1))


def cache_lines(nests: Nests) -> NDArray[np.float64]:
    """Cache lines that each access touches while the loops from a level on run, [N, A, L + 1]."""
    span = np.flip(np.cumsum(np.flip(nests.span, axis=3), axis=3), axis=3)  # loops from here inwards
    span = np.concatenate([span, np.zeros((*span.shape[:3], 1))], axis=3)
    touched = np.minimum(1 + span, nests.shape[..., None])  # [N, A, D, L + 1]
    row = np.maximum(touched[:, :, -1] * nests.element_bytes[..., None] / CACHE_LINE_BYTES, 1.0)
    lines: NDArray[np.float64] = touched[:, :, :-1].prod(axis=2) * row * (nests.element_bytes > 0)[..., None]
    return lines


def _capacities(profile: HardwareProfile) -> tuple[int, ...]:
    device = profile.device
    return (VECTOR_REGISTERS * device.vector_bytes, device.l1d_bytes, device.l2_bytes, device.l3_bytes)


def memory_traffic(
    nests: Nests,
    outside: NDArray[np.float64],
    lines: NDArray[np.float64],
    footprint: NDArray[np.float64],
    profile: HardwareProfile,
) -> NDArray[np.float64]:
    """Bytes that each access moves into a memory of each size, [N, A, levels].

    The loops that fit into it are the outermost level whose footprint does. What it holds is fetched again on each
    iteration of a loop outside that moves the access, and of the loops around that one.
    """
    L = nests.extent.shape[1]
    moved = (nests.span > 0).any(axis=2)  # [N, A, L]
    place = np.arange(1, L + 1)
    found = []
    for capacity in _capacities(profile):
        fits = np.minimum((footprint > capacity).sum(axis=1), L)  # the first level that fits
        held = np.take_along_axis(lines, fits[:, None, None], axis=2)[..., 0]  # [N, A]
        mover = np.where(moved & (place <= fits[:, None, None]), place, 0).max(axis=2)  # [N, A]
        found.append(held * np.take_along_axis(outside, mover, axis=1))
    return np.stack(found, axis=2) * CACHE_LINE_BYTES


def access_strides(nests: Nests) -> NDArray[np.float64]:
    """Elements that an iteration of each loop moves each access by, [N, A, L], without their sign.

    Of a loop that was fused from several, an index is a quotient and another one the remainder: what all iterations
    move both by together is exact where the sum of what one iteration does is not.
    """
    moved = (nests.span * _buffer_strides(nests.shape)[..., None]).sum(axis=2)
    strides: NDArray[np.float64] = np.round(moved / np.maximum(nests.extent - 1, 1)[:, None], 1)
    return strides


def _buffer_strides(shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """Elements between neighbours of each dimension, [N, A, D]."""
    inner = np.cumprod(shape[..., ::-1], axis=2)[..., ::-1]
    return np.concatenate([inner[..., 1:], np.ones((*shape.shape[:2], 1))], axis=2)
