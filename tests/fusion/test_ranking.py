"""Plans ranked, one of them chosen, and why."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, TensorType
from relay_frontend.plan import FusionPlan
from tests.fusion.networks import PATTERN_OF, network
from tvm_narcost.fusion.choice import ChoiceRule
from tvm_narcost.fusion.explain import explain
from tvm_narcost.fusion.ranking import Baselines, RankedPlan, choose_variant, rank
from tvm_narcost.fusion.search import SearchSettings
from tvm_narcost.models.constant import ConstantModel
from tvm_narcost.models.plan_costs import PlanCosts
from tvm_narcost.predictor import Prediction
from tvm_narcost.tokens.encoded import EncodedPlan

PROFILE = load_profile("epyc-zen5.onnxruntime")
CHAIN = network(("MaxPool",), ("Relu", 0), ("Transpose", 1), ("Sigmoid", 2), ("Softmax", 3))
"""TVM makes (MaxPool, Relu), (Transpose, Sigmoid), (Softmax)."""
PATTERNS = [PATTERN_OF[node.op] for node in CHAIN.nodes]


class Together:
    """1 ms an operator and 0.1 ms a call; ``saved`` ms less for each sigmoid that is in one kernel with a softmax."""

    def __init__(self, saved: float, far: bool = False) -> None:
        self.saved = saved
        self.far = far

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        return [self._predict(plan) for plan in plans]

    def _predict(self, plan: FusionPlan) -> Prediction:
        fused = [
            {"Sigmoid", "Softmax"} <= {plan.graph.nodes[index].op for index in members} for members in plan.kernels
        ]
        kernels_ms = [
            0.1 + len(members) - self.saved * found for members, found in zip(plan.kernels, fused, strict=True)
        ]
        far = tuple(found and self.far for found in fused)
        return dataclasses.replace(
            Prediction.of_point(sum(kernels_ms), plan.planner, kernels_ms), kernels_out_of_distribution=far
        )


class Divided(Together):
    """Members that each know another saving; their mean is predicted."""

    def __init__(self, *savings: float) -> None:
        super().__init__(float(np.mean(savings)))
        self.members = [Together(saved) for saved in savings]

    def predict_encoded(self, encoded: Sequence[EncodedPlan]) -> list[Prediction]:
        return [self._predict(found.plan) for found in encoded]

    def member_latency_ms(self, encoded: Sequence[EncodedPlan]) -> NDArray[np.float64]:
        return np.array([[member._predict(found.plan).latency_ms for found in encoded] for member in self.members])


def ranked(model: Together, **options: object) -> tuple[RankedPlan, ...]:
    patterns = PATTERNS
    return rank(CHAIN, patterns, model, PROFILE, **options)  # type: ignore[arg-type]  # options of each test


def the_chosen(plans: Sequence[RankedPlan]) -> RankedPlan:
    (found,) = (plan for plan in plans if plan.chosen)
    return found


def test_the_fastest_comes_first_and_is_chosen() -> None:
    plans = ranked(Together(0.5))
    assert [plan.predicted_ms for plan in plans] == sorted(plan.predicted_ms for plan in plans)
    assert [plan.plan.kernels for plan in plans if plan.default] == [((0, 1), (2, 3), (4,))]
    # One call for the pool and one for what is behind it: the transpose may be in either.
    assert plans[0].predicted_ms == pytest.approx(5 + 0.2 - 0.5)
    assert plans[0].chosen
    assert (plans[0].kernels, plans[0].kernel_sum_ms, plans[0].flops_ms) == (2, None, None)


def test_a_gain_within_the_margin_is_not_trusted() -> None:
    """The default takes 5.3 ms, the best plan 5.2 ms: 1.9 %."""
    assert the_chosen(ranked(Together(0.0), rule=ChoiceRule(margin=0.02))).default
    assert not the_chosen(ranked(Together(0.0), rule=ChoiceRule(margin=0.015))).default


def test_members_that_do_not_agree_leave_the_default() -> None:
    assert not the_chosen(ranked(Divided(0.4, 0.5, 0.6))).default
    assert the_chosen(ranked(Divided(-1.0, 0.5, 2.0))).default
    assert not the_chosen(ranked(Divided(-1.0, 0.5, 2.0), rule=ChoiceRule(doubt=0.0))).default


def test_kernels_unlike_those_in_training_are_not_chosen() -> None:
    plans = ranked(Together(0.5, far=True))
    chosen = the_chosen(plans)
    assert not plans[0].chosen
    assert all({3, 4} - set(members) for members in chosen.plan.kernels)


def test_a_plan_behind_many_that_are_not_trusted_is_chosen_all_the_same() -> None:
    """More than a handful of plans have a kernel that is far, and all of these are predicted to be faster."""
    chain = network(
        ("MaxPool",), *(("Relu", place) for place in range(5)), ("Transpose", 5), ("Sigmoid", 6), ("Softmax", 7)
    )
    patterns = [PATTERN_OF[node.op] for node in chain.nodes]
    plans = rank(chain, patterns, Together(3.0, far=True), PROFILE, rule=ChoiceRule(margin=0.001))
    is_far = [any({7, 8} <= {*members} for members in plan.plan.kernels) for plan in plans]
    assert sum(is_far) > 16
    assert is_far == sorted(is_far, reverse=True)
    chosen, default = the_chosen(plans), next(plan for plan in plans if plan.default)
    assert chosen.plan.kernels == (tuple(range(8)), (8,))
    assert chosen.predicted_ms < default.predicted_ms


def test_nothing_is_better_than_the_default_where_all_are_alike() -> None:
    plans = ranked(ConstantModel(1.0))  # type: ignore[arg-type]  # any LatencyModel
    assert plans[0].default
    assert plans[0].chosen


def test_baselines_stand_beside() -> None:
    baselines = Baselines(kernel_sum=Together(0.1), flops=ConstantModel(7.0))
    for plan in ranked(Together(0.5), baselines=baselines):
        assert plan.flops_ms == 7.0
        assert plan.kernel_sum_ms == pytest.approx(Together(0.1)._predict(plan.plan).latency_ms)


def test_no_more_plans_than_wanted() -> None:
    assert len(ranked(Together(0.5), settings=SearchSettings(candidates=9))) == 9


def by_hand(*kernels: tuple[tuple[int, ...], float]) -> RankedPlan:
    plan = FusionPlan(CHAIN, tuple(members for members, _ in kernels), "by hand")
    times = tuple(kernel_ms for _, kernel_ms in kernels)
    return RankedPlan(plan, sum(times), times, None, None, default=False, chosen=False)


def test_savings_are_told_by_edge_and_add_up() -> None:
    default = by_hand(((0, 1), 4.0), ((2, 3), 2.0), ((4,), 1.0))
    better = by_hand(((0,), 3.0), ((1,), 0.5), ((2, 3, 4), 2.25))
    found = explain(default, better)
    assert [(change.cut, change.joined, change.saved_ms) for change in found.changes] == [
        ((), ((3, 4),), 0.75),
        (((0, 1),), (), 0.5),
    ]
    assert found.elsewhere_ms == 0.0
    assert found.saved_ms == default.predicted_ms - better.predicted_ms


def test_changes_that_share_operators_are_one_and_context_is_kept_apart() -> None:
    default = by_hand(((0, 1), 4.0), ((2, 3), 2.0), ((4,), 1.0))
    better = by_hand(((0,), 3.5), ((1, 2, 3), 2.25), ((4,), 0.75))
    found = explain(default, better)
    assert [(change.cut, change.joined, change.saved_ms) for change in found.changes] == [(((0, 1),), ((1, 2),), 0.25)]
    assert (found.elsewhere_ms, found.saved_ms) == (0.25, 0.5)
    assert explain(default, default).changes == ()


def test_plans_are_compared_by_what_their_work_costs_and_the_model_says_what_the_default_takes() -> None:
    """To the model all plans are alike; a call costs a microsecond, so that the fewest kernels are the fastest."""
    ranked = rank(CHAIN, PATTERNS, ConstantModel(50.0), PROFILE, costs=PlanCosts({"calls": 1.0}))
    default = next(plan for plan in ranked if plan.default)
    chosen = next(plan for plan in ranked if plan.chosen)
    assert default.predicted_ms == pytest.approx(50)
    assert chosen.kernels == min(plan.kernels for plan in ranked) < default.kernels
    for plan in ranked:
        assert plan.predicted_ms == pytest.approx(50 * plan.kernels / default.kernels)
        assert sum(plan.kernels_ms) == pytest.approx(plan.predicted_ms)


class Says:
    """What a network takes by its name, whatever the plan."""

    def __init__(self, **latency_ms: float) -> None:
        self.latency_ms = latency_ms

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        return [Prediction.of_point(self.latency_ms[graph.name], "tvm") for graph in graphs]


def variant(name: str, gain: float, kernel_sum_ms: float | None) -> tuple[RankedPlan, ...]:
    """TVM's plan of the network so written, and a chosen one that is so many times as fast."""
    graph = dataclasses.replace(CHAIN, name=name)
    default = FusionPlan(graph, ((0, 1), (2, 3), (4,)), "tvm")
    other = FusionPlan(graph, ((0, 1), (2, 3, 4)), "search")
    return (
        RankedPlan(other, 10.0 / gain, (), None, None, default=False, chosen=True),
        RankedPlan(default, 10.0, (), kernel_sum_ms, None, default=True, chosen=False),
    )


