"""KernelEnsemble: what each member says, and how they are weighed."""

import dataclasses

import numpy as np
import pytest

from tests.models.untrained import untrained_narformer
from tests.training.analytic import examples
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.tokens import default
from tvm_narcost.training.ensemble import ensemble_us, fit_context_trees


@pytest.fixture(scope="module")
def ensemble() -> KernelEnsemble:
    return KernelEnsemble(
        untrained_narformer().ensemble.networks, fit_context_trees(examples(("plain", "separable"), 10), 0)
    )


def test_the_mean_over_members_counts(ensemble: KernelEnsemble) -> None:
    tokens = examples(("plain",), 1)[0].tokens
    members = ensemble.member_logs([tokens])[0]
    assert members.shape == (ensemble.members, len(tokens)) == (3, len(tokens))
    assert np.allclose(ensemble.log_efficiency([tokens])[0], members.sum(axis=0) / 3)
    alone = dataclasses.replace(ensemble, trees=None)
    assert np.allclose(alone.log_efficiency([tokens])[0], members[:2].mean(axis=0))


def test_a_batch_gives_each_plan_its_own_kernels(ensemble: KernelEnsemble) -> None:
    several = [example.tokens for example in examples(("plain", "separable"), 2)]
    together = ensemble.log_efficiency([*several, np.zeros((0, default.WIDTH), np.float32)])
    assert [len(logs) for logs in together] == [*map(len, several), 0]
    for tokens, logs in zip(several, together, strict=False):
        assert np.allclose(ensemble.log_efficiency([tokens])[0], logs, atol=1e-5)


def test_trees_do_not_see_position_codes(ensemble: KernelEnsemble) -> None:
    tokens = examples(("plain",), 1)[0].tokens
    moved = tokens.copy()
    moved[:, -default.TOPOLOGY_WIDTH :] += 0.5
    assert np.array_equal(ensemble.member_logs([tokens])[0][-1], ensemble.member_logs([moved])[0][-1])


def test_trees_learn_the_kernels_that_they_were_fitted_on() -> None:
    known = examples(("plain", "separable"), 20)
    trees = fit_context_trees(known, 0)
    errors = [
        np.abs(trees.predict(example.tokens[:, : trees.columns]) - example.log_efficiency).mean() for example in known
    ]
    assert np.mean(errors) < 0.1


def test_predicted_times_are_multiples_of_the_yardstick(ensemble: KernelEnsemble) -> None:
    example = examples(("plain",), 1)[0]
    expected = example.yardstick_us * np.exp(ensemble.log_efficiency([example.tokens])[0])
    assert np.allclose(ensemble_us(ensemble, [example])[0], expected)
