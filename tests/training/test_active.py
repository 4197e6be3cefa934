"""Active collection: whom the members are in doubt about, and a batch that does not ask the same thing twice."""

import dataclasses

import numpy as np
import pytest

from tests.models.untrained import untrained_narformer
from tests.training.analytic import PROFILE, examples, member, one_kernel_a_node
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.tokens import default
from tvm_narcost.training import active
from tvm_narcost.training.active import Candidate, Doubt, encode_candidate, member_doubt, pick_networks
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
    candidate = encode_candidate(one_kernel_a_node(member("plain", 0)), PROFILE)
    assert candidate.operators == pool[0].operators
    assert np.array_equal(candidate.tokens, pool[0].tokens)
    assert np.array_equal(candidate.yardstick_us, pool[0].yardstick_us)


def test_without_reach_the_most_doubtful_are_picked(pool: list[Example], doubts: list[Doubt]) -> None:
    picks = pick_networks(pool, doubts, 5, reach=0)
    shares = np.array([doubt.share for doubt in doubts])
    assert [pick.index for pick in picks] == np.argsort(-shares, kind="stable")[:5].tolist()
    assert [pick.doubt for pick in picks] == [shares[pick.index] for pick in picks]
    assert [pick.fresh for pick in picks] == pytest.approx([pick.doubt for pick in picks])


def test_a_copy_of_a_pick_comes_last(pool: list[Example]) -> None:
    def of_share(network: Example, share: float) -> Doubt:
        return Doubt(np.full(len(network.tokens), share / len(network.tokens)))

    networks = [pool[0], pool[0], pool[12]]
    picks = pick_networks(networks, list(map(of_share, networks, (0.4, 0.5, 0.1))), 3)
    assert [pick.index for pick in picks] == [1, 2, 0]
    assert picks[0].fresh == picks[0].doubt == pytest.approx(0.5)
    assert 0 < picks[1].fresh <= picks[1].doubt
    assert picks[2].doubt == pytest.approx(0.4)
    assert picks[2].fresh == pytest.approx(0, abs=1e-6)


def test_lazy_picks_are_the_greedy_ones(pool: list[Example], doubts: list[Doubt]) -> None:
    distinct = [active._distinct_kernels(*pair) for pair in zip(pool, doubts, strict=True)]
    spaces = active._fit_spaces(distinct)

    def left(index: int, picked: list[int]) -> float:
        others = [active._State(distinct[other], spaces) for other in picked]
        return active._State(distinct[index], spaces).fresh(others, 2.0)

    greedy: list[int] = []
    while len(greedy) < 8:
        greedy.append(max(set(range(len(pool))) - set(greedy), key=lambda index: (left(index, greedy), -index)))
    picks = pick_networks(pool, doubts, 8, reach=2.0)
    assert [pick.index for pick in picks] == greedy
    assert [pick.fresh for pick in picks] == pytest.approx([left(own, greedy[:at]) for at, own in enumerate(greedy)])
    assert greedy != [pick.index for pick in pick_networks(pool, doubts, 8, reach=0)]


def test_fewer_picks_are_the_first_of_more(pool: list[Example], doubts: list[Doubt]) -> None:
    more = pick_networks(pool, doubts, 100)
    assert sorted(pick.index for pick in more) == list(range(len(pool)))
    assert pick_networks(pool, doubts, 7) == more[:7]
    fresh = [pick.fresh for pick in more]
    assert fresh == sorted(fresh, reverse=True)


def test_a_network_without_kernels_is_no_news(pool: list[Example], ensemble: KernelEnsemble) -> None:
    nothing = Candidate((), np.zeros((0, default.WIDTH), np.float32), np.zeros(0))
    doubt = member_doubt(ensemble, nothing)
    assert doubt.share == 0
    assert pick_networks([nothing, pool[0]], [doubt, member_doubt(ensemble, pool[0])], 1)[0].index == 1
    assert pick_networks([], [], 3) == []
