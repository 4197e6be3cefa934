"""Estimates: the ensemble's own prediction, with distance and signs beside it."""

import dataclasses

import numpy as np
import pytest

from tests.training.analytic import examples
from tvm_narcost.models.estimate import FAR_SHARE, Estimate, estimate_networks
from tvm_narcost.models.interval import ErrorSigns
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.training.ensemble import ensemble_us, fit_context_trees


@pytest.fixture(scope="module", params=["networks", "networks and trees"])
def ensemble(request: pytest.FixtureRequest, narformer: NarFormerLatency) -> KernelEnsemble:
    if request.param == "networks":
        return narformer.ensemble
    return dataclasses.replace(narformer.ensemble, trees=fit_context_trees(examples(("plain",), 5), 0))


def test_times_are_the_ensembles(ensemble: KernelEnsemble, narformer: NarFormerLatency) -> None:
    networks = examples(("plain", "mixed"), 2)
    estimates = estimate_networks(ensemble, narformer.training_kernels, networks)
    for expected, estimate in zip(ensemble_us(ensemble, networks), estimates, strict=True):
        np.testing.assert_allclose(estimate.kernels_us, expected, rtol=1e-4)


def test_disagreement_is_of_all_members(ensemble: KernelEnsemble, narformer: NarFormerLatency) -> None:
    (network,) = examples(("plain",), 1)
    (estimate,) = estimate_networks(ensemble, narformer.training_kernels, [network])
    apart = ensemble.member_logs([network.tokens])[0].std(axis=0)
    share = estimate.kernels_us / estimate.kernels_us.sum()
    assert np.exp(estimate.signs.disagreement) == pytest.approx(float(share @ apart) + 0.01, rel=1e-4)


def test_signs_tell_of_kernels_that_are_far(narformer: NarFormerLatency) -> None:
    (network,) = examples(("mixed",), 1)  # has Add, which the artifact does not know
    (estimate,) = estimate_networks(narformer.ensemble, narformer.training_kernels, [network])
    adds = np.array(network.operators) == "Add"
    assert np.array_equal(np.isinf(estimate.distance), adds)
    assert 1.001 * estimate.signs.far_share > float(estimate.kernels_us[adds].sum() / estimate.kernels_us.sum()) > 0
    assert estimate.out_of_distribution


def test_networks_of_one_call_are_compared_with_training_each_for_itself(narformer: NarFormerLatency) -> None:
    networks = examples(("mixed", "plain", "mixed"), 2)
    known = narformer.training_kernels
    together = estimate_networks(narformer.ensemble, known, networks)
    assert len({len(network.tokens) for network in networks}) > 1
    for network, estimate in zip(networks, together, strict=True):
        alone = known.distance(network.operators, network.tokens)
        # A distance near none is what float32 leaves of a difference of squares; far is above 1.
        np.testing.assert_allclose(estimate.distance, alone, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("distance", "far_share", "expected"),
    [
        ((0.5, 0.9), 0.0, False),
        ((0.5, 1.1), FAR_SHARE, False),
        ((0.5, 1.1), FAR_SHARE + 0.01, True),
        ((0.5, np.inf), 0.001, True),
    ],
)
def test_what_flags_a_network(distance: tuple[float, ...], far_share: float, expected: bool) -> None:
    estimate = Estimate(np.ones(2), np.array(distance), ErrorSigns(0.0, 0.0, 0.0, far_share))
    assert estimate.out_of_distribution is expected
    assert estimate.far.tolist() == [value > 1 for value in distance]


def test_nothing_to_estimate(narformer: NarFormerLatency) -> None:
    assert estimate_networks(narformer.ensemble, narformer.training_kernels, []) == []
