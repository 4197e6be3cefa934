"""Training of the default NAR-Former, on times that follow a formula."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.training.analytic import PROFILE, examples
from tests.training.conftest import Trained
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.flops import fit_flops
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.training.ensemble import ensemble_us
from tvm_narcost.training.evaluate import measured_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.loop import (
    DEFAULT_CONFIG,
    PLAN_SETTINGS,
    TrainingSettings,
    _epoch,
    _networks,
    have_several_plans,
    settings_for,
    train_network,
)
from tvm_narcost.training.metrics import compute_metrics

TINY = dataclasses.replace(DEFAULT_CONFIG, model_width=16, heads=2, encoder_blocks=1)
BRIEF = dataclasses.replace(TrainingSettings(), epochs=2, batch=4)


def predict_us(networks: Sequence[NarFormer], measured: Sequence[Example]) -> list[NDArray[np.float64]]:
    return ensemble_us(KernelEnsemble(tuple(network.trained() for network in networks), None), measured)


def weights(seed: int, crop: int = 96) -> dict[str, torch.Tensor]:
    network = train_network(examples(["plain"], 6), dataclasses.replace(BRIEF, crop=crop), seed, config=TINY)
    state: dict[str, torch.Tensor] = network.state_dict()
    return state


def test_training_reduces_the_loss(trained: Trained) -> None:
    assert len(trained.losses) == 25
    assert trained.losses[-1] < 0.1 * trained.losses[0]
    assert not trained.network.training


def test_unseen_family_is_predicted_better_than_by_flops(trained: Trained) -> None:
    predicted = [float(kernels_us.sum()) / 1e3 for kernels_us in predict_us([trained.network], trained.unseen)]
    learned = compute_metrics(predicted, measured_ms(trained.unseen))
    fitted = fit_flops([example.graph for example in trained.seen], measured_ms(trained.seen))
    by_flops = fitted.predict([e.graph for e in trained.unseen], [e.plan for e in trained.unseen], PROFILE)
    baseline = compute_metrics([prediction.latency_ms for prediction in by_flops], measured_ms(trained.unseen))
    assert learned.mape < 10.0
    assert learned.mape < 0.5 * baseline.mape


def test_each_kernel_gets_its_own_time(trained: Trained) -> None:
    """Not only the sum is right: two kernels of the same size and different kind are told apart."""
    for example, predicted_us in zip(trained.unseen, predict_us([trained.network], trained.unseen), strict=True):
        assert predicted_us.shape == example.kernels_us.shape
        np.testing.assert_allclose(predicted_us, example.kernels_us, rtol=0.5)


def test_several_networks_give_their_mean_logarithm(trained: Trained) -> None:
    other = train_network(trained.seen[:8], BRIEF, 1, config=TINY)
    both = predict_us([trained.network, other], trained.unseen)
    one, two = predict_us([trained.network], trained.unseen), predict_us([other], trained.unseen)
    for mean_us, first_us, second_us in zip(both, one, two, strict=True):
        np.testing.assert_allclose(mean_us, np.sqrt(first_us * second_us), rtol=1e-4)


def test_the_seed_decides_the_weights() -> None:
    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_part_of_a_network_is_an_example_too() -> None:
    """Crops shorter than the networks: other batches, other weights, none of them broken."""
    cropped = weights(3, crop=4)
    assert all(bool(torch.isfinite(value).all()) for value in cropped.values())
    assert not torch.equal(cropped["embed.weight"], weights(3)["embed.weight"])


def under_plans(count: int) -> list[Example]:
    """Each network under several plans, as far as training looks: the same graph, each time slower."""
    return [
        dataclasses.replace(
            example, kernels_us=example.kernels_us * (1 + plan), latency_us=example.latency_us * (1 + plan)
        )
        for example in examples(["plain"], 6)
        for plan in range(count)
    ]


def test_several_plans_a_network_have_settings_of_their_own() -> None:
    assert settings_for(under_plans(1)) == TrainingSettings()
    assert settings_for(under_plans(3)) == PLAN_SETTINGS
    assert PLAN_SETTINGS.difference_weight > 0


def test_plans_on_two_profiles_are_of_two_networks() -> None:
    measured = under_plans(2)
    elsewhere = [dataclasses.replace(example, profile_id="other.tvm") for example in measured]
    assert _networks([*measured[:2], *elsewhere[:2]]).tolist() == [0, 0, 1, 1]
    assert not have_several_plans([*under_plans(1), *(dataclasses.replace(e, profile_id="b") for e in under_plans(1))])


def test_plans_of_one_network_go_into_one_step() -> None:
    measured = under_plans(6)
    settings = dataclasses.replace(PLAN_SETTINGS, batch=6, plans_together=3)
    network_of = _networks(measured)
    assert network_of.tolist() == [place // 6 for place in range(36)]
    batches = list(_epoch(measured, network_of, settings, np.random.default_rng(0)))
    assert sum(len(batch.networks) for batch in batches) == 36
    for batch in batches:
        assert sorted(np.bincount(batch.networks.numpy()))[-1] % 3 == 0
        assert int((batch.networks >= 0).sum()) == 6
    cropped = next(iter(_epoch(measured, network_of, dataclasses.replace(settings, crop=2), np.random.default_rng(0))))
    assert set(cropped.networks.tolist()) == {-1}


def test_no_examples() -> None:
    with pytest.raises(TrainingError, match="got no networks"):
        train_network([], BRIEF, 0)
