"""The simulation of active collection: who is picked from, who is judged on, and what is said of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench import active
from bench.active import JUDGED, STRATEGIES, Setup, pick, split_networks, summarise
from tests.models.untrained import untrained_narformer
from tests.training.analytic import FAMILIES, examples
from tvm_narcost.errors import TrainingError
from tvm_narcost.training.active import member_doubt
from tvm_narcost.training.examples import Example
from tvm_narcost.zoo import CORPUS_FAMILIES, NNLQP_FAMILIES

SETUP = Setup(judge="test", start=6, batch=3, rounds=2, pool=20, judged=2, steps=1)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[Example]:
    monkeypatch.setattr(active, "JUDGED", {"test": (("narrow",), ("plain",))})
    found = examples(tuple(FAMILIES), 12)
    monkeypatch.setattr(active, "examples", found)
    return found


def hashes(networks: tuple[Example, ...]) -> set[str]:
    return {network.graph.structural_hash() for network in networks}


def test_settings_are_chosen_on_other_families_than_those_reported() -> None:
    (reported, _), (chosen_on, left_out) = JUDGED["nnlqp"], JUDGED["development"]
    assert set(reported) == set(left_out) == set(NNLQP_FAMILIES)
    assert len(chosen_on) == 7
    assert not set(chosen_on) & {*reported, *CORPUS_FAMILIES}


def test_no_graph_is_picked_from_and_judged_on(networks: list[Example]) -> None:
    split = split_networks(networks, SETUP, 0)
    assert {example.family for example in split.unseen} == {"narrow"}
    assert len(split.unseen) == 2
    assert not {example.family for example in (*split.pool, *split.seen)} & {"narrow", "plain"}
    assert not hashes(split.pool) & hashes((*split.unseen, *split.seen))
    assert (len(split.seen), len(split.pool)) == (20, 16)
    names = [example.name for example in split.pool]
    assert names == [example.name for example in split_networks(networks, SETUP, 0).pool]
    assert names != [example.name for example in split_networks(networks, SETUP, 1).pool]


def test_a_pool_that_is_too_small_is_refused(networks: list[Example]) -> None:
    with pytest.raises(TrainingError, match="16 networks to pick from, expected 18"):
        split_networks(networks, replace(SETUP, rounds=4), 0)


def test_strategies_pick_as_they_say(networks: list[Example]) -> None:
    ensemble = untrained_narformer().ensemble
    shares = [member_doubt(ensemble, network).share for network in networks]
    corpus = replace(networks[0], family=CORPUS_FAMILIES[0])
    assert pick("random", ensemble, [corpus, *networks], 4) == [0, 1, 2, 3]
    assert pick("networks", ensemble, [corpus, *networks], 4) == [1, 2, 3, 4]
    assert pick("doubt", ensemble, networks, 4) == np.argsort([-share for share in shares], kind="stable")[:4].tolist()
    diverse = pick("active", ensemble, networks, 4)
    assert len(set(diverse)) == 4
    assert diverse != pick("doubt", ensemble, networks, 4)


def test_a_round_trains_on_what_was_picked_so_far(networks: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    trained_on: list[list[str]] = []

    def train(measured: list[Example], *others: object) -> object:
        trained_on.append([example.name for example in measured])
        return untrained_narformer().ensemble

    monkeypatch.setattr(active, "train_ensemble", train)
    strategies = list(STRATEGIES)
    start = active._train_once("start", 0, 0, [], strategies, SETUP)
    assert (start["networks"], set(start["picks"])) == (6, set(STRATEGIES))
    done = {("start", 0, 0): start}
    for step in (1, 2):
        added = active._added(done, ("active", 0, step))
        row = done["active", 0, step] = active._train_once("active", 0, step, added, strategies, SETUP)
        assert len(added) == 3 * step
        assert set(trained_on[-1]) == {*trained_on[0], *added}
        assert row["networks"] == len(trained_on[-1]) == 6 + 3 * step
        assert sum(row["added"].values()) == 3
        assert not set(row["picks"].get("active", [])) & set(trained_on[-1])
    assert done["active", 0, 2]["picks"] == {}


def row(strategy: str, seed: int, step: int, unseen: float, seen: float) -> dict[str, Any]:
    sizes = {"networks": 6 + 3 * step, "kernels": 100}
    return {"strategy": strategy, "seed": seed, "round": step, **sizes, "unseen": unseen, "seen": seen}


def test_gain_is_over_random_with_the_same_seed() -> None:
    rows = [row("start", seed, 0, 20.0 + seed, 10.0) for seed in (0, 1)]
    rows += [row("random", 0, 1, 16.0, 8.0), row("random", 1, 1, 18.0, 8.0)]
    rows += [row("active", 0, 1, 15.0, 8.5), row("active", 1, 1, 15.0, 8.5)]
    start, after = summarise(rows, ["random", "active"])
    assert start["networks"] == 6
    assert start["strategies"]["random"] == start["strategies"]["active"]
    assert start["strategies"]["active"]["unseen"] == {"mean": 20.5, "std": 0.71}
    assert after["networks"] == 9
    assert after["strategies"]["random"] == {
        "kernels": 100, "unseen": {"mean": 17.0, "std": 1.41}, "seen": {"mean": 8.0, "std": 0.0},
    }  # fmt: skip
    assert after["strategies"]["active"]["unseen_gain"] == {"mean": 2.0, "std": 1.41}
    assert after["strategies"]["active"]["seen_gain"] == {"mean": -0.5, "std": 0.0}
