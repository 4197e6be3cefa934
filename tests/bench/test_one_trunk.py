"""bench.one_trunk: what a trunk is told of a profile, and the figures."""

import dataclasses
import math

import numpy as np
import pytest

from bench import one_trunk
from bench.one_trunk import PROFILE_COLUMNS, profile_columns, summarise, with_profile
from tests.training.analytic import PROFILE, examples
from tvm_narcost.models.kernel_ensemble import TREE_COLUMNS
from tvm_narcost.tokens import default
from tvm_narcost.training.loop import TrainingSettings

OPENVINO = dataclasses.replace(
    PROFILE, id="box.openvino", runtime=dataclasses.replace(PROFILE.runtime, name="openvino", threads=2)
)


def test_columns_tell_profiles_apart() -> None:
    plain, other = profile_columns(PROFILE), profile_columns(OPENVINO)
    differ = {name for name, one, two in zip(PROFILE_COLUMNS, plain, other, strict=True) if one != two}
    assert differ == {"threads", "peak_gflops", "onnxruntime", "openvino"}
    assert other[PROFILE_COLUMNS.index("peak_gflops")] == pytest.approx(math.log2(201))


def test_unknown_runtime_is_refused() -> None:
    runtime = dataclasses.replace(PROFILE.runtime, name="toaster")
    with pytest.raises(ValueError, match="runtime 'toaster'"):
        profile_columns(dataclasses.replace(PROFILE, runtime=runtime))


def test_tokens_get_the_columns_before_their_position_codes() -> None:
    example = examples(("plain",), 1)[0]
    told = with_profile(example, OPENVINO)
    assert told.tokens.shape == (len(example.tokens), default.WIDTH + len(PROFILE_COLUMNS))
    assert np.array_equal(told.tokens[:, :TREE_COLUMNS], example.tokens[:, :TREE_COLUMNS])
    assert np.array_equal(told.tokens[:, -default.TOPOLOGY_WIDTH :], example.tokens[:, TREE_COLUMNS:])
    assert np.array_equal(told.tokens[-1, TREE_COLUMNS : -default.TOPOLOGY_WIDTH], profile_columns(OPENVINO))


def test_a_trunk_learns_what_sets_profiles_apart() -> None:
    """The same networks take three times as long on the other profile; only the columns tell which it is.

    The trees get that from one pass over the data and are half of the ensemble.
    """
    known, test = examples(("plain", "separable"), 12), examples(("plain",), 16)[12:]
    slower = [dataclasses.replace(found, kernels_us=3 * found.kernels_us) for found in known]
    settings = dataclasses.replace(TrainingSettings(), epochs=2, batch=8)
    found = one_trunk._one_trunk({PROFILE: (test, known), OPENVINO: (test, slower)}, settings, 0)
    ratio = np.array(found["box.openvino"]) / np.array(found["box.onnxruntime"])
    assert 1.4 < np.median(ratio) < 3.3


def test_figures_by_profile() -> None:
    rows = [
        {"variant": "one trunk", "mape": {"p": {"a": 4.0, "b": 6.0}, "q": {"a": 8.0, "b": 8.0}}},
        {"variant": "one trunk", "mape": {"p": {"a": 5.0, "b": 7.0}, "q": {"a": 8.0, "b": 8.0}}},
        {"variant": "one a profile", "mape": {"p": {"a": 3.0, "b": 3.0}}},
    ]
    assert summarise(rows) == {
        "p": {
            "one a profile": {"mape_mean": 3.0, "mape_std": 0.0, "seeds": 1},
            "one trunk": {"mape_mean": 5.5, "mape_std": 0.71, "seeds": 2},
        },
        "q": {"one trunk": {"mape_mean": 8.0, "mape_std": 0.0, "seeds": 2}},
    }
