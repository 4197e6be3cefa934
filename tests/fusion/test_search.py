"""The search finds the fastest plan, and asks the model no more than it may."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings

from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tests.fusion.networks import network, space_of, spaces
from tvm_narcost.fusion.candidates import rule_plans
from tvm_narcost.fusion.legality import FusionSpace, Kernels
from tvm_narcost.fusion.oracle import PlanOracle
from tvm_narcost.fusion.search import SearchSettings, search_plans
from tvm_narcost.predictor import Prediction
from tvm_narcost.tokens.encoded import PlanEncoder

PROFILE = load_profile("epyc-zen5.onnxruntime")


@dataclass
class Surprising:
    """A kernel takes a time that nobody could guess, from 0.1 to 1.1 ms and 0.3 ms for the call."""

    asked: list[Kernels] = field(default_factory=list)

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        self.asked += [plan.kernels for plan in plans]
        found = []
        for plan in plans:
            kernels_ms = [0.4 + (hash(members) % 1009) / 1009 for members in plan.kernels]
            found.append(Prediction.of_point(sum(kernels_ms), plan.planner, kernels_ms))
        return found


def searched(space: FusionSpace, model: Surprising, **options: int) -> list[FusionPlan]:
    oracle = PlanOracle(space.graph, model, PROFILE, PlanEncoder(space.graph, PROFILE))
    return search_plans(space, oracle, SearchSettings(**options))


def partitions(nodes: Sequence[int]) -> Iterator[list[tuple[int, ...]]]:
    """Every way to part a set."""
    if not nodes:
        yield []
        return
    for rest in partitions(nodes[1:]):
        yield [(nodes[0],), *rest]
        for place, members in enumerate(rest):
            yield [*rest[:place], (nodes[0], *members), *rest[place + 1 :]]


def all_legal(space: FusionSpace) -> set[Kernels]:
    found = set()
    for kernels in partitions(range(len(space.graph.nodes))):
        order = space.ordered(kernels)
        if order is not None and not any(map(space.kernel_fault, kernels)):
            found.add(order)
    return found


@given(spaces(most=6))
@settings(deadline=None, max_examples=40)
def test_every_legal_plan_of_a_small_network_is_found_once(space: FusionSpace) -> None:
    plans = searched(space, Surprising(), candidates=1000)
    assert {plan.kernels for plan in plans} == all_legal(space)
    assert len(plans) == len(all_legal(space))


LAYERS = 40
WIDE = space_of(
    network(("Conv",), *(op for layer in range(LAYERS) for op in (("Relu", 3 * layer), ("Transpose", 3 * layer + 1),
                                                                  ("Conv", 3 * layer + 2)))))  # fmt: skip


def test_plans_of_rules_come_first_and_each_plan_is_asked_for_once() -> None:
    model = Surprising()
    plans = searched(WIDE, model, candidates=200)
    rules = rule_plans(WIDE)
    assert [plan.kernels for plan in plans[: len(rules)]] == [plan.kernels for plan in rules]
    assert len(plans) == 200 == len(model.asked) == len(set(model.asked))
    assert {plan.planner for plan in plans[len(rules) :]} == {"search"}


def test_the_same_seed_finds_the_same_plans() -> None:
    first, second = (searched(WIDE, Surprising(), candidates=250, seed=7) for _ in range(2))
    assert first == second


class Blockwise(Surprising):
    """A call costs 0.1 ms; a transpose in one kernel with the relu that it reads costs a millisecond."""

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        return [
            Prediction.of_point(sum(found), plan.planner, found)
            for plan, found in zip(plans, map(_blockwise_ms, plans), strict=True)
        ]


def _blockwise_ms(plan: FusionPlan) -> list[float]:
    nodes = plan.graph.nodes
    return [
        0.1 + sum(nodes[index].op == "Transpose" and nodes[index].inputs[0].source in members for index in members)
        for members in plan.kernels
    ]


@pytest.mark.parametrize("candidates", [40, 200])
def test_what_pays_in_one_block_is_done_in_all_of_them(candidates: int) -> None:
    """Each relu goes with the convolution before it, each transpose with the one behind it: as many calls as these."""
    plans = searched(WIDE, Blockwise(), candidates=candidates)
    assert min(sum(_blockwise_ms(plan)) for plan in plans) == pytest.approx(0.1 * (LAYERS + 1))
    assert sum(_blockwise_ms(plans[0])) == pytest.approx(0.1 * (2 * LAYERS + 1))
