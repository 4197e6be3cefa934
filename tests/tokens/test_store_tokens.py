"""Tokens of stores: columns against nests worked out by hand."""

import dataclasses

import numpy as np

from hardware_profiles import load_profile
from tvm_narcost.tokens.store_nests import access_strides, cache_lines, memory_traffic, pad_stores, unrolled_loops
from tvm_narcost.tokens.store_tokens import CONTEXT_WIDTH, WIDTH, encode_stores
from tvm_narcost.tokens.stores import Access, Loop, Step, Store
from tvm_narcost.tokens.straight_code import STRAIGHT_CODE, straight_code

PROFILE = load_profile("epyc-zen5.tvm")


def product(i: int, j: int, k: int, order: str = "ikj", kind: str = "vectorized", unroll: int = 0) -> Store:
    """C[i, j] += A[i, k] * B[k, j], the loops in an order, the innermost one of a kind."""
    extents = {"i": i, "j": j, "k": k}
    loops = tuple(Loop(extents[axis], kind if place == 2 else "serial") for place, axis in enumerate(order))

    def access(axes: str, *, writes: bool = False) -> Access:
        steps: list[Step] = [(d, order.index(axis), 1.0, extents[axis] - 1.0) for d, axis in enumerate(axes)]
        return Access(tuple(extents[axis] for axis in axes), 4.0, True, writes, False, steps)

    return Store(
        loops, frozenset([order.index("k")]), (access("ij", writes=True), access("kj"), access("ik")),
        (1, 1, 0, 0, 0, 0, 0, 0), False, False, unroll, True, 0, 0,
    )  # fmt: skip


def body_column(store: Store, name: str) -> float:
    nests = pad_stores([store])
    outside = np.concatenate([[[1.0]], np.cumprod(nests.extent, axis=1)], axis=1)
    columns, _ = straight_code(
        nests,
        np.array([store.operations], float),
        unrolled_loops([store], nests),
        access_strides(nests),
        outside,
        PROFILE,
    )
    return float(columns[0, STRAIGHT_CODE.index(name)])


def test_tokens_are_finite_and_of_the_schemas_width() -> None:
    stores = [product(64, 64, 64), product(8, 16, 3, "kij", "serial"), dataclasses.replace(product(4, 4, 4), loops=())]
    stores[2] = dataclasses.replace(
        stores[2], accesses=tuple(dataclasses.replace(a, steps=[]) for a in stores[2].accesses), reduced=frozenset()
    )
    tokens = encode_stores([stores[:2], stores[2:]], [1e4, 1e3], PROFILE)
    assert tokens.values.shape == (3, WIDTH) and tokens.context.shape == (2, CONTEXT_WIDTH)
    assert tokens.counts.tolist() == [2, 1]
    assert np.isfinite(tokens.values).all() and np.isfinite(tokens.context).all()


def test_a_store_is_encoded_alike_alone_and_among_others() -> None:
    deep = dataclasses.replace(product(8, 8, 8), loops=tuple(Loop(2, "serial") for _ in range(12)))
    alone = encode_stores([[product(32, 16, 8)]], [1e4], PROFILE)
    among = encode_stores([[deep], [product(32, 16, 8)]], [1e4, 1e4], PROFILE)
    assert np.allclose(alone.values[0], among.values[1])


def test_cache_lines_follow_what_moves() -> None:
    lines = cache_lines(pad_stores([product(4, 32, 8)]))[0]  # [A, L + 1]; loops i, k, j at the end
    assert lines[:3, -1].tolist() == [1, 1, 1]  # no loop inside: a line each
    assert lines[:3, -2].tolist() == [2, 2, 1]  # along j: 32 floats of C and of B, one of A
    assert lines[:3, -4].tolist() == [4 * 2, 8 * 2, 4]  # all of them: A has rows of half a line


def test_what_fits_is_fetched_once_and_what_does_not_again() -> None:
    small, large = pad_stores([product(16, 16, 16)]), pad_stores([product(64, 4096, 512)])
    for nests, again in ((small, False), (large, True)):
        outside = np.concatenate([[[1.0]], np.cumprod(nests.extent, axis=1)], axis=1)
        lines = cache_lines(nests)
        traffic = memory_traffic(nests, outside, lines, 64 * lines.sum(axis=1), PROFILE)[0]  # [A, levels]
        matrix = 64 * lines[0, 1, 0]  # all of B
        assert (traffic[1, 1] > 2 * matrix) == again  # the first cache holds the small one, and not 8 MB
        assert traffic[1, 3] == matrix  # the last one holds both


def test_vectors_take_fewer_cycles_than_scalars_and_gathers_more() -> None:
    rows, columns = product(64, 64, 64), product(64, 64, 64, "kji")  # i, along columns: C and A are gathered
    scalar = product(64, 64, 64, "ijk", "serial")
    assert body_column(rows, "log_lanes") == 6 and body_column(rows, "gathers") == 0
    assert body_column(columns, "gathers") == 2
    assert body_column(rows, "log_cycles") < body_column(columns, "log_cycles")
    assert body_column(rows, "log_cycles") < body_column(scalar, "log_cycles") - 2


def test_llvm_vectorizes_along_rows_but_no_sum() -> None:
    assert body_column(product(8, 32, 8, "ikj", "serial"), "by_llvm") == 1
    assert body_column(product(8, 32, 8, "ijk", "serial"), "by_llvm") == 0  # a sum keeps its order
    assert body_column(product(8, 32, 8, "ikj", "vectorized"), "by_llvm") == 0  # TVM did it


def test_accumulators_that_stay_in_registers_are_not_loaded_again() -> None:
    inside = product(8, 16, 64, "kij", unroll=64)  # i and j are straight code inside k
    outside = product(8, 16, 64, "ikj", unroll=0)
    assert body_column(inside, "log_unrolled") == 3
    assert body_column(inside, "hoisted") > 0
    assert body_column(inside, "spills") == 0
    assert body_column(product(64, 16, 64, "kij", unroll=64), "spills") == 1
    assert body_column(outside, "log_unrolled") == 0
