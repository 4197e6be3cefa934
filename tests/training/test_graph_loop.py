"""Training of the graph networks, on times that follow a formula."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.training.analytic import examples
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.graph_network import GraphLatency, GraphNetwork
from tvm_narcost.models.narformer_v2 import NarFormerV2, NarFormerV2Config
from tvm_narcost.models.nn_former import NnFormer, NnFormerConfig
from tvm_narcost.models.nnlp import Nnlp, NnlpConfig
from tvm_narcost.tokens.graph_features import GraphFeatures, encode_features
from tvm_narcost.training import graph_loop
from tvm_narcost.training.graph_loop import GraphSettings, train_graph_network

BUILDERS: dict[str, Callable[[], GraphNetwork]] = {
    "nnlp": lambda: Nnlp(NnlpConfig(width=32, dropout=0.0)),
    "narformer_v2": lambda: NarFormerV2(NarFormerV2Config(width=32, dropout=0.0)),
    "nn_former": lambda: NnFormer(NnFormerConfig(width=32, dropout=0.0)),
}
SETTINGS = GraphSettings(epochs=80, batch=5, learning_rate=1e-2)
BRIEF = dataclasses.replace(SETTINGS, epochs=2)


def encoded(count: int) -> list[tuple[GraphFeatures, float]]:
    return [
        (encode_features(example.graph), example.latency_us / 1e3)
        for example in examples(["plain", "separable"], count)
    ]


def error(model: GraphLatency, networks: list[tuple[GraphFeatures, float]]) -> float:
    predicted = np.array(model.latencies_ms([features for features, _ in networks]))
    measured = np.array([latency_ms for _, latency_ms in networks])
    return float(np.mean(np.abs(predicted - measured) / measured) * 100)


@pytest.mark.parametrize("name", BUILDERS)
def test_twenty_networks_are_learned_by_heart(name: str) -> None:
    networks, told = encoded(10), list[float]()
    model = train_graph_network(
        BUILDERS[name], networks, networks, SETTINGS, 0, progress=lambda epoch, mape: told.append(mape)
    )
    assert not model.network.training
    assert len(told) == SETTINGS.epochs
    assert told[0] > 30
    assert error(model, networks) < 8
    assert error(model, networks) == pytest.approx(min(told), rel=1e-4)


def test_epoch_that_is_best_on_validation_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    networks, kept = encoded(3), list[torch.Tensor]()
    judged = iter([9.0, 4.0, 5.0, 6.0])

    def note(model: GraphLatency, validation: object) -> float:
        assert validation is networks
        kept.append(model.network.head.out.weight.detach().clone())
        return next(judged)

    monkeypatch.setattr(graph_loop, "_mape", note)
    model = train_graph_network(BUILDERS["nnlp"], networks, networks, dataclasses.replace(SETTINGS, epochs=4), 0)
    assert torch.equal(model.network.head.out.weight, kept[1])
    assert not torch.equal(kept[1], kept[3])


@pytest.mark.parametrize("name", BUILDERS)
def test_the_seed_decides_the_weights(name: str) -> None:
    networks = encoded(3)
    first, again, other = (
        train_graph_network(BUILDERS[name], networks, networks, BRIEF, seed).network.state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["head.out.weight"], other["head.out.weight"])


def test_the_rate_rises_then_falls_to_nothing() -> None:
    networks, rates = encoded(5), list[float]()

    class Watched(torch.optim.Adam):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            rates.append(self.param_groups[0]["lr"])
            super().step()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "Adam", Watched)
        settings = GraphSettings(epochs=10, batch=5, learning_rate=1.0, warm_up=0.2)
        train_graph_network(BUILDERS["nnlp"], networks, networks, settings, 0)
    assert len(rates) == 20
    assert max(rates) == pytest.approx(rates[4]) == pytest.approx(1.0)
    assert rates[:5] == sorted(rates[:5])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.1


@pytest.mark.parametrize(("train", "validation"), [(0, 2), (2, 0)])
def test_no_networks(train: int, validation: int) -> None:
    networks = encoded(1)
    with pytest.raises(TrainingError, match=f"got {train} networks and {validation} to validate"):
        train_graph_network(BUILDERS["nnlp"], networks[:train], networks[:validation], SETTINGS, 0)
