"""What can be a kernel, and what a plan; every way to make plans keeps to it."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_frontend.errors import PlanError
from relay_frontend.plan import FusionPlan
from tests.fusion.networks import network, space_of, spaces
from tvm_narcost.fusion.candidates import draw_plans, rule_plans
from tvm_narcost.fusion.legality import FusionSpace, check_plan
from tvm_narcost.fusion.moves import Partition, cut_edge, join_edge, join_edges, no_fusion

DIAMOND = space_of(network(("Conv",), ("Relu", 0), ("TopK", 0), ("Add", 1, 2)))


def paths_come_back(space: FusionSpace, plan: FusionPlan) -> bool:
    """Whether a path leaves a kernel and comes back, told from single nodes and not as check_plan does."""
    owner = {index: kernel for kernel, members in enumerate(plan.kernels) for index in members}
    for kernel, members in enumerate(plan.kernels):
        reached = {reader for index in members for reader in space.graph.consumers[index] if owner[reader] != kernel}
        for index in range(len(space.graph.nodes)):  # nodes come in topological order
            if index in reached:
                if owner[index] == kernel:
                    return True
                reached |= {*space.graph.consumers[index]}
    return False


def assert_legal(space: FusionSpace, plan: FusionPlan) -> None:
    check_plan(space, plan)
    assert not paths_come_back(space, plan)
    for members in plan.kernels:
        ops = [space.graph.nodes[index].op for index in members]
        assert sum(op in ("Conv", "MaxPool") for op in ops) <= 1
        assert len(ops) == 1 or "TopK" not in ops
    assert all(len({kernel for kernel in plan.kernels if {*unit} & {*kernel}}) == 1 for unit in space.units)


@given(spaces())
@settings(deadline=None, max_examples=40)
def test_plans_of_rules_are_legal(space: FusionSpace) -> None:
    plans = rule_plans(space)
    assert len({plan.kernels for plan in plans}) == len(plans)
    for plan in plans:
        assert_legal(space, plan)


@given(spaces(), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_any_number_of_moves_stays_legal(space: FusionSpace, seed: int) -> None:
    partition = no_fusion(space)
    assert_legal(space, partition.plan("none"))
    random_of = random.Random(seed)
    for node, reader in random_of.choices(space.edges, k=12) if space.edges else ():
        joined = join_edge(partition, node, reader)
        found = [joined] if joined is not None else cut_edge(partition, node, reader)
        for changed in found:
            assert_legal(space, changed.plan("changed"))
            assert changed.kernels != partition.kernels
        partition = random_of.choice(found) if found else partition


@given(spaces(), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_edges_joined_at_once_or_one_by_one_are_the_same_plan(space: FusionSpace, seed: int) -> None:
    edges = random.Random(seed).sample(space.edges, len(space.edges))
    partition = no_fusion(space)
    for edge in edges:
        partition = join_edge(partition, *edge) or partition
    assert join_edges(no_fusion(space), edges).kernels == partition.kernels


@given(spaces(), st.integers(2, 12), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_drawn_plans_are_legal_distinct_and_the_same_again(space: FusionSpace, count: int, seed: int) -> None:
    plans = draw_plans(space.graph, space.patterns, count, seed, inseparable=space.inseparable)
    for plan in plans:
        assert_legal(space, plan)
    assert len({plan.kernels for plan in plans}) == len(plans) <= count
    assert plans[0].planner == "tvm"
    assert (
        draw_plans(space.graph, space.patterns, count + 3, seed, inseparable=space.inseparable)[: len(plans)] == plans
    )


def test_a_large_network_has_as_many_plans_as_are_wanted() -> None:
    layers: list[tuple[str, *tuple[int, ...]]] = [("Conv",)]
    for place in range(0, 60, 3):
        layers += [("Relu", place), ("Transpose", place + 1), ("Conv", place + 2)]
    space = space_of(network(*layers))
    assert len(draw_plans(space.graph, space.patterns, 200, 0)) == 200


@pytest.mark.parametrize(
    ("operators", "fault"),
    [
        ([("Conv",), ("Relu", 0), ("Conv", 1)], "2 anchors"),
        ([("Conv",), ("Softmax", 0)], "an anchor and a reduction"),
        ([("Relu",), ("TopK", 0)], "opaque"),
        ([("Relu",), ("Relu",)], "hang together"),
        ([("ReduceSum",), ("Add", 0), ("Softmax", 1), ("Transpose", 2)], ""),
        ([("Relu",), ("Transpose", 0), ("Conv", 1), ("Add", 2)], ""),
        ([("TopK",)], ""),
    ],
)
def test_which_operators_can_be_one_kernel(operators: list[tuple[str, *tuple[int, ...]]], fault: str) -> None:
    space = space_of(network(*operators))
    found = space.kernel_fault(range(len(operators)))
    assert fault in found
    assert bool(found) == bool(fault)


def test_what_one_call_computes_is_one_anchor_at_most_and_not_parted() -> None:
    space = space_of(network(("Conv",), ("MaxPool", 0), ("Relu", 1)), inseparable=[(0, 1)])
    assert space.kernel_fault((0, 1, 2)) == ""
    assert "one call" in space.kernel_fault((1, 2))
    assert no_fusion(space).kernels == ((0, 1), (2,))
    assert not cut_edge(Partition.of(space, ((0, 1, 2),)), 0, 1)


def test_a_plan_whose_kernels_read_from_each_other_is_refused() -> None:
    with pytest.raises(PlanError, match="'net' reads what kernel 1 writes"):
        check_plan(DIAMOND, FusionPlan(DIAMOND.graph, ((0, 1, 3), (2,)), "by hand"))
    assert join_edge(Partition.of(DIAMOND, ((0, 1), (2,), (3,))), 1, 3) is None


def test_a_kernel_that_is_not_legal_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match=r"kernel 0 of 'net' \(2 operators: Conv0, TopK2\) has an opaque operator"):
        check_plan(DIAMOND, FusionPlan(DIAMOND.graph, ((0, 2), (1,), (3,)), "by hand"))


def test_patterns_are_one_a_node() -> None:
    with pytest.raises(PlanError, match="4 nodes and 0 patterns"):
        FusionSpace(DIAMOND.graph, ())


def test_both_sides_of_a_cut_edge_are_found() -> None:
    """0 feeds 1 and 2, both feed 3: cut behind 1 leaves 2 with either side."""
    space = space_of(network(("Relu",), ("Relu", 0), ("Relu", 0), ("Add", 1, 2)))
    found = cut_edge(Partition.of(space, ((0, 1, 2, 3),)), 1, 3)
    assert [changed.kernels for changed in found] == [((0, 1), (2, 3)), ((0, 1, 2), (3,))]


def test_kernels_stand_as_tvm_orders_them() -> None:
    """By first operator; what a kernel reads comes right before it."""
    space = space_of(network(("Relu",), ("Relu",), ("Relu",), ("Add", 0, 2), ("Add", 1, 3)))
    assert space.ordered([(0, 3), (1,), (2,), (4,)]) == ((2,), (0, 3), (1,), (4,))
