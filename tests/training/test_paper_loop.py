"""Training of the paper's NAR-Former, on times that follow a formula."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.training.analytic import examples
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.narformer_paper import PAPER_NARROW_CONFIG, NarFormerPaper
from tvm_narcost.tokens.paper import PaperTokens, encode_graph
from tvm_narcost.training.paper_loop import PaperSettings, train_paper_network

TINY = dataclasses.replace(PAPER_NARROW_CONFIG, model_width=32, heads=2, encoder_blocks=1, fusion_queries=(2, 1))
# A budget that never runs out, since the rate of learning follows the time that is spent.
SETTINGS = PaperSettings(epochs=12, budget_s=1e6, batch=8, learning_rate=2e-3, averaging=0.8)


def encoded(count: int) -> list[tuple[PaperTokens, float]]:
    return [
        (encode_graph(example.graph), example.latency_us / 1e3) for example in examples(["plain", "separable"], count)
    ]


def error(model: NarFormerPaper, networks: list[tuple[PaperTokens, float]]) -> float:
    return float(np.mean([abs(model.latency_ms(tokens) - latency) / latency for tokens, latency in networks]))


def test_training_comes_nearer_to_what_was_measured() -> None:
    networks = encoded(12)
    brief = train_paper_network(networks, networks, dataclasses.replace(SETTINGS, epochs=1), 0, config=TINY)
    model = train_paper_network(networks, networks, SETTINGS, 0, config=TINY)
    assert not model.network.training
    assert error(model, networks) < 0.7 * error(brief, networks)


def test_epoch_that_is_best_on_validation_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from tvm_narcost.training import paper_loop

    networks, seen = encoded(4), []
    judged = paper_loop._mape

    def note(network: object, validation: object) -> float:
        seen.append(judged(network, validation))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(paper_loop, "_mape", note)
    settings = dataclasses.replace(SETTINGS, epochs=6, learning_rate=2e-2, averaging=0.0)
    model = train_paper_network(networks[:5], networks[5:], settings, 1, config=TINY)
    assert len(seen) == 6
    assert error(model, networks[5:]) == pytest.approx(min(seen), rel=1e-5)


def test_the_seed_decides_the_weights() -> None:
    networks, brief = encoded(3), dataclasses.replace(SETTINGS, epochs=2)
    first, again, other = (
        train_paper_network(networks, networks, brief, seed, config=TINY).network.state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embed.weight"], other["embed.weight"])


def test_training_ends_when_its_budget_is_spent() -> None:
    networks = encoded(2)
    train_paper_network(networks, networks, PaperSettings(epochs=10**9, budget_s=0.2), 0, config=TINY)


@pytest.mark.parametrize(("train", "validation"), [(0, 2), (2, 0)])
def test_no_networks(train: int, validation: int) -> None:
    networks = encoded(1)
    with pytest.raises(TrainingError, match=f"got {train} networks and {validation} to validate"):
        train_paper_network(networks[:train], networks[:validation], SETTINGS, 0, config=TINY)
