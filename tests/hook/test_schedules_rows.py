"""Row reductions, pools and injective blocks: right where rows fill no whole number of vectors, and in vectors."""

from math import prod
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tvm")

import tvm
from tvm import s_tir, te, tirx, topi

from tests.hook.schedules import AVX2, AVX512, TARGET, by_rules, check, inputs_of, kernel, run, threads, vector_widths


def pool(kind: str, strides: tuple[int, int], layout: str = "NHWC") -> Any:
    """A pool over three times three, padded."""
    ones = (1, 1, 1, 1)
    return lambda x: topi.nn.pool2d(x, (3, 3), strides, (1, 1), ones, kind, layout=layout, count_include_pad=False)


ROWS: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    "softmax": (lambda x: topi.nn.softmax(x, axis=-1), ((2, 3, 37),)),
    "softmax over short rows": (lambda x: topi.nn.softmax(x, axis=-1), ((6, 5),)),
    "softmax over another axis": (lambda x: topi.nn.softmax(x, axis=1), ((2, 19, 24),)),
    "layer norm": (lambda x, g, b: topi.nn.layer_norm(x, g, b, [2]), ((1, 5, 43), (43,), (43,))),
    "sum": (lambda x: topi.sum(x, axis=-1), ((7, 50),)),
    "sum of functions of odd rows": (lambda x: topi.sum(topi.exp(x), axis=-1), ((7, 45),)),
    "sum of two axes of odd rows": (lambda x: topi.sum(topi.exp(x), axis=(1, 2)), ((3, 5, 19),)),
    "sum over another axis": (lambda x: topi.sum(x, axis=0), ((3, 5, 77),)),
    "log softmax": (lambda x: topi.nn.log_softmax(x, axis=-1), ((6, 45),)),
    "mean of images": (lambda x: topi.sum(x, axis=(1, 2)), ((2, 7, 7, 27),)),
    "largest": (lambda x: topi.max(x, axis=-1), ((50,),)),
    "max pool of odd width": (pool("max", (2, 2)), ((1, 9, 9, 37),)),
    "max pool": (pool("max", (2, 2)), ((1, 9, 9, 20),)),
    "average pool": (pool("avg", (1, 1)), ((1, 7, 7, 24),)),
}  # fmt: skip
INJECTIVE: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    "elementwise": (topi.nn.relu, ((3, 67),)),
    "broadcast": (topi.add, ((4, 1, 37), (5, 1))),
    "transpose": (lambda x: topi.transpose(x, (0, 2, 1)), ((2, 17, 33),)),
    "transpose of long rows": (lambda x: topi.transpose(x, (0, 2, 1)), ((2, 35, 53),)),
    "transpose of a flat matrix": (lambda x: topi.transpose(x, (1, 0)), ((3, 64),)),
    "concatenate": (lambda a, b: topi.concatenate([a, b], axis=1), ((3, 9), (3, 14))),
    "pad": (lambda x: topi.nn.pad(x, (0, 1), (0, 2)), ((5, 30),)),
    "one value": (topi.exp, ((1,),)),
}


@pytest.mark.parametrize("name", ROWS)
def test_reduction_is_what_it_was(name: str) -> None:
    operation, shapes = ROWS[name]
    check(kernel(operation, *shapes), AVX512)


@pytest.mark.parametrize("name", INJECTIVE)
def test_injective_is_what_it_was(name: str) -> None:
    operation, shapes = INJECTIVE[name]
    check(kernel(operation, *shapes), AVX2)


def test_rows_are_reduced_into_lanes() -> None:
    assert vector_widths(check(kernel(lambda x: topi.nn.softmax(x, axis=-1), (4, 64)), AVX512)) == {16}


def test_a_transpose_reads_whole_lines() -> None:
    """Inside of sixteen rows that are read side by side, sixteen columns are written."""
    scheduled = by_rules(kernel(topi.transpose, (135, 4096)), AVX512)
    schedule = s_tir.Schedule(scheduled)
    (block,) = schedule.get_child_blocks(schedule.get_sblock("root"))
    extents = [int(schedule.get(loop).extent) for loop in schedule.get_loops(block)]
    assert extents == [256, 9, 16, 16]
    check(kernel(topi.transpose, (135, 96)), AVX512)


def _conditions(function: tirx.PrimFunc) -> int:
    """Conditions that are left in a scheduled function once its loops are partitioned and vectorised."""
    lower, common = s_tir.transform, tirx.transform
    passes = [
        lower.LowerInitBlock(), lower.PlanAndUpdateBufferAllocationLocation(), lower.ConvertBlocksToOpaque(),
        lower.CompactBufferAllocation(), lower.StmtSimplify(), lower.LowerOpaqueBlock(), common.FlattenBuffer(),
        common.NarrowDataType(32), lower.LoopPartition(), common.VectorizeLoop(True), common.UnrollLoop(),
        common.StmtSimplify(),
    ]  # fmt: skip
    module = tvm.IRModule({"main": function.with_attr("target", TARGET)})
    return str(tvm.transform.Sequential(passes)(module).script()).count("if ")


@pytest.mark.parametrize("operation", [topi.nn.relu, lambda x: topi.sum(x, axis=0)], ids=["injective", "columns"])
def test_what_is_beyond_whole_vectors_is_one_shorter_vector(operation: Any) -> None:
    """Indices have 64 bits, as in imported networks: when TVM narrows them, it forgets what is to be partitioned."""
    rows, width = (tirx.IntImm("int64", extent) for extent in (3, 1003))
    function = te.create_prim_func([data := te.placeholder((rows, width)), operation(data)])
    scheduled = by_rules(function, AVX512)
    assert 16 in vector_widths(scheduled)
    assert _conditions(scheduled) == 0
    inputs = inputs_of(function)
    np.testing.assert_allclose(run(scheduled, inputs), run(function, inputs), rtol=1e-6)


