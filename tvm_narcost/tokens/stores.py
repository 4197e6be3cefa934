"""Schema ``stores``: a scheduled tensor program as tokens, one a buffer store under its loops.

A token says what a compiler and a cache see of the store: the loops around it from the innermost out, the stride that
each access has in each of them, how often each level of memory is filled again (the traffic that is left when the
loops inside fit into it), and how long that and the arithmetic take by the profile's bandwidths and peak.
All of it is linear algebra over the loops' extents and the accesses' coefficients, done for all candidates at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile

__all__ = [
    "CONTEXT_WIDTH", "MAX_ACCESSES", "NAME", "OPERATIONS", "VERSION", "WIDTH", "Access", "Loop", "Step", "Store",
    "StoreTokens", "encode_stores",
]  # fmt: skip

NAME = "stores"
VERSION = 1

OPERATIONS = ("add", "multiply", "divide", "compare", "special", "cast", "select", "integer")
"""What a store computes for each element, counted."""

MAX_ACCESSES = 5
"""Accesses that a token tells one by one, the write first; of more, those that touch most."""

_LOOPS = 8  # innermost loops that a token tells one by one
_LEVELS = 4  # registers and three caches
_CACHE_LINE_BYTES = 64
_VECTOR_REGISTERS = 32

_FACTS = (
    "log_iterations", "log_reduced", *(f"log_{name}" for name in OPERATIONS), "log_flops", "initialises", "guarded",
    "accesses", "depth", "vector_extent", "vector_reduces", "vector_partial", "unroll_limit", "unroll_explicit",
    "unrolled", "parallel_extent", "position", "shared_before", "shared_after", "runs_of_shared",
)  # fmt: skip
_LOOP_FACTS = 4 + 3 * MAX_ACCESSES  # extent, reduces, vectorized, unrolled; a stride in three forms for each access
_ACCESS_FACTS = 9 + _LEVELS
_TIMES = 3 * _LEVELS + 2

WIDTH = len(_FACTS) + _LOOPS * (_LOOP_FACTS + 1) + MAX_ACCESSES * _ACCESS_FACTS + _TIMES
"""Columns of a token."""

_CONTEXT = ("log_flops", "log_argument_bytes", "log_intensity", "stores", "log_reduced", "log_special")
_DEVICE = (
    "log_peak_gflops", "log_l1_gb_s", "log_l2_gb_s", "log_l3_gb_s", "log_memory_gb_s", "log_l1d_bytes", "log_l2_bytes",
    "log_l3_bytes", "log_vector_bytes", "log_cores", "log_threads", "log_call_overhead_us",
)  # fmt: skip
CONTEXT_WIDTH = len(_CONTEXT) + len(_DEVICE)
"""Columns of the token that stands for workload and profile."""


Step = tuple[int, int, float, float]
"""(dimension, loop, coefficient, span): one iteration moves an index by the coefficient, all of them by the span."""


@dataclass(slots=True, eq=False)
class Loop:
    """A loop that runs more than once; stores under the same loop have the same object.

    Attributes:
        extent: how often.
        kind: ``serial``, ``parallel``, ``vectorized`` or ``unrolled``.
    """

    extent: int
    kind: str


@dataclass(slots=True)
class Access:
    """How a store reads or writes one buffer.

    Attributes:
        shape: elements in each dimension of what the buffer holds while the loops inside run.
        element_bytes: of one element.
        reads, writes: whether it does; both for an accumulator.
        intermediate: neither an argument nor a result of the program.
        steps: along the loops.
    """

    shape: tuple[int, ...]
    element_bytes: float
    reads: bool
    writes: bool
    intermediate: bool
    steps: list[Step]


@dataclass(slots=True)
class Store:
    """A buffer store under its loops.

    Attributes:
        loops: outermost first, those of one iteration left out.
        reduced: numbers of the loops along which an axis is reduced.
        accesses: the write first.
        operations: counts, in the order of OPERATIONS.
        initialises: writes a constant, as before a reduction.
        guarded: runs under a condition.
        unroll_limit: steps up to which loops are unrolled; 0 for not at all.
        unroll_explicit: unrolled before LLVM sees it.
        shared_before, shared_after: loops that the store before and the store after run under too.
    """

    loops: tuple[Loop, ...]
    reduced: frozenset[int]
    accesses: tuple[Access, ...]
    operations: tuple[int, ...]
    initialises: bool
    guarded: bool
    unroll_limit: int
    unroll_explicit: bool
    shared_before: int
    shared_after: int


@dataclass(frozen=True)
class StoreTokens:
    """Tokens of several candidates, one after the other.

    Attributes:
        values: float32 [tokens, WIDTH].
        context: float32 [candidates, CONTEXT_WIDTH].
        counts: int64 [candidates], tokens of each.
    """

    values: NDArray[np.float32]
    context: NDArray[np.float32]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class _Nests:
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


def encode_stores(
    candidates: Sequence[Sequence[Store]], argument_bytes: Sequence[float], profile: HardwareProfile
) -> StoreTokens:
    """Encode candidates.

    Args:
        candidates: the stores of each, in the order in which they run; none is empty.
        argument_bytes: what the arguments and results of each hold.
        profile: the device that they are to run on.
    """
    counts = np.array([len(stores) for stores in candidates], np.int64)
    stores = [store for own in candidates for store in own]
    position = np.concatenate([np.arange(count) for count in counts]).astype(np.float64)
    nests = _pad(stores)
    values, flops = _encode(stores, nests, position, profile)
    context = _context(stores, nests, flops, counts, np.asarray(argument_bytes, np.float64), profile)
    return StoreTokens(values.astype(np.float32), context.astype(np.float32), counts)


def _pad(stores: Sequence[Store]) -> _Nests:
    N = len(stores)
    L = max([_LOOPS, *(len(store.loops) for store in stores)])
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
    return _Nests(
        extent_and_flags[..., 0], flags[..., 0], flags[..., 1], flags[..., 2], flags[..., 3], moves[..., 0],
        moves[..., 1], shape[..., 0], facts[..., 0], facts[..., 1:],
    )  # fmt: skip


def _scatter(rows: list[float], into: NDArray[np.float64]) -> None:
    """Write rows, one after the other in a list: places along all axes of ``into`` but the last, and what goes there."""
    axes, values = into.ndim - 1, into.shape[-1]
    table = np.fromiter(rows, np.float64, len(rows)).reshape(-1, axes + values)
    places = np.ravel_multi_index(tuple(table[:, :axes].T.astype(np.intp)), into.shape[:-1])
    into.reshape(-1, values)[places] = table[:, axes:]


def _encode(
    stores: Sequence[Store], nests: _Nests, position: NDArray[np.float64], profile: HardwareProfile
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tokens [N, WIDTH], and floating-point operations of each store [N]."""
    once = np.ones((len(stores), 1))
    outside = np.concatenate([once, np.cumprod(nests.extent, axis=1)], axis=1)  # [N, L + 1] runs of a level
    iterations = outside[:, -1]
    operations = np.array([store.operations for store in stores], np.float64)
    per_element = operations[:, :5] @ np.array([1.0, 1.0, 4.0, 1.0, 16.0])  # a division and exp take so many as an add
    flops = iterations * per_element
    unrolled = _unrolled(stores, nests)
    lines = _lines(nests)  # [N, A, L + 1]
    footprint = lines.sum(axis=1) * _CACHE_LINE_BYTES  # [N, L + 1]
    traffic = _traffic(nests, outside, lines, footprint, profile)  # [N, A, levels], bytes
    strides = (nests.coefficient * _buffer_strides(nests.shape)[..., None]).sum(axis=2)  # [N, A, L]
    values = np.concatenate(
        [
            _facts(stores, nests, iterations, operations, flops, unrolled, outside, position, profile),
            _loop_facts(nests, strides, unrolled, footprint),
            _access_facts(nests, lines, iterations, traffic),
            _times(flops, traffic, iterations, profile),
        ],
        axis=1,
    )
    return values, flops


