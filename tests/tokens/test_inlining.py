"""Kernels of runtimes that inline: what is computed again counts again, and a transpose says how its kernel reads."""

import dataclasses

import numpy as np
import pytest

from relay_frontend.plan import FusionPlan
from tests.tokens.sketch import Sketch, round_profile
from tvm_narcost.tokens.encoded import encode_plan
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.inlining import inlined_flops, moving_member

ROWS, COLUMNS = 64, 100


def broadcast_chain() -> FusionPlan:
    """exp(tanh(row)) times a matrix: one kernel."""
    s = Sketch((COLUMNS,), (ROWS, COLUMNS))
    row = s.node("Exp", s.node("Tanh", s.input(0)))
    graph = s.done(s.node("Mul", s.input(1), row, shape=(ROWS, COLUMNS)))
    return FusionPlan(graph, ((0, 1, 2),), "tvm")


def test_a_chain_that_is_broadcast_is_computed_for_every_row() -> None:
    plan = broadcast_chain()
    every = 16.0 * ROWS * COLUMNS
    assert inlined_flops(plan.graph, (0, 1, 2)) == [every, every, ROWS * COLUMNS]
    assert inlined_flops(plan.graph, (0, 1)) == [16.0 * COLUMNS, 16.0 * COLUMNS]  # apart from what reads it: once
    fused, apart = (
        kernel_facts(FusionPlan(plan.graph, kernels, "tvm"), inlining=True)
        for kernels in (((0, 1, 2),), ((0, 1), (2,)))
    )
    assert fused.column("flops").sum() == pytest.approx(33 * ROWS * COLUMNS)
    assert apart.column("flops").tolist() == [32 * COLUMNS, ROWS * COLUMNS]
    assert fused.ops == ("Tanh",)


def test_what_is_written_or_reduced_is_computed_once() -> None:
    s = Sketch((ROWS, 1), (ROWS, COLUMNS))
    dear = s.node("Exp", s.input(0))
    product = s.node("Mul", s.input(1), dear, shape=(ROWS, COLUMNS))
    graph = s.done(product, dear)
    assert inlined_flops(graph, (0, 1)) == [16.0 * ROWS, ROWS * COLUMNS]
    s = Sketch((ROWS, COLUMNS))
    mean = s.node("ReduceMean", s.node("Exp", s.input()), shape=(ROWS, 1), axes=(1,))
    graph = s.done(s.node("Sub", s.input(), mean, shape=(ROWS, COLUMNS)))
    assert inlined_flops(graph, (0, 1, 2)) == [16.0 * ROWS * COLUMNS, ROWS * COLUMNS, ROWS * COLUMNS]


def test_two_readers_in_one_loop_share_what_they_read() -> None:
    s = Sketch((ROWS, COLUMNS))
    tanh = s.node("Tanh", s.input())
    graph = s.done(s.node("Mul", s.node("Abs", tanh), tanh))
    assert inlined_flops(graph, (0, 1, 2)) == [16.0 * ROWS * COLUMNS, ROWS * COLUMNS, ROWS * COLUMNS]


def test_a_transpose_says_how_its_kernel_reads() -> None:
    s = Sketch((8, ROWS, COLUMNS))
    turned = s.node("Transpose", s.input(), shape=(8, COLUMNS, ROWS), perm=(0, 2, 1))
    graph = s.done(s.node("Sigmoid", turned))
    assert moving_member(graph, (0, 1)) == 0
    assert moving_member(graph, (1,)) is None
    plan = FusionPlan(graph, ((0, 1),), "tvm")
    plain, inlined = kernel_facts(plan), kernel_facts(plan, inlining=True)
    assert (plain.column("stride")[0], inlined.column("stride")[0]) == (1, COLUMNS)
    assert (plain.ops, inlined.ops) == (("Sigmoid",), ("Sigmoid",))


def test_only_the_profiles_of_inlining_runtimes_are_encoded_so() -> None:
    plan, library = broadcast_chain(), round_profile()
    compiler = dataclasses.replace(library, runtime=dataclasses.replace(library.runtime, name="tvm"))
    first, second = encode_plan(plan, library), encode_plan(plan, compiler)
    assert first.operators == ("Mul",)
    assert second.operators == ("Tanh",)
    assert not np.array_equal(first.tokens, second.tokens)
