"""Trunk: what tokens are told of a profile, what is learned from it, and that folding it away changes nothing."""

import dataclasses
import math

import numpy as np
import pytest

from tests.training.analytic import PROFILE, examples
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.kernel_ensemble import TREE_COLUMNS
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.tokens import default
from tvm_narcost.training.ensemble import ensemble_us
from tvm_narcost.training.evaluate import network_ms
from tvm_narcost.training.loop import DEFAULT_CONFIG, TrainingSettings
from tvm_narcost.training.trunk import PROFILE_COLUMNS, Trunk, profile_columns, train_trunk

OPENVINO = dataclasses.replace(
    PROFILE, id="box.openvino", runtime=dataclasses.replace(PROFILE.runtime, name="openvino", threads=2)
)
SETTINGS = dataclasses.replace(TrainingSettings(), epochs=2, batch=8)


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    """The same networks take three times as long on the other profile; only the columns tell which it is."""
    known = examples(("plain", "separable"), 12)
    slower = [dataclasses.replace(found, kernels_us=3 * found.kernels_us) for found in known]
    return train_trunk({PROFILE: known, OPENVINO: slower}, SETTINGS, (0,))


def test_columns_tell_profiles_apart() -> None:
    plain, other = profile_columns(PROFILE), profile_columns(OPENVINO)
    differ = {name for name, one, two in zip(PROFILE_COLUMNS, plain, other, strict=True) if one != two}
    assert differ == {"threads", "peak_gflops", "onnxruntime", "openvino"}
    assert other[PROFILE_COLUMNS.index("peak_gflops")] == pytest.approx(math.log2(201))


def test_unknown_runtime_is_refused() -> None:
    runtime = dataclasses.replace(PROFILE.runtime, name="toaster")
    with pytest.raises(TrainingError, match="runtime 'toaster' of box.onnxruntime, expected one of"):
        profile_columns(dataclasses.replace(PROFILE, runtime=runtime))


def test_a_trunk_learns_what_sets_profiles_apart(trunk: Trunk) -> None:
    """The trees get that from one pass over the data and are half of the ensemble."""
    test = examples(("plain",), 16)[12:]
    found = [np.array(network_ms(ensemble_us(trunk.of(profile), test))) for profile in (PROFILE, OPENVINO)]
    assert 1.4 < np.median(found[1] / found[0]) < 3.3


@pytest.mark.parametrize("profile", [PROFILE, OPENVINO])
def test_what_is_known_of_a_profile_is_folded_away(trunk: Trunk, profile: object) -> None:
    """Over plain tokens the members say what the trunk's own say over tokens with the profile's columns."""
    assert isinstance(profile, type(PROFILE))
    tokens = examples(("mixed",), 1)[0].tokens
    told = np.tile(profile_columns(profile), (len(tokens), 1))
    wide = np.concatenate([tokens[:, :TREE_COLUMNS], told, tokens[:, TREE_COLUMNS:]], axis=1)
    ensemble = trunk.of(profile)
    assert ensemble.trees is not None
    assert trunk.trees is not None
    assert ensemble.trees.columns == TREE_COLUMNS
    assert np.array_equal(
        ensemble.trees.predict(tokens[:, :TREE_COLUMNS]), trunk.trees.predict(wide[:, : -default.TOPOLOGY_WIDTH])
    )
    once = np.ones((1, len(tokens)), np.float32)
    narrow = ensemble.networks[0].predict(tokens[None], once)
    by_trunk = trunk.networks[0].predict(wide[None], once)
    assert ensemble.networks[0].config == DEFAULT_CONFIG
    assert np.allclose(narrow, by_trunk, atol=1e-5)
    assert len(ensemble.trees.column) < len(trunk.trees.column)


def test_a_network_that_adds_topology_to_columns_cannot_be_folded() -> None:
    network = NarFormer(dataclasses.replace(DEFAULT_CONFIG, topology="add")).trained()
    with pytest.raises(ValueError, match="topology 'add', expected tokens that are embedded column by column"):
        network.with_known_columns(3, np.zeros(2, np.float32))
