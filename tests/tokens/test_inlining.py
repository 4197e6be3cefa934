"""Kernels of runtimes that inline: what is computed again counts again, what is kept is moved, a transpose shows."""

import numpy as np

from relay_frontend.costs import operator_cost
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tests.tokens.sketch import Sketch, round_profile
from tvm_narcost.tokens.encoded import encode_plan
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.inlining import InlinedWork, inline, moving_member

ROWS, COLUMNS = 64, 100


def inlined(graph: OpGraph, members: tuple[int, ...]) -> InlinedWork:
    return inline(graph, members, [operator_cost(graph, index) for index in members])


def broadcast_chain() -> FusionPlan:
    """exp(tanh(row)) times a matrix: one kernel."""
    s = Sketch((COLUMNS,), (ROWS, COLUMNS))
    row = s.node("Exp", s.node("Tanh", s.input(0)))
    graph = s.done(s.node("Mul", s.input(1), row, shape=(ROWS, COLUMNS)))
    return FusionPlan(graph, ((0, 1, 2),), "tvm")


def test_what_is_dear_is_computed_once_and_kept_inside() -> None:
    plan = broadcast_chain()
    work = inlined(plan.graph, (0, 1, 2))
    assert list(work.flops) == [16.0 * COLUMNS, 16.0 * COLUMNS, ROWS * COLUMNS]  # tanh is read once, exp once a row
    assert work.kept_bytes == 4 * COLUMNS
    assert inlined(plan.graph, (0, 1)) == InlinedWork((16.0 * COLUMNS, 16.0 * COLUMNS), 0)
    facts = kernel_facts(plan, inlining=True)
    assert facts.column("flops").tolist() == [32 * COLUMNS + ROWS * COLUMNS]
    assert facts.column("input_bytes").tolist() == [4 * (COLUMNS + ROWS * COLUMNS + COLUMNS)]
    assert kernel_facts(plan).column("input_bytes").tolist() == [4 * (COLUMNS + ROWS * COLUMNS)]


def test_what_is_cheap_is_computed_for_every_row() -> None:
    s = Sketch((COLUMNS,), (ROWS, COLUMNS))
    row = s.node("Neg", s.node("Abs", s.input(0)))
    graph = s.done(s.node("Mul", s.input(1), row, shape=(ROWS, COLUMNS)))
    assert inlined(graph, (0, 1, 2)) == InlinedWork((ROWS * COLUMNS,) * 3, 0)
    assert list(inlined(graph, (0, 1)).flops) == [COLUMNS, COLUMNS]


def test_what_is_written_or_reduced_is_computed_once() -> None:
    s = Sketch((ROWS, 1), (ROWS, COLUMNS))
    dear = s.node("Neg", s.input(0))
    product = s.node("Mul", s.input(1), dear, shape=(ROWS, COLUMNS))
    graph = s.done(product, dear)
    assert inlined(graph, (0, 1)) == InlinedWork((ROWS, ROWS * COLUMNS), 0)
    s = Sketch((ROWS, COLUMNS))
    mean = s.node("ReduceMean", s.node("Exp", s.input()), shape=(ROWS, 1), axes=(1,))
    graph = s.done(s.node("Sub", s.input(), mean, shape=(ROWS, COLUMNS)))
    assert inlined(graph, (0, 1, 2)) == InlinedWork((16.0 * ROWS * COLUMNS, ROWS * COLUMNS, ROWS * COLUMNS), 0)


def test_a_dear_value_of_two_readers_gets_a_buffer() -> None:
    s = Sketch((ROWS, COLUMNS))
    tanh = s.node("Tanh", s.input())
    graph = s.done(s.node("Mul", s.node("Abs", tanh), tanh))
    assert inlined(graph, (0, 1, 2)) == InlinedWork(
        (16.0 * ROWS * COLUMNS, ROWS * COLUMNS, ROWS * COLUMNS), 4 * ROWS * COLUMNS
    )


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
    plan = broadcast_chain()
    first, second = encode_plan(plan, round_profile()), encode_plan(plan, round_profile(runtime="tvm"))
    assert first.operators == second.operators == ("Mul",)
    assert not np.array_equal(first.tokens, second.tokens)
