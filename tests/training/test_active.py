"""Active collection: whom the members are in doubt about, and a batch that settles as much of it as it can."""

import dataclasses

import numpy as np
import pytest

from tests.models.untrained import untrained_narformer
from tests.training.analytic import PROFILE, examples, member, one_kernel_a_node
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.tokens import default
from tvm_narcost.tokens.encoded import EncodedPlan, encode_plan
from tvm_narcost.training import active
from tvm_narcost.training.active import (
    Doubt,
    family_weights,
    member_doubt,
    pick_networks,
)
from tvm_narcost.training.examples import Example


@pytest.fixture(scope="module")
def pool() -> list[Example]:
    return examples(("plain", "bottleneck", "separable", "mixed"), 6)


@pytest.fixture(scope="module")
def ensemble() -> KernelEnsemble:
    return untrained_narformer().ensemble


@pytest.fixture(scope="module")
def doubts(pool: list[Example], ensemble: KernelEnsemble) -> list[Doubt]:
    return [member_doubt(ensemble, network) for network in pool]


def test_doubt_is_the_disagreement_weighed_by_predicted_time(pool: list[Example], ensemble: KernelEnsemble) -> None:
    first, second = ensemble.member_logs([pool[0].tokens])[0]
    kernels_us = pool[0].yardstick_us * np.exp((first + second) / 2)
    doubt = member_doubt(ensemble, pool[0])
    assert np.allclose(doubt.kernels, np.abs(first - second) / 2 * kernels_us / kernels_us.sum())
    assert doubt.share == pytest.approx(np.average(np.abs(first - second) / 2, weights=kernels_us))


def test_a_single_member_cannot_disagree(pool: list[Example], ensemble: KernelEnsemble) -> None:
    alone = dataclasses.replace(ensemble, networks=ensemble.networks[:1])
    with pytest.raises(TrainingError, match="one member"):
        member_doubt(alone, pool[0])


def test_a_candidate_is_what_training_makes_of_the_same_plan(pool: list[Example]) -> None:
    candidate = encode_plan(one_kernel_a_node(member("plain", 0)), PROFILE)
    assert candidate.operators == pool[0].operators
    assert np.array_equal(candidate.tokens, pool[0].tokens)
    assert np.array_equal(candidate.yardstick_us, pool[0].yardstick_us)


def of_share(network: Example, share: float) -> Doubt:
    """Doubt that is spread evenly over the kernels."""
    return Doubt(np.full(len(network.tokens), share / len(network.tokens)))


def test_one_that_stands_for_several_goes_before_the_odd_one(pool: list[Example]) -> None:
    alike, odd = pool[0], pool[12]
    networks = [odd, alike, alike]
    picks = pick_networks(networks, list(map(of_share, networks, (0.3, 0.2, 0.2))), 3, reach=0.05)
    assert [pick.index for pick in picks] == [1, 0, 2]
    assert [pick.doubt for pick in picks] == pytest.approx([0.2, 0.3, 0.2])
    assert picks[0].settled == pytest.approx(0.4, rel=1e-3)
    assert picks[1].settled == pytest.approx(0.3, rel=1e-3)
    assert picks[2].settled == pytest.approx(0, abs=1e-6)


def test_a_kernel_settles_others_as_far_as_its_reach_goes(pool: list[Example]) -> None:
    doubts = [of_share(network, 0.1) for network in pool]
    near, far = (pick_networks(pool, doubts, 1, reach=reach)[0].settled for reach in (0.05, 1e3))
    assert 0.1 <= near < 0.3  # itself, and what others have in common with it
    ops = set(pool[0].operators)
    settled_by_any = sum(0.1 for network in pool if set(network.operators) <= ops)
    assert settled_by_any <= far <= 0.1 * len(pool) + 1e-6


def test_a_network_that_does_not_matter_is_picked_for_the_sake_of_others(pool: list[Example]) -> None:
    networks = [pool[12], pool[0], pool[0]]
    doubts = list(map(of_share, networks, (0.5, 0.2, 0.2)))
    picks = pick_networks(networks, doubts, 1, weights=[0.0, 0.0, 1.0], reach=0.05)
    assert picks[0].index == 1
    assert picks[0].settled == pytest.approx(0.2, rel=1e-3)


def test_the_kernel_corpus_does_not_matter_beside_networks() -> None:
    assert family_weights(["corpus_conv", "vit", "file"]) == [0.0, 1.0, 1.0]
    assert family_weights(["corpus_conv", "corpus_rows"]) == [1.0, 1.0]


def test_lazy_picks_are_the_greedy_ones(pool: list[Example], doubts: list[Doubt]) -> None:
    def settles(index: int, picked: list[int]) -> float:
        kernels, members = active._distinct_kernels(pool, doubts, [1.0] * len(pool), 0.5)
        for other in picked:
            for name, rows in members[other].items():
                kernels[name].settle(rows)
        return sum(kernels[name].gain(rows) for name, rows in members[index].items())

    greedy: list[int] = []
    while len(greedy) < 5:
        greedy.append(max(set(range(len(pool))) - set(greedy), key=lambda index: (settles(index, greedy), -index)))
    picks = pick_networks(pool, doubts, 5, reach=0.5)
    assert [pick.index for pick in picks] == greedy
    expected = [settles(own, greedy[:at]) for at, own in enumerate(greedy)]
    assert [pick.settled for pick in picks] == pytest.approx(expected, rel=1e-4)


def test_fewer_picks_are_the_first_of_more(pool: list[Example], doubts: list[Doubt]) -> None:
    more = pick_networks(pool, doubts, 100)
    assert sorted(pick.index for pick in more) == list(range(len(pool)))
    assert pick_networks(pool, doubts, 7) == more[:7]
    settled = [pick.settled for pick in more]
    assert settled == sorted(settled, reverse=True)
    assert sum(settled) == pytest.approx(sum(doubt.share for doubt in doubts), rel=1e-3)


def test_a_network_without_kernels_is_no_news(pool: list[Example], ensemble: KernelEnsemble) -> None:
    empty = one_kernel_a_node(member("plain", 0))
    nothing = EncodedPlan(empty, (), np.zeros((0, default.WIDTH), np.float32), np.zeros(0), np.zeros(0))
    doubt = member_doubt(ensemble, nothing)
    assert doubt.share == 0
    assert pick_networks([nothing, pool[0]], [doubt, member_doubt(ensemble, pool[0])], 1)[0].index == 1
    assert pick_networks([], [], 3) == []
