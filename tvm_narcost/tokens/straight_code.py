"""What the straight code inside the innermost loop of a store does: loads, arithmetic, cycles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from tvm_narcost.tokens.store_nests import VECTOR_REGISTERS, Nests

__all__ = ["STRAIGHT_CODE", "straight_code"]

STRAIGHT_CODE = (
    "log_unrolled", "log_lanes", "log_vectors", "log_held", "log_held_written", "spills", "gathers", "hoisted",
    "log_loads", "log_unhoisted", "log_arithmetic", "log_overhead", "log_cycles", "log_cycles_over_ideal",
    "log_loads_over_arithmetic", "log_outer_extent", "outer_reduces", "by_llvm",
)  # fmt: skip


@dataclass(frozen=True)
class _Body:
    """The loops of each store that are straight code, and what one pass through it takes of the registers."""

    inside: NDArray[np.bool_]  # [N, L], from the innermost loop out
    by_llvm: NDArray[np.bool_]  # [N]
    level: NDArray[np.intp]  # [N], the number of loops outside
    lanes: NDArray[np.float64]  # [N], elements that are computed at once
    repeats: NDArray[np.float64]  # [N], copies of the statement
    per_vector: NDArray[np.float64]  # [N, A], elements in a register
    gathers: NDArray[np.bool_]  # [N, A], loaded one by one
    held: NDArray[np.float64]  # [N, A], registers


def straight_code(
    nests: Nests,
    operations: NDArray[np.float64],
    unrolled: NDArray[np.bool_],
    strides: NDArray[np.float64],
    outside: NDArray[np.float64],
    profile: HardwareProfile,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the code inside of the innermost loop that stays one does: [N, len(STRAIGHT_CODE)], and microseconds [N].

    What the loop around does not move is loaded before it, as long as all of it fits into the registers.
    """
    body = _body(nests, unrolled, strides, profile)
    L = nests.extent.shape[1]
    there = nests.element_bytes > 0
    runs = np.take_along_axis(outside, body.level[:, None], axis=1)  # [N, 1]
    place = np.arange(1, L + 1)
    moved = (nests.span > 0).any(axis=2) & (place <= body.level[:, None, None])  # [N, A, L]
    entered = np.take_along_axis(outside, np.where(moved, place, 0).max(axis=2), axis=1)  # [N, A]
    transfers = body.held * (nests.access[..., 0] + nests.access[..., 1])  # an accumulator is loaded and stored
    hoisted, unhoisted = (transfers * entered).sum(axis=1), (transfers * runs).sum(axis=1)
    spills = body.held.sum(axis=1) > 1.2 * VECTOR_REGISTERS
    loads = np.where(spills, unhoisted, hoisted)
    work = np.maximum(_work(operations), 0.5)
    arithmetic = runs[:, 0] * body.repeats * np.ceil(body.lanes / body.per_vector[:, 0]) * work
    overhead = (outside[:, 1:] * (~body.inside & (nests.extent > 1))).sum(axis=1)
    cycles = 0.5 * loads + 0.5 * arithmetic + overhead  # two loads or operations a cycle, one turn of a loop
    ideal = 0.5 * outside[:, -1] / body.per_vector[:, 0] * work
    around = np.maximum(body.level - 1, 0)[:, None]
    columns = [
        _log(body.repeats), _log(body.lanes), _log(body.repeats * np.ceil(body.lanes / body.per_vector[:, 0])),
        _log(body.held.sum(axis=1)), _log((body.held * nests.access[..., 1]).sum(axis=1)), spills,
        (body.gathers & there).sum(axis=1), _log(unhoisted) - _log(hoisted), _log(loads), _log(unhoisted),
        _log(arithmetic), _log(overhead), _log(cycles), np.log2(cycles / ideal), _log(loads) - np.log2(arithmetic),
        _log(np.take_along_axis(nests.extent, around, axis=1)[:, 0]),
        np.take_along_axis(nests.reduces, around, axis=1)[:, 0], body.by_llvm,
    ]  # fmt: skip
    device = profile.device
    gigahertz = (
        dict(device.peak_gflops)["float32"] / device.vector_bytes
    )  # two fused operations on 4-byte lanes a cycle
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1), cycles / (gigahertz * 1e3)


def _work(operations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Instructions for each element, [N]; an addition and a multiplication are one."""
    add, multiply, divide, compare, special, cast, select, integer = operations.T
    fused: NDArray[np.float64] = np.maximum(add, multiply)
    work: NDArray[np.float64] = fused + 8 * divide + compare + 20 * special + cast + 2 * select + integer
    return work


def _body(nests: Nests, unrolled: NDArray[np.bool_], strides: NDArray[np.float64], profile: HardwareProfile) -> _Body:
    """Straight code holds each distinct element that it touches once.

    As a vector where the vectorized loop moves the access by one element, broadcast where it does not move it, and one
    by one else.
    """
    by_llvm = _vectorized_by_llvm(nests, unrolled, strides)
    vector = nests.vector | by_llvm
    straight = unrolled | vector | (nests.extent == 1)
    inside = np.flip(np.cumprod(np.flip(straight, axis=1), axis=1), axis=1).astype(np.bool_)
    lanes = np.where(inside & vector, nests.extent, 1).prod(axis=1)
    repeats = np.where(inside & ~vector, nests.extent, 1).prod(axis=1)
    per_vector = profile.device.vector_bytes / np.maximum(nests.element_bytes, 1)
    span = (nests.span * (inside & ~vector)[:, None, None]).sum(axis=3)
    distinct = np.minimum(1 + span, nests.shape).prod(axis=2)
    stride = (strides * (inside & vector)[:, None]).sum(axis=2)
    gathers: NDArray[np.bool_] = np.logical_and(stride > 0, np.abs(stride - 1) > 0.3)
    wide = np.where(stride == 0, 1.0, np.where(gathers, lanes[:, None], np.ceil(lanes[:, None] / per_vector)))
    held = distinct * wide * (nests.element_bytes > 0)
    level = nests.extent.shape[1] - inside.sum(axis=1)
    return _Body(inside, by_llvm.sum(axis=1) > 0, level, lanes, repeats, per_vector, gathers, held)


def _vectorized_by_llvm(nests: Nests, unrolled: NDArray[np.bool_], strides: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The loop of each store that LLVM vectorizes by itself, [N, L]; at most one, and none where TVM did it.

    It is the innermost loop, or one that is unrolled down to it, along which the store moves by one element and each
    load by one or none. A reduction along it keeps its order, and so stays scalar.
    """
    L = nests.extent.shape[1]
    loops = nests.extent > 1
    last = np.where(loops, np.arange(1, L + 1), 0).max(axis=1)  # 1 + the innermost loop
    straight = np.flip(np.cumprod(np.flip(unrolled | ~loops, axis=1), axis=1), axis=1).astype(np.bool_)
    reached = loops & (straight | (np.arange(1, L + 1) == last[:, None]))
    there = (nests.element_bytes > 0)[..., None]
    near = np.abs(strides - 1) < 0.3
    smooth = ((strides == 0) | near | ~there).all(axis=1) & (strides[:, 0] > 0)
    fitting = reached & smooth & ((nests.vector & loops).sum(axis=1, keepdims=True) == 0)
    place = np.where(fitting, np.arange(1, L + 1), 0)
    out: NDArray[np.bool_] = np.logical_and(fitting, np.equal(place, place.max(axis=1)[:, None]))
    return out


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of what is counted; nothing counts as one."""
    logarithm: NDArray[np.float64] = np.log2(np.maximum(values, 1))
    return logarithm
