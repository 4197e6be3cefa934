"""From kernels to a plan: order, inserted changes of layout."""

import pytest

from relay_frontend.errors import PlanError
from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from tvm_narcost.fusion.partition import Reorder, arrange_partition

KIND = TensorType((1, 8, 4, 4), "float32")
X = Edge(GRAPH_INPUT)


def chain_with_branches() -> OpGraph:
    """0 -> (1 -> 3, 2) -> 4."""
    reads = [(X,), (Edge(0),), (Edge(0),), (Edge(1),), (Edge(2), Edge(3))]
    nodes = tuple(OpNode("Relu", inputs, (KIND,), name=f"n{index}") for index, inputs in enumerate(reads))
    return OpGraph("net", nodes, (("x", KIND),), (), (Edge(4),))


def names(plan: object) -> list[list[str]]:
    return [[plan.graph.nodes[index].name for index in kernel] for kernel in plan.kernels]  # type: ignore[attr-defined]


def test_operators_stand_in_the_order_of_their_kernels() -> None:
    plan, kernels = arrange_partition(chain_with_branches(), [7, 5, 6, 5, 6], [], "rules")
    assert (plan.planner, kernels) == ("rules", (7, 5, 6))
    assert names(plan) == [["n0"], ["n1", "n3"], ["n2", "n4"]]
    assert plan.kernels == ((0,), (1, 2), (3, 4))
    assert plan.graph.structural_hash() == chain_with_branches().structural_hash()
    assert plan.graph.outputs == (Edge(4),)


def test_a_kernel_waits_for_what_it_reads() -> None:
    plan, kernels = arrange_partition(chain_with_branches(), [0, 1, 2, 3, 2], [], "rules")
    assert kernels == (0, 1, 3, 2)
    assert names(plan)[-1] == ["n2", "n4"]


def test_kernels_that_read_from_each_other_are_refused() -> None:
    with pytest.raises(PlanError, match=r"'net' read from each other.*n0, n1"):
        arrange_partition(chain_with_branches(), [0, 1, 1, 0, 1], [], "rules")


def test_a_reorder_stands_between_a_value_and_the_kernels_that_want_it_moved() -> None:
    reorders = [Reorder(Edge(0), frozenset({1}), "ReorderOutput"), Reorder(Edge(4), frozenset(), "ReorderOutput")]
    plan, kernels = arrange_partition(chain_with_branches(), [0, 1, 2, 1, 2], reorders, "rules")
    assert kernels == (0, -1, 1, 2, -2)
    assert names(plan) == [["n0"], ["n1.ReorderOutput"], ["n1", "n3"], ["n2", "n4"], ["ReorderOutput"]]
    nodes = plan.graph.nodes
    assert nodes[2].inputs == (Edge(1),)
    assert nodes[4].inputs == (Edge(0),)
    assert plan.graph.outputs == (Edge(6),)