def _facts(
    stores: Sequence[Store],
    nests: _Nests,
    iterations: NDArray[np.float64],
    operations: NDArray[np.float64],
    flops: NDArray[np.float64],
    unrolled: NDArray[np.bool_],
    outside: NDArray[np.float64],
    position: NDArray[np.float64],
    profile: HardwareProfile,
) -> NDArray[np.float64]:
    """[N, len(_FACTS)]."""
    vector_extent = np.where(nests.vector, nests.extent, 1).prod(axis=1)
    lanes = profile.device.vector_bytes / np.maximum(nests.element_bytes[:, 0], 1)
    partial = vector_extent % lanes / lanes
    own = np.array(
        [
            (
                store.initialises, store.guarded, len(store.accesses), len(store.loops), store.unroll_limit,
                store.unroll_explicit, store.shared_before, store.shared_after,
            )
            for store in stores
        ],
        np.float64,
    )  # fmt: skip
    depth = nests.extent.shape[1] - own[:, 3]
    shared = np.maximum(own[:, 6], own[:, 7])
    runs = outside[np.arange(len(stores)), (depth + shared).astype(np.int64)]
    columns = [
        _log(iterations), _log(np.where(nests.reduces, nests.extent, 1).prod(axis=1)),
        *np.log2(1 + operations).T, _log(np.maximum(flops, 1)), own[:, 0], own[:, 1], own[:, 2], own[:, 3],
        _log(vector_extent), (nests.vector & nests.reduces).any(axis=1), partial, np.log2(1 + own[:, 4]), own[:, 5],
        _log(np.where(unrolled, nests.extent, 1).prod(axis=1)),
        _log(np.where(nests.parallel, nests.extent, 1).prod(axis=1)), position, own[:, 6], own[:, 7], _log(runs),
    ]  # fmt: skip
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def _unrolled(stores: Sequence[Store], nests: _Nests) -> NDArray[np.bool_]:
    """Loops that are unrolled, [N, L]: those marked, and from the innermost out what stays under the limit."""
    limit = np.array([store.unroll_limit for store in stores], np.float64)[:, None]
    steps = np.cumprod(np.where(nests.vector, 1, nests.extent)[:, ::-1], axis=1)[:, ::-1]
    return nests.unrolled | ((steps <= limit) & ~nests.vector & ~nests.parallel & (nests.extent > 1))


