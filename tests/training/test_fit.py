"""fit_models: members, what they err by on families held out, and the facts."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.analytic import PROFILE, examples
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.flops import FlopsModel
from tvm_narcost.models.kernel_sum import KERNEL_SUM_FILE, KernelSum
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.predictor import LatencyModel
from tvm_narcost.tokens import default
from tvm_narcost.training import fit
from tvm_narcost.training.fit import FittedModels, dataset_digest, family_folds, fit_models
from tvm_narcost.training.loop import TrainingSettings

BRIEF = dataclasses.replace(TrainingSettings(), epochs=2, batch=8)
FAMILIES = ("plain", "bottleneck", "separable")


@pytest.fixture(scope="module")
def steps() -> list[str]:
    return []


@pytest.fixture(scope="module")
def fitted(steps: list[str]) -> FittedModels:
    return fit_models(
        examples(FAMILIES, 7), PROFILE.id, seeds=(0, 1), settings=BRIEF, folds=2, command="narcost train",
        progress=steps.append,
    )  # fmt: skip


def test_facts_say_what_was_trained_on_what(fitted: FittedModels) -> None:
    facts, measured = fitted.narformer.facts, examples(FAMILIES, 7)
    assert (facts.kind, facts.schema, facts.schema_version) == ("narformer", default.NAME, default.VERSION)
    assert (facts.profile, facts.command) == ("box.onnxruntime", "narcost train")
    assert facts.config["members"] == len(fitted.narformer.networks) == 2
    assert facts.dataset == {
        "digest": dataset_digest(measured),
        "networks": 21,
        "kernels": sum(len(example.tokens) for example in measured),
        "families": sorted(FAMILIES),
    }
    assert facts.operators_seen == ("Add", "Conv", "Relu")
    low, high = facts.token_limits
    tokens = np.concatenate([example.tokens for example in measured])
    np.testing.assert_allclose(low, tokens.min(axis=0), atol=1e-4)
    np.testing.assert_allclose(high, tokens.max(axis=0), atol=1e-4)
    assert facts.metrics["families_held_out_mape"] > 0
    assert facts.interval_log_ratio > 0


def test_every_step_is_told(fitted: FittedModels, steps: list[str]) -> None:
    assert steps == [
        "fold 1/2: without bottleneck, separable",
        "fold 2/2: without plain",
        "member 0: all families",
        "member 1: all families",
        "kernel-sum",
    ]


def test_saved_models_predict_the_same(fitted: FittedModels, tmp_path: Path) -> None:
    fitted.save(tmp_path / "artifact")
    measured = examples(("mixed",), 2)
    graphs, plans = [example.graph for example in measured], [example.plan for example in measured]
    opened: tuple[LatencyModel, ...] = (
        NarFormerLatency.open(tmp_path / "artifact"),
        KernelSum.open(tmp_path / "artifact" / KERNEL_SUM_FILE),
        FlopsModel.open(tmp_path / "artifact"),
    )
    models: tuple[LatencyModel, ...] = (fitted.narformer, fitted.kernel_sum, fitted.flops)
    for before, after in zip(models, opened, strict=True):
        assert after.predict(graphs, plans, PROFILE) == before.predict(graphs, plans, PROFILE)


@pytest.mark.parametrize(("families", "count"), [(("plain", "mixed"), 9), (("plain",), 30), ((), 0)])
def test_too_little_to_train_on(families: tuple[str, ...], count: int) -> None:
    with pytest.raises(TrainingError, match=f"got {len(families) * count} stable networks.*narcost profile --zoo all"):
        fit_models(examples(families, count), PROFILE.id, settings=BRIEF)


@given(st.lists(st.text(min_size=1), unique=True, max_size=30), st.integers(1, 8))
def test_folds_hold_out_each_family_once(families: list[str], folds: int) -> None:
    groups = family_folds(families, folds)
    assert sorted(family for group in groups for family in group) == sorted(families)
    assert len(groups) == min(folds, len(families))


def test_digest_knows_the_data_and_not_its_order() -> None:
    measured = examples(("plain",), 3)
    assert dataset_digest(measured) == dataset_digest(measured[::-1])
    slower = dataclasses.replace(measured[0], latency_us=measured[0].latency_us + 1)
    assert dataset_digest([slower, *measured[1:]]) != dataset_digest(measured)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (9, 9), (19, 18), (99, 90), (1000, 901)])
def test_interval_covers_nine_of_ten_new_networks(count: int, expected: int) -> None:
    """Split-conformal: the smallest error that at least 90 % of count + 1 exchangeable ones stay under."""
    errors = np.random.default_rng(0).permutation(np.arange(1, count + 1, dtype=float))
    assert fit._quantile(errors) == expected
