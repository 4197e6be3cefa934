"""Schema ``stores``: a scheduled tensor program as tokens, one a buffer store under its loops.

A token says what a compiler and a cache see of the store: the loops around it from the innermost out, the stride that
each access has in each of them, how often each level of memory is filled again (the traffic that is left when the
loops inside fit into it), what the straight code inside the loops does, and how long that takes by the profile's
bandwidths and peak. All of it is arithmetic over extents and coefficients, done for all candidates at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from tvm_narcost.tokens.store_nests import (
    CACHE_LINE_BYTES,
    TOLD_LOOPS,
    Nests,
    access_strides,
    cache_lines,
    memory_traffic,
    pad_stores,
    unrolled_loops,
)
from tvm_narcost.tokens.stores import MAX_ACCESSES, OPERATIONS, Store
from tvm_narcost.tokens.straight_code import STRAIGHT_CODE, straight_code

__all__ = ["CONTEXT_WIDTH", "NAME", "VERSION", "WIDTH", "StoreTokens", "encode_stores"]

NAME = "stores"
VERSION = 1

_LEVELS = 4  # registers and three caches
_FACTS = (
    "log_iterations", "log_reduced", *(f"log_{name}" for name in OPERATIONS), "log_flops", "initialises", "guarded",
    "accesses", "depth", "vector_extent", "vector_reduces", "vector_partial", "unroll_limit", "unroll_explicit",
    "unrolled", "parallel_extent", "position", "shared_before", "shared_after", "runs_of_shared",
)  # fmt: skip
_LOOP_FACTS = 4 + 3 * MAX_ACCESSES  # extent, reduces, vectorized, unrolled; a stride in three forms for each access
_ACCESS_FACTS = 9 + _LEVELS
_TIMES = 4 * _LEVELS + 4

WIDTH = len(_FACTS) + TOLD_LOOPS * (_LOOP_FACTS + 1) + MAX_ACCESSES * _ACCESS_FACTS + _TIMES + len(STRAIGHT_CODE)
"""Columns of a token."""

_CONTEXT = ("log_flops", "log_argument_bytes", "log_intensity", "stores", "log_reduced", "log_special")
_DEVICE = (
    "log_peak_gflops", "log_l1_gb_s", "log_l2_gb_s", "log_l3_gb_s", "log_memory_gb_s", "log_l1d_bytes", "log_l2_bytes",
    "log_l3_bytes", "log_vector_bytes", "log_cores", "log_threads", "log_call_overhead_us",
)  # fmt: skip
CONTEXT_WIDTH = len(_CONTEXT) + len(_DEVICE)
"""Columns of the token that stands for workload and profile."""


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
    nests = pad_stores(stores)
    values, flops = _encode(stores, nests, position, profile)
    context = _context(stores, nests, flops, counts, np.asarray(argument_bytes, np.float64), profile)
    return StoreTokens(values.astype(np.float32), context.astype(np.float32), counts)


def _encode(
    stores: Sequence[Store], nests: Nests, position: NDArray[np.float64], profile: HardwareProfile
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tokens [N, WIDTH], and floating-point operations of each store [N]."""
    once = np.ones((len(stores), 1))
    outside = np.concatenate([once, np.cumprod(nests.extent, axis=1)], axis=1)  # [N, L + 1] runs of a level
    iterations = outside[:, -1]
    operations = np.array([store.operations for store in stores], np.float64)
    per_element = operations[:, :5] @ np.array([1.0, 1.0, 4.0, 1.0, 16.0])  # a division and exp take so many as an add
    flops = iterations * per_element
    unrolled = unrolled_loops(stores, nests)
    lines = cache_lines(nests)  # [N, A, L + 1]
    footprint = lines.sum(axis=1) * CACHE_LINE_BYTES  # [N, L + 1]
    traffic = memory_traffic(nests, outside, lines, footprint, profile)  # [N, A, levels], bytes
    strides = access_strides(nests)
    body, body_us = straight_code(nests, operations, unrolled, strides, outside, profile)
    values = np.concatenate(
        [
            _facts(stores, nests, iterations, operations, flops, unrolled, outside, position, profile),
            _loop_facts(nests, strides, unrolled, footprint),
            _access_facts(nests, lines, iterations, traffic),
            body,
            _times(flops, traffic, iterations, body_us, profile),
        ],
        axis=1,
    )
    return values, flops


def _facts(
    stores: Sequence[Store],
    nests: Nests,
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


def _loop_facts(
    nests: Nests, strides: NDArray[np.float64], unrolled: NDArray[np.bool_], footprint: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[N, TOLD_LOOPS * (_LOOP_FACTS + 1)], the innermost loop last."""
    N, L = nests.extent.shape
    there = nests.element_bytes > 0
    stride = np.abs(strides[:, :, L - TOLD_LOOPS :]).transpose(0, 2, 1)  # [N, TOLD_LOOPS, A]
    loops = (nests.extent[:, L - TOLD_LOOPS :] > 1)[..., None] & there[:, None]
    facts = np.concatenate(
        [
            _log(nests.extent[:, L - TOLD_LOOPS :])[..., None],
            nests.reduces[:, L - TOLD_LOOPS :, None],
            nests.vector[:, L - TOLD_LOOPS :, None],
            unrolled[:, L - TOLD_LOOPS :, None],
            (stride == 0) & loops,
            (np.abs(stride - 1) < 0.3) & loops,
            np.log2(1 + stride),
            _log(np.maximum(footprint[:, L - TOLD_LOOPS : -1], 1))[..., None],
        ],
        axis=2,
    )
    return facts.reshape(N, -1)


def _access_facts(
    nests: Nests, lines: NDArray[np.float64], iterations: NDArray[np.float64], traffic: NDArray[np.float64]
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
    body_us: NDArray[np.float64],
    profile: HardwareProfile,
) -> NDArray[np.float64]:
    """[N, _TIMES]: bytes moved at each level, as such, a computed element, and as time; arithmetic as time."""
    device, bandwidth = profile.device, dict(profile.device.bandwidth_gb_s)
    total = traffic.sum(axis=1)  # [N, levels]
    rate = np.array([bandwidth["l1"], bandwidth["l2"], bandwidth["l3"], bandwidth["memory"]]) * 1e3  # bytes a us
    memory_us = total / rate
    compute_us = flops / (dict(device.peak_gflops)["float32"] * 1e3)
    bound_us = np.maximum(compute_us, memory_us.max(axis=1))
    slow_us = body_us + memory_us[:, 1:].sum(axis=1)
    small = 1e-3  # a nanosecond: less is nothing
    return np.concatenate(
        [
            _log(np.maximum(total, 1)),
            np.log2(1e-3 + total / np.maximum(iterations, 1)[:, None]),
            _log(memory_us + small),
            _log(compute_us + small)[:, None],
            _log(bound_us + small)[:, None],
            _log((memory_us + small) / (bound_us + small)[:, None]),
            _log((body_us + small) / (bound_us + small))[:, None],
            _log(slow_us + small)[:, None],
        ],
        axis=1,
    )


def _context(
    stores: Sequence[Store],
    nests: Nests,
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