def _lines(nests: _Nests) -> NDArray[np.float64]:
    """Cache lines that each access touches while the loops from a level on run, [N, A, L + 1]."""
    span = np.flip(np.cumsum(np.flip(nests.span, axis=3), axis=3), axis=3)  # loops from here inwards
    span = np.concatenate([span, np.zeros((*span.shape[:3], 1))], axis=3)
    touched = np.minimum(1 + span, nests.shape[..., None])  # [N, A, D, L + 1]
    row = np.maximum(touched[:, :, -1] * nests.element_bytes[..., None] / _CACHE_LINE_BYTES, 1.0)
    lines: NDArray[np.float64] = touched[:, :, :-1].prod(axis=2) * row * (nests.element_bytes > 0)[..., None]
    return lines


def _capacities(profile: HardwareProfile) -> tuple[int, ...]:
    device = profile.device
    return (_VECTOR_REGISTERS * device.vector_bytes, device.l1d_bytes, device.l2_bytes, device.l3_bytes)


def _traffic(
    nests: _Nests,
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
    return np.stack(found, axis=2) * _CACHE_LINE_BYTES


def _buffer_strides(shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """Elements between neighbours of each dimension, [N, A, D]."""
    inner = np.cumprod(shape[..., ::-1], axis=2)[..., ::-1]
    return np.concatenate([inner[..., 1:], np.ones((*shape.shape[:2], 1))], axis=2)


def _loop_facts(
    nests: _Nests, strides: NDArray[np.float64], unrolled: NDArray[np.bool_], footprint: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[N, _LOOPS * (_LOOP_FACTS + 1)], the innermost loop last."""
    N, L = nests.extent.shape
    there = nests.element_bytes > 0
    stride = np.abs(strides[:, :, L - _LOOPS :]).transpose(0, 2, 1)  # [N, _LOOPS, A]
    loops = (nests.extent[:, L - _LOOPS :] > 1)[..., None] & there[:, None]
    facts = np.concatenate(
        [
            _log(nests.extent[:, L - _LOOPS :])[..., None],
            nests.reduces[:, L - _LOOPS :, None],
            nests.vector[:, L - _LOOPS :, None],
            unrolled[:, L - _LOOPS :, None],
            (stride == 0) & loops,
            (stride == 1) & loops,
            np.log2(1 + stride),
            _log(np.maximum(footprint[:, L - _LOOPS : -1], 1))[..., None],
        ],
        axis=2,
    )
    return facts.reshape(N, -1)


def _access_facts(
    nests: _Nests, lines: NDArray[np.float64], iterations: NDArray[np.float64], traffic: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[N, MAX_ACCESSES * _ACCESS_FACTS]."""
    N, L = nests.extent.shape
    touched = np.minimum(1 + nests.span.sum(axis=3), nests.shape).prod(axis=2)  # [N, A] elements
    inner = lines[:, :, [L - 1, L - 2, L - 4]]  # of the innermost loop, two, and four
    facts = np.concatenate(
        [
            nests.access,
            nests.element_bytes[..., None],
            _log(touched)[..., None],
            _log(np.maximum(iterations[:, None] / touched, 1))[..., None],  # uses of an element
            _log(np.maximum(inner, 1)),
            _log(np.maximum(traffic, 1)),
        ],
        axis=2,
    )
    return (facts * (nests.element_bytes > 0)[..., None]).reshape(N, -1)


def _times(
    flops: NDArray[np.float64],
    traffic: NDArray[np.float64],
    iterations: NDArray[np.float64],
    profile: HardwareProfile,
) -> NDArray[np.float64]:
    """[N, _TIMES]: bytes moved at each level, as such, a computed element, and as time; arithmetic as time."""
    device, bandwidth = profile.device, dict(profile.device.bandwidth_gb_s)
    total = traffic.sum(axis=1)  # [N, levels]
    rate = np.array([bandwidth["l1"], bandwidth["l2"], bandwidth["l3"], bandwidth["memory"]]) * 1e3  # bytes a us
    memory_us = total / rate
    compute_us = flops / (dict(device.peak_gflops)["float32"] * 1e3)
    bound_us = np.maximum(compute_us, memory_us.max(axis=1))
    small = 1e-3  # a nanosecond: less is nothing
    return np.concatenate(
        [
            _log(np.maximum(total, 1)),
            np.log2(1e-3 + total / np.maximum(iterations, 1)[:, None]),
            _log(memory_us + small),
            _log(compute_us + small)[:, None],
            _log(bound_us + small)[:, None],
        ],
        axis=1,
    )


def _context(
    stores: Sequence[Store],
    nests: _Nests,
    flops: NDArray[np.float64],
    counts: NDArray[np.int64],
    argument_bytes: NDArray[np.float64],
    profile: HardwareProfile,
) -> NDArray[np.float64]:
    """[candidates, CONTEXT_WIDTH]."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    special = np.array([store.operations[OPERATIONS.index("special")] for store in stores], np.float64)
    total = np.add.reduceat(flops, starts)
    reduced = np.maximum.reduceat(np.where(nests.reduces, nests.extent, 1).prod(axis=1), starts)
    own = np.stack(
        [
            _log(np.maximum(total, 1)), _log(np.maximum(argument_bytes, 1)),
            _log(np.maximum(total, 1) / np.maximum(argument_bytes, 1)), counts.astype(np.float64), _log(reduced),
            np.log2(1 + np.maximum.reduceat(special, starts)),
        ],
        axis=1,
    )  # fmt: skip
    return np.concatenate([own, np.broadcast_to(_device(profile), (len(counts), len(_DEVICE)))], axis=1)


def _device(profile: HardwareProfile) -> NDArray[np.float64]:
    device, bandwidth = profile.device, dict(profile.device.bandwidth_gb_s)
    return np.log2(
        [
            dict(device.peak_gflops)["float32"], bandwidth["l1"], bandwidth["l2"], bandwidth["l3"],
            bandwidth["memory"], device.l1d_bytes, device.l2_bytes, device.l3_bytes + 1, device.vector_bytes,
            device.cores, profile.runtime.threads, device.call_overhead_us + 1,
        ]
    )  # fmt: skip


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log2(values)
