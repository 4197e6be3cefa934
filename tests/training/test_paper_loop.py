"""Training of the paper's NAR-Former, on times that follow a formula."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from relay_frontend.graph import OpGraph
from tests.training.analytic import examples
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.models.narformer_paper import PAPER_NARROW_CONFIG, NarFormerPaper
from tvm_narcost.tokens.paper import encode_graph
from tvm_narcost.training import paper_loop
from tvm_narcost.training.paper_loop import PaperSettings, train_paper_network

TINY = dataclasses.replace(PAPER_NARROW_CONFIG, model_width=32, heads=2, encoder_blocks=1, fusion_queries=(2, 1))
SETTINGS = PaperSettings(looks=8, steps=5, batch=8, averaging=0.8)


def measured(count: int) -> list[tuple[OpGraph, float]]:
    return [(example.graph, example.latency_us / 1e3) for example in examples(["plain", "separable"], count)]


def error(model: NarFormerPaper, networks: list[tuple[OpGraph, float]]) -> float:
    predicted = np.array([model.latency_ms(encode_graph(graph)) for graph, _ in networks])
    return float(np.mean(np.abs(np.log(predicted / np.array([latency_ms for _, latency_ms in networks])))))


def test_training_comes_nearer_to_what_was_measured() -> None:
    networks = measured(12)
    brief = train_paper_network(networks, networks, dataclasses.replace(SETTINGS, looks=1, steps=1), 0, config=TINY)
    model = train_paper_network(networks, networks, SETTINGS, 0, config=TINY)
    assert not model.network.training
    assert error(model, networks) < 0.6 * error(brief, networks)


@pytest.mark.parametrize("log_target", [True, False])
def test_training_starts_at_the_mean(log_target: bool) -> None:
    networks = measured(4)
    still = dataclasses.replace(SETTINGS, looks=1, steps=1, learning_rate=0.0, log_target=log_target)
    model = train_paper_network(networks, networks, still, 0, config=TINY)
    latencies = np.array([latency_ms for _, latency_ms in networks])
    mean = np.exp(np.log(latencies).mean()) if log_target else latencies.mean()
    # What the untrained network adds is of the size of its last layer's weights.
    predicted = np.mean([model.latency_ms(encode_graph(graph)) for graph, _ in networks])
    assert predicted == pytest.approx(mean, rel=0.5 if log_target else 5)


def test_look_that_is_best_on_validation_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    networks, judged = measured(4), list[NarFormerPaper]()
    errors = iter([9.0, 4.0, 5.0])

    def note(model: NarFormerPaper, validation: object) -> float:
        assert validation is networks
        judged.append(copy.deepcopy(model))
        return next(errors)

    monkeypatch.setattr(paper_loop, "_error", note)
    settings = dataclasses.replace(SETTINGS, looks=3, averaging=0.0)
    kept = train_paper_network(networks, networks, settings, 1, config=TINY).network.state_dict()
    first, second, third = (model.network.state_dict() for model in judged)
    assert all(torch.equal(kept[name], second[name]) for name in kept)
    assert not torch.equal(first["embed.weight"], second["embed.weight"])
    assert not torch.equal(second["embed.weight"], third["embed.weight"])


def test_predictions_too_low_are_as_wrong_as_too_high(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = [(graph, 8.0) for graph, _ in measured(1)]

    def predicting(latency_ms: float, log_target: bool) -> float:
        monkeypatch.setattr(NarFormerPaper, "latency_ms", lambda self, tokens: latency_ms)
        return paper_loop._error(NarFormerPaper(NarFormer(TINY), log_target), networks)

    assert predicting(2.0, True) == pytest.approx(predicting(32.0, True)) == pytest.approx(np.log(4))
    assert (predicting(2.0, False), predicting(32.0, False)) == (0.75, 3.0)


def test_all_batches_are_drawn_before_any_is_drawn_again() -> None:
    networks = measured(9)
    batches = paper_loop._Batches(networks, dataclasses.replace(SETTINGS, batch=4), 0)
    for _ in range(2):
        drawn = [pair for _ in range(5) for pair in batches.draw()]
        assert sorted(map(id, drawn)) == sorted(map(id, networks))


def test_the_seed_decides_the_weights() -> None:
    networks, brief = measured(3), dataclasses.replace(SETTINGS, looks=2, steps=2)
    first, again, other = (
        train_paper_network(networks, networks, brief, seed, config=TINY).network.state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embed.weight"], other["embed.weight"])


@pytest.mark.parametrize(("train", "validation"), [(0, 2), (2, 0)])
def test_no_networks(train: int, validation: int) -> None:
    networks = measured(1)
    with pytest.raises(TrainingError, match=f"got {train} networks and {validation} to validate"):
        train_paper_network(networks[:train], networks[:validation], SETTINGS, 0, config=TINY)
