"""A FusionPlan is a partition, or it is refused."""

import json

import pytest

from relay_frontend.errors import PlanError
from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from relay_frontend.plan import FusionPlan

FLOAT = TensorType((4,), "float32")
CHAIN = OpGraph(
    "chain",
    tuple(OpNode("Relu", (Edge(index - 1) if index else Edge(GRAPH_INPUT),), (FLOAT,)) for index in range(3)),
    (("x", FLOAT),),
    (),
    (Edge(2),),
)


@pytest.mark.parametrize(
    "kernels",
    [
        pytest.param(((0,), (1,)), id="a node is missing"),
        pytest.param(((0, 1), (1, 2)), id="a node is in two kernels"),
        pytest.param(((0, 1, 2), ()), id="a kernel is empty"),
        pytest.param(((0, 1, 2, 3),), id="there is no such node"),
        pytest.param((), id="nothing"),
    ],
)
def test_what_is_no_partition_is_refused(kernels: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(PlanError, match="expected each of the 3 nodes in exactly one non-empty kernel"):
        FusionPlan(CHAIN, kernels, "rules")


def test_the_hash_sees_the_partition_and_not_the_planner() -> None:
    plan = FusionPlan(CHAIN, ((0, 1), (2,)), "rules")

    assert plan.plan_hash() == FusionPlan(CHAIN, ((0, 1), (2,)), "tvm").plan_hash()
    assert plan.plan_hash() != FusionPlan(CHAIN, ((0,), (1, 2)), "rules").plan_hash()


def test_json_is_lossless() -> None:
    plan = FusionPlan(CHAIN, ((0, 1), (2,)), "rules")

    assert FusionPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize("damage", [{"kernels": 3}, {"kernels": [["one"]]}, {"kernels": None}])
def test_a_damaged_document_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(PlanError, match="expected what FusionPlan.to_json writes"):
        FusionPlan.from_json({**FusionPlan(CHAIN, ((0, 1, 2),), "rules").to_json(), **damage})
