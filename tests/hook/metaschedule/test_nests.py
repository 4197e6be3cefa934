"""What is read of a scheduled program: loops, strides, what intermediates hold, against programs written by hand."""

import pytest
import tvm
from tvm.s_tir import Schedule

from tests.hook.metaschedule.candidates import matmul
from tvm_narcost.errors import CompileError
from tvm_narcost.hook.metaschedule.nests import read_stores
from tvm_narcost.tokens.stores import OPERATIONS


def stores_of(schedule: Schedule):  # type: ignore[no-untyped-def]
    (stores,), (held,) = read_stores([schedule.mod["main"]])
    return stores, held


def test_tiles_become_loops_and_coefficients() -> None:
    schedule = Schedule(matmul(32))
    block = schedule.get_sblock("C")
    i, j, k = schedule.get_loops(block)
    outer, inner = schedule.split(j, [4, 8])
    schedule.reorder(i, outer, k, inner)
    schedule.vectorize(inner)
    (_, store), held = stores_of(schedule)  # the sum's first value is a store of its own
    assert [(loop.extent, loop.kind) for loop in store.loops] == [
        (32, "serial"), (4, "serial"), (32, "serial"), (8, "vectorized"),
    ]  # fmt: skip
    assert store.reduced == {2}
    written, *reads = store.accesses
    assert written.reads and written.writes and not written.intermediate
    assert sorted(written.steps) == [(0, 0, 1.0, 31.0), (1, 1, 8.0, 24.0), (1, 3, 1.0, 7.0)]
    assert sorted(sorted(read.steps) for read in reads) == [
        [(0, 0, 1.0, 31.0), (1, 2, 1.0, 31.0)],  # A[i, k]
        [(0, 2, 1.0, 31.0), (1, 1, 8.0, 24.0), (1, 3, 1.0, 7.0)],  # B[k, j]
    ]
    assert dict(zip(OPERATIONS, store.operations, strict=True))["multiply"] == 1
    assert held == 3 * 32 * 32 * 4


def test_decomposed_reduction_shares_the_outer_loops_with_its_first_value() -> None:
    schedule = Schedule(matmul(16))
    block = schedule.get_sblock("C")
    schedule.decompose_reduction(block, schedule.get_loops(block)[2])
    (first, update), _ = stores_of(schedule)
    assert first.initialises and not update.initialises
    assert (first.shared_before, first.shared_after, update.shared_before) == (0, 2, 2)
    assert first.loops[0] is update.loops[0]
    assert not first.accesses[0].reads and update.accesses[0].reads


def test_a_cache_inside_a_loop_holds_what_that_loop_needs() -> None:
    schedule = Schedule(matmul(16))
    block = schedule.get_sblock("C")
    cache = schedule.cache_write(block, 0, "global")
    i, _, _ = schedule.get_loops(block)
    schedule.reverse_compute_at(cache, i)
    (_, product, copy), _ = stores_of(schedule)
    assert product.accesses[0].intermediate and product.accesses[0].shape == (1, 16)
    assert copy.accesses[1].shape == (1, 16) and copy.accesses[0].shape == (16, 16)


def test_fused_loops_move_quotient_and_remainder() -> None:
    schedule = Schedule(matmul(16))
    i, j, _ = schedule.get_loops(schedule.get_sblock("C"))
    schedule.fuse(i, j)
    (_, store), _ = stores_of(schedule)
    assert [loop.extent for loop in store.loops] == [256, 16]
    assert sorted(store.accesses[0].steps) == [(0, 0, 1 / 16, 255 / 16), (1, 0, 1.0, 15.0)]


def test_unrolling_is_read_from_the_loops_annotations() -> None:
    schedule = Schedule(matmul(16))
    i, *_ = schedule.get_loops(schedule.get_sblock("C"))
    schedule.annotate(i, "pragma_auto_unroll_max_step", 64)
    schedule.annotate(i, "pragma_unroll_explicit", 1)
    (_, store), _ = stores_of(schedule)
    assert (store.unroll_limit, store.unroll_explicit) == (64, True)


def test_programs_read_together_are_read_as_alone() -> None:
    schedules = []
    for size, tile in ((16, 4), (16, 8), (32, 4)):
        schedule = Schedule(matmul(size))
        loop = schedule.get_loops(schedule.get_sblock("C"))[1]
        schedule.split(loop, [None, tile])
        schedules.append(schedule)
    functions = [schedule.mod["main"] for schedule in schedules]
    together, held = read_stores(functions)
    for function, own, own_held in zip(functions, together, held, strict=True):
        (alone,), (alone_held,) = read_stores([function])
        assert [access.steps for access in own[1].accesses] == [access.steps for access in alone[1].accesses]
        assert own_held == alone_held


def test_dynamic_extents_are_refused() -> None:
    size = tvm.tirx.Var("n", "int64")
    placeholder = tvm.te.placeholder((size,), name="A")
    doubled = tvm.te.compute((size,), lambda i: placeholder[i] * 2.0, name="B")
    function = tvm.te.create_prim_func([placeholder, doubled])
    with pytest.raises(CompileError, match="expected a number; bind dynamic dimensions"):
        read_stores([function])