@pytest.mark.parametrize(("rows", "bits"), [(2**20, 32), (2**21, 64)])
def test_indices_stay_wide_where_a_buffer_is_larger_than_narrow_ones_can_name(rows: int, bits: int) -> None:
    shape = tuple(tirx.IntImm("int64", extent) for extent in (rows, 1024))
    function = te.create_prim_func([data := te.placeholder(shape), topi.nn.relu(data)])
    assert ("T.int64(" in by_rules(function, AVX512).script()) == (bits == 64)


def test_reduction_is_left_where_nothing_lies_side_by_side() -> None:
    """Every other element is read, along a row and across: vectors would be put together element by element."""
    unpadded = kernel(lambda x: topi.nn.pool2d(x, (2, 2), (2, 2), (1, 1), (0, 0, 0, 0), "max"), (1, 3, 16, 16))
    assert by_rules(unpadded, AVX2) is None


def test_what_follows_a_reduction_that_is_left_is_vectorised() -> None:
    pooled = kernel(pool("max", (2, 2), "NCHW"), (1, 3, 16, 16), more=topi.erf)
    assert vector_widths(check(pooled, AVX2)) == {8}


def test_rows_are_not_computed_again_for_each_row_that_reads_them() -> None:
    """The mean over everything is one row; what is made of it has as many rows as there are channels."""

    def scaled(x: Any, scale: Any) -> Any:
        row = topi.reshape(x, (1, 1, 288))
        return topi.reshape(row - topi.sum(row, axis=2, keepdims=True), (1, 12, 6, 4)) * scale

    scheduled = check(kernel(scaled, (1, 12, 6, 4), (12, 1, 1)), AVX2)
    schedule = s_tir.Schedule(scheduled)
    root = schedule.get_child_blocks(schedule.get_sblock("root"))
    reduction = next(block for block in root if schedule.get(block).name_hint.endswith("_lanes_update"))
    assert prod(int(schedule.get(loop).extent) for loop in schedule.get_loops(reduction)) == 288


def test_reordered_elements_are_put_down_before_they_are_reduced() -> None:
    def transposed_sum(x: Any) -> Any:
        return topi.sum(topi.reshape(topi.transpose(x, (0, 2, 1)), (1, 96)), axis=1)

    assert vector_widths(check(kernel(transposed_sum, (1, 8, 12)), AVX2)) == {8}


def test_what_is_dear_is_not_computed_for_each_column() -> None:
    spread = kernel(lambda x, y: topi.add(topi.exp(x), y), (64, 1), (64, 64))
    assert len(by_rules(spread, AVX2).body.block.body.seq) == 2
    cheap = kernel(lambda x, y: topi.add(topi.nn.relu(x), y), (64, 1), (64, 64))
    assert isinstance(by_rules(cheap, AVX2).body.block.body, tirx.For)


def test_a_chain_of_functions_is_expanded_one_function_at_a_time() -> None:
    """apache/tvm issue 20342: expanded into each other, the eighth would take minutes to compile."""

    def chain(column: Any, matrix: Any) -> Any:
        value = column
        for _ in range(10):
            value = topi.exp(topi.subtract(column, topi.multiply(value, tirx.const(0.5, "float32"))))
        return topi.multiply(matrix, value)

    check(kernel(chain, (64, 1), (64, 48)), AVX512)


@pytest.mark.parametrize("shape", [(256, 512), (1, 512, 512)])
def test_parallel_where_there_is_enough_to_do(shape: tuple[int, ...]) -> None:
    for operation in (topi.nn.relu, lambda x: topi.nn.softmax(x, axis=-1), topi.transpose):
        assert "T.parallel" in by_rules(kernel(operation, shape), threads(2)).script()
        assert "T.parallel" not in by_rules(kernel(operation, shape), threads(1)).script()
    assert "T.parallel" not in by_rules(kernel(topi.nn.relu, (8, 8)), threads(2)).script()


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("exp", np.exp),
        ("tanh", np.tanh),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("erf", None),
        ("log", np.log),
        ("atan", np.arctan),
    ],
)
def test_functions_as_arithmetic(name: str, function: Any) -> None:
    from math import erf

    special = [np.inf, -np.inf, 0.0, 1e-40, 3e38, np.sqrt(0.5), np.sqrt(2)]
    values = np.concatenate([np.linspace(-110, 110, 4001), np.linspace(-3, 3, 4001), special]).astype(np.float32)
    scheduled = by_rules(
        kernel(lambda x: te.compute(x.shape, lambda i: getattr(tirx, name)(x[i])), values.shape), AVX512
    )
    assert f"T.{name}(" not in scheduled.script()
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        exact = (np.vectorize(erf) if function is None else function)(values.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(run(scheduled, [values]), exact, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("name", ["log", "atan", "exp", "tanh"])
def test_what_is_no_number_stays_none(name: str) -> None:
    function = kernel(lambda x: te.compute(x.shape, lambda i: getattr(tirx, name)(x[i])), (32,))
    found = run(by_rules(function, AVX512), [np.full(32, np.nan, np.float32)])
    assert np.isnan(found).all()


@pytest.mark.parametrize("exponent", [2.0, 0.75, -0.5, 3.0, 1.3])
def test_powers(exponent: float) -> None:
    function = kernel(lambda x: te.compute(x.shape, lambda i: tirx.pow(x[i], tirx.const(exponent, "float32"))), (50,))
    values = np.abs(inputs_of(function)[0]) + np.float32(0.1)
    expected = values.astype(np.float64) ** exponent
    np.testing.assert_allclose(run(by_rules(function, AVX2), [values]), expected, rtol=1e-6)
