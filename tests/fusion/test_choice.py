"""A plan is chosen when it is surely faster, and with it only those of its changes that surely help."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_frontend.plan import FusionPlan
from tests.fusion.networks import network, space_of, spaces
from tvm_narcost.fusion.candidates import draw_plans
from tvm_narcost.fusion.choice import ChoiceRule, assemble, choose, sure_gains
from tvm_narcost.fusion.default_plan import default_plan
from tvm_narcost.fusion.legality import FusionSpace, check_plan
from tvm_narcost.fusion.regions import changed_regions

BLOCKS = 3
LAYERS = [
    op for block in range(BLOCKS) for op in (("Relu", 3 * block), ("Transpose", 3 * block + 1), ("Conv", 3 * block + 2))
]
SPACE = space_of(network(("Conv",), *LAYERS))
"""TVM makes (Conv, Relu), (Transpose), three times, and (Conv)."""


def test_the_gain_is_what_members_agree_on() -> None:
    latency_ms = np.array([[4.0, 2.0, 2.0], [4.0, 2.0, 8.0]])  # the default first
    sure = sure_gains(latency_ms, 0, ChoiceRule(doubt=1.0))
    assert sure == pytest.approx([0.0, np.log(2), 0.0 - np.std([np.log(2), -np.log(2)], ddof=1)])
    assert sure_gains(latency_ms, 1, ChoiceRule(doubt=0.0)) == pytest.approx([-np.log(2), 0.0, -np.log(2)])


@pytest.mark.parametrize(("margin", "chosen"), [(0.02, 2), (0.24, 2), (0.26, 0)])
def test_the_margin_is_a_share_of_the_chosen_plans_latency(margin: float, chosen: int) -> None:
    assert choose(np.array([[5.0, 4.5, 4.0, 6.0]]), 0, ChoiceRule(margin=margin)) == chosen


def test_one_member_has_no_doubt_and_ties_go_to_the_default() -> None:
    assert choose(np.array([[5.0, 5.0]]), 1, ChoiceRule(margin=0.0)) == 1


def test_only_changes_that_help_by_themselves_are_kept() -> None:
    """The other plan takes the first relu from its convolution, and joins the last transpose to the one behind it."""
    default = default_plan(SPACE)
    other = FusionPlan(SPACE.graph, ((0,), (1,), (2,), (3, 4), (5,), (6, 7), (8, 9)), "search")
    check_plan(SPACE, other)

    def gains_of(plans: Sequence[FusionPlan]) -> list[float]:
        return [float(len(default.kernels) - len(plan.kernels)) for plan in plans]

    found = assemble(SPACE, default, other, gains_of)
    assert found is not None
    assert found.kernels == ((0, 1), (2,), (3, 4), (5,), (6, 7), (8, 9))
    assert assemble(SPACE, default, other, lambda plans: [0.0] * len(plans)) is None
    assert assemble(SPACE, default, default, gains_of) is None


def test_changes_of_equal_operators_are_judged_together() -> None:
    default = default_plan(SPACE)
    kernels = [part for block in range(BLOCKS) for part in ((3 * block,), (3 * block + 1,), (3 * block + 2,))]
    other = FusionPlan(SPACE.graph, (*kernels, (3 * BLOCKS,)), "none")
    counts: list[int] = []

    def gains_of(plans: Sequence[FusionPlan]) -> list[float]:
        counts.append(len(plans))
        return [1.0] * len(plans)

    found = assemble(SPACE, default, other, gains_of)
    assert counts == [1]  # three times (Conv, Relu) taken apart
    assert found is not None
    assert found.kernels == other.kernels


@given(spaces(), st.integers(0, 9))
def test_regions_part_both_plans(space: FusionSpace, seed: int) -> None:
    plans = draw_plans(space.graph, space.patterns, 3, seed, inseparable=space.inseparable)
    for other in plans[1:]:
        regions = changed_regions(plans[0].kernels, other.kernels)
        for region in regions:
            before, after = ({index for members in side for index in members} for side in (region.before, region.after))
            assert before == after
            assert not {*region.before} & {*region.after}
        changed = {index for region in regions for members in region.before for index in members}
        kept = {*plans[0].kernels} & {*other.kernels}
        assert changed == {*range(len(space.graph.nodes))} - {index for members in kept for index in members}
        assembled = assemble(space, plans[0], other, lambda found: [1.0] * len(found))
        if assembled is not None:
            check_plan(space, assembled)
