"""fit_trunk: an artifact of each profile from one trunk, and nothing of a held-out family on any profile."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.training.analytic import PROFILE, examples
from tvm_narcost.errors import TrainingError
from tvm_narcost.training.examples import Example
from tvm_narcost.training.fit import FittedModels, dataset_digest
from tvm_narcost.training.fit_trunk import fit_trunk, leave_out, trunk_settings
from tvm_narcost.training.loop import PLAN_SETTINGS, TrainingSettings

OTHER = dataclasses.replace(
    PROFILE, id="other.onnxruntime", device=dataclasses.replace(PROFILE.device, name="other", call_overhead_us=9.0)
)
BRIEF = dataclasses.replace(TrainingSettings(), epochs=1, batch=8)
FAMILIES = ("plain", "bottleneck", "separable")


def twice_as_slow(measured: Sequence[Example]) -> list[Example]:
    return [
        dataclasses.replace(
            found, kernels_us=2 * found.kernels_us, latency_us=2 * found.latency_us, profile_id=OTHER.id
        )
        for found in measured
    ]


MEASURED = {PROFILE: examples(FAMILIES, 9), OTHER: twice_as_slow(examples(FAMILIES, 7))}


@pytest.fixture(scope="module")
def steps() -> list[str]:
    return []


@pytest.fixture(scope="module")
def fitted(steps: list[str]) -> dict[str, FittedModels]:
    return fit_trunk(MEASURED, settings=BRIEF, folds=2, command="narcost train --beside", progress=steps.append)


def test_each_profile_has_models_of_its_own(fitted: dict[str, FittedModels]) -> None:
    assert set(fitted) == {PROFILE.id, OTHER.id}
    test = examples(("mixed",), 4)
    graphs, plans = [example.graph for example in test], [example.plan for example in test]
    fast, slow = (fitted[profile.id].narformer.predict(graphs, plans, PROFILE) for profile in (PROFILE, OTHER))
    assert all(one.latency_ms < other.latency_ms for one, other in zip(fast, slow, strict=True))
    fast, slow = (fitted[profile.id].kernel_sum.predict(graphs, plans, PROFILE) for profile in (PROFILE, OTHER))
    assert slow[0].latency_ms / fast[0].latency_ms == pytest.approx(2, rel=0.1)  # from the profile's own networks alone


def test_facts_say_what_else_was_learned_from(fitted: dict[str, FittedModels]) -> None:
    facts = fitted[OTHER.id].narformer.facts
    assert (facts.profile, facts.command) == (OTHER.id, "narcost train --beside")
    assert facts.dataset["networks"] == 21
    assert facts.dataset["digest"] == dataset_digest(MEASURED[OTHER])
    assert facts.dataset["beside"] == [
        {"profile": PROFILE.id, "digest": dataset_digest(MEASURED[PROFILE]), "networks": 27}
    ]
    assert facts.metrics["families_held_out_mape"] > 0


def test_steps_are_told(fitted: dict[str, FittedModels], steps: list[str]) -> None:
    assert steps == [
        "fold 1/2: without bottleneck, separable",
        "fold 2/2: without plain",
        "member 0: all families",
        "trees: all families",
        f"baselines of {PROFILE.id}",
        f"baselines of {OTHER.id}",
    ]


def test_artifact_comes_back_as_any_other(fitted: dict[str, FittedModels], tmp_path: Path) -> None:
    fitted[OTHER.id].save(tmp_path / "artifact")
    opened = FittedModels.open(tmp_path / "artifact")
    test = examples(("mixed",), 2)
    graphs, plans = [example.graph for example in test], [example.plan for example in test]
    assert opened.narformer.facts == fitted[OTHER.id].narformer.facts
    assert opened.narformer.predict(graphs, plans, OTHER) == fitted[OTHER.id].narformer.predict(graphs, plans, OTHER)


def test_a_family_is_left_out_of_every_profile_with_all_its_graphs() -> None:
    """One of its networks stands under another family's name, on the other profile only."""
    alias = dataclasses.replace(MEASURED[PROFILE][0], family="separable", name="alias")
    measured = {PROFILE: MEASURED[PROFILE], OTHER: [*MEASURED[OTHER], alias]}
    test, rest = leave_out(measured, ("plain",))
    assert {profile.id: len(own) for profile, own in test.items()} == {PROFILE.id: 9, OTHER.id: 7}
    assert {profile.id: len(own) for profile, own in rest.items()} == {PROFILE.id: 18, OTHER.id: 14}
    assert {found.family for own in rest.values() for found in own} == {"bottleneck", "separable"}


def test_only_the_profiles_that_are_wanted() -> None:
    found = fit_trunk(MEASURED, wanted=[OTHER.id], settings=BRIEF, folds=2)
    assert list(found) == [OTHER.id]


def test_a_profile_with_too_little() -> None:
    with pytest.raises(TrainingError, match="got 3 stable networks of families"):
        fit_trunk({PROFILE: MEASURED[PROFILE], OTHER: MEASURED[OTHER][:3]}, settings=BRIEF)


def test_profiles_of_several_plans_a_network_learn_together_and_not_with_those_of_one() -> None:
    several = {profile: 3 * own for profile, own in MEASURED.items()}
    assert (trunk_settings(several), trunk_settings(MEASURED)) == (PLAN_SETTINGS, TrainingSettings())
    assert set(fit_trunk(several, settings=BRIEF, folds=2)) == {PROFILE.id, OTHER.id}
    said = f"networks of {OTHER.id} were measured under several plans each, those of {PROFILE.id} under one"
    with pytest.raises(TrainingError, match=said):
        fit_trunk({PROFILE: MEASURED[PROFILE], OTHER: several[OTHER]}, settings=BRIEF)