@pytest.mark.parametrize(
    ("own_gain", "other_ms", "kernel_sum_ms", "chosen"),
    [
        (1.0, 8.0, 16.0, 1),
        (1.0, 8.0, 21.0, 0),  # kernel-sum does not agree
        (1.0, 8.0, None, 1),  # nor is it asked
        (1.0, 9.9, 19.8, 0),  # too little
        (1.5, 8.0, 16.0, 0),  # another plan gains more
    ],
)
def test_a_variant_is_chosen_that_is_surely_faster_under_its_chosen_plan(
    own_gain: float, other_ms: float, kernel_sum_ms: float | None, chosen: int
) -> None:
    variants = [variant("own", own_gain, 20.0), variant("other", 1.0, kernel_sum_ms)]
    model = Says(own=10.0, other=other_ms)
    assert choose_variant(variants, model, PROFILE) == chosen
    assert choose_variant(variants[:1], model, PROFILE) == 0


def test_a_network_without_operators_takes_what_the_model_says() -> None:
    kind = TensorType((1, 3), "float32")
    empty = OpGraph("empty", (), (("x", kind),), (), (Edge(GRAPH_INPUT),))
    (plan,) = rank(empty, (), ConstantModel(2.0), PROFILE, costs=PlanCosts({"calls": 1.0}))
    assert plan.chosen and plan.default and plan.predicted_ms == pytest.approx(2.0)


class Ignorant(Together):
    """Knows no kernel of more than two operators."""

    def _predict(self, plan: FusionPlan) -> Prediction:
        far = tuple(len(members) > 2 for members in plan.kernels)
        return dataclasses.replace(super()._predict(plan), kernels_out_of_distribution=far)


def test_costs_do_not_make_kernels_known_that_the_model_does_not_know() -> None:
    costs = PlanCosts({"calls": 1.0})
    longest = {}
    for model in (Together(0.0), Ignorant(0.0)):
        ranked = rank(CHAIN, PATTERNS, model, PROFILE, costs=costs)
        longest[type(model)] = max(len(members) for plan in ranked if plan.chosen for members in plan.plan.kernels)
    assert longest[Together] > 2
    assert longest[Ignorant] == 2
