"""fit_models: members, what they err by on families held out, and the facts."""

import dataclasses
from pathlib import Path

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
from tvm_narcost.training.fit import (
    FittedModels,
    dataset_digest,
    family_folds,
    fit_models,
    hold_out,
    judged_families,
)
from tvm_narcost.training.intervals import fit_interval
from tvm_narcost.training.loop import TrainingSettings
from tvm_narcost.zoo import CORPUS_FAMILIES

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
    assert facts.config["members"] == len(fitted.narformer.ensemble.networks) == 2
    assert facts.config["trees"] is True
    assert facts.dataset == {
        "digest": dataset_digest(measured),
        "networks": 21,
        "kernels": sum(len(example.tokens) for example in measured),
        "families": sorted(FAMILIES),
    }
    assert set(facts.distance_limits) == {"Add", "Conv", "Relu"}
    assert facts.metrics["families_held_out_mape"] > 0


def test_interval_is_calibrated_on_families_held_out(fitted: FittedModels) -> None:
    facts, measured = fitted.narformer.facts, examples(FAMILIES, 7)
    held_out = [
        network for group in family_folds(sorted(FAMILIES), 2) for network in hold_out(measured, group, BRIEF, (0, 1))
    ]
    calibrated = fit_interval(held_out)
    assert facts.interval == calibrated.model
    assert facts.metrics["families_held_out_coverage"] == calibrated.coverage
    assert facts.metrics["families_held_out_error_rank_correlation"] == calibrated.rank_correlation
    assert facts.metrics["families_held_out_median_interval_factor"] > 1


def test_what_is_held_out_is_not_trained_on() -> None:
    """A graph that two families have goes with the one that is held out; what is left trains as if it were alone."""
    measured = examples(("plain", "separable"), 4)
    shared = dataclasses.replace(measured[0], family="separable")
    alone = hold_out(measured, ("plain",), BRIEF, (0,))
    assert [network.name for network in alone] == [f"plain-{seed}" for seed in range(4)]
    assert hold_out([*measured, shared], ("plain",), BRIEF, (0,)) == alone


def test_corpus_is_trained_on_and_never_held_out() -> None:
    corpus = [dataclasses.replace(example, family="corpus_conv") for example in examples(("mixed",), 2)]
    assert judged_families([*examples(("plain", "narrow"), 1), *corpus]) == ["narrow", "plain"]
    assert "corpus_conv" in CORPUS_FAMILIES


def test_every_step_is_told(fitted: FittedModels, steps: list[str]) -> None:
    assert steps == [
        "fold 1/2: without bottleneck, separable",
        "fold 2/2: without plain",
        "member 0: all families",
        "member 1: all families",
        "trees: all families",
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
