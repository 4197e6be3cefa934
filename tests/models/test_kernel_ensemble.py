"""KernelEnsemble: what each member says, and how they are weighed."""

import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch

from tests.models.untrained import untrained_narformer
from tests.training.analytic import examples
from tvm_narcost.models.kernel_ensemble import CORRECTION_COLUMNS, KernelEnsemble, correction_rows
from tvm_narcost.models.kernel_sum import fit_trees
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.models.narformer_config import NarFormerConfig
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


@pytest.mark.parametrize("topology", ["none", "concat"])
@pytest.mark.parametrize("pooling", ["mean", "fusion", "none"])
def test_equal_kernels_count_as_often_as_they_stand(
    topology: Literal["none", "concat"], pooling: Literal["mean", "fusion", "none"]
) -> None:
    """What is computed once gives each kernel what the network gives it among all, next to longer networks too."""
    known = [example.tokens for example in examples(("plain", "separable"), 3)]
    repeated = np.concatenate([known[0], known[0][:4], known[1], known[0][2:3]])
    torch.manual_seed(0)
    config = NarFormerConfig(
        output="kernels", token_width=default.WIDTH, model_width=16, heads=2, encoder_blocks=2,
        topology_width=default.TOPOLOGY_WIDTH, topology=topology, pooling=pooling,
    )  # fmt: skip
    network = NarFormer(config).eval()
    network.standardise(torch.from_numpy(np.concatenate(known)))
    with torch.inference_mode():
        alone = network(torch.from_numpy(repeated)[None], torch.ones((1, len(repeated)), dtype=torch.bool))[0].numpy()
    found = KernelEnsemble((network.trained(),), None).member_logs([known[2], repeated, known[3]])[1][0]
    assert np.allclose(found, alone, atol=1e-5)
    assert np.ptp(alone) > 0.01


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


def test_correction_moves_every_member_alike(ensemble: KernelEnsemble) -> None:
    """It goes by what the members make of a kernel, here by its predicted time alone."""
    several = [example.tokens for example in examples(("plain", "separable"), 3)]
    before = ensemble.member_logs(several)
    rows = np.concatenate(
        [correction_rows(tokens, logs.mean(axis=0)) for tokens, logs in zip(several, before, strict=True)]
    )
    slow = rows[:, -1] > np.median(rows[:, -1])
    assert rows.shape[1] == CORRECTION_COLUMNS
    corrected = dataclasses.replace(
        ensemble, correction=fit_trees(rows, np.where(slow, 1.0, -1.0), np.ones(len(rows)), 0)
    )
    after = corrected.member_logs(several)
    moved = np.concatenate([own - other for own, other in zip(after, before, strict=True)], axis=1)
    assert np.allclose(moved, moved[0])
    assert np.allclose(moved[0], np.where(slow, 1.0, -1.0), atol=0.1)
    assert np.allclose(corrected.log_efficiency(several[:1])[0], before[0].mean(axis=0) + moved[0, : len(several[0])])


def test_correction_sees_the_predicted_time() -> None:
    example = examples(("plain",), 1)[0]
    logs = np.full(len(example.tokens), np.log(4.0))
    rows = correction_rows(example.tokens, logs)
    assert np.allclose(rows[:, -2], 2.0)
    assert np.allclose(rows[:, -1], np.log2(4.0 * example.yardstick_us), atol=1e-3)
