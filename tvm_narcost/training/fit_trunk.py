"""From networks measured on several profiles to an artifact of each: one trunk, judged on families that none saw."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import TrainingError
from tvm_narcost.training.examples import Example
from tvm_narcost.training.fit import (
    FittedModels,
    as_stored,
    check_enough,
    dataset_digest,
    fitted_models,
    judged_families,
    known_kernels,
    told_folds,
)
from tvm_narcost.training.intervals import HeldOut, predict_held_out
from tvm_narcost.training.loop import PLAN_SETTINGS, TrainingSettings, have_several_plans
from tvm_narcost.training.trunk import train_trunk

__all__ = ["Measured", "fit_trunk", "leave_out", "trunk_settings"]

Measured = Mapping[HardwareProfile, Sequence[Example]]
"""Profile -> its measured networks."""


def fit_trunk(
    measured: Measured,
    *,
    wanted: Collection[str] | None = None,
    seeds: Sequence[int] = (0,),
    settings: TrainingSettings | None = None,
    folds: int = 5,
    command: str = "",
    progress: Callable[[str], None] = lambda step: None,
) -> dict[str, FittedModels]:
    """As :func:`tvm_narcost.training.fit.fit_models`, but the members learn from all profiles; profile id -> models.

    A family that is held out is held out of every profile, and so is every graph of its networks. kernel-sum and FLOPs
    learn from the profile's own networks.

    Args:
        measured: at least one profile's networks.
        wanted: ids of the profiles that get models; all by default.
        seeds: one NAR-Former each.
        settings: of its training; by default as suits what was measured.
        folds: groups of families, each held out once.
        command: what the user called; kept in the artifacts.
        progress: told each step.

    Raises:
        TrainingError: a profile has too few networks, or of one family only, or plans were compared on some profiles
            and not on others.
    """
    for examples in measured.values():
        check_enough(examples)
    suited = trunk_settings(measured)
    settings = settings or suited
    chosen = [profile for profile in measured if wanted is None or profile.id in wanted]
    held_out: dict[str, list[HeldOut]] = {profile.id: [] for profile in chosen}
    families = sorted({family for examples in measured.values() for family in judged_families(examples)})
    for group in told_folds(families, folds, progress):
        test, rest = leave_out(measured, group)
        trunk = train_trunk(rest, settings, seeds)
        for profile in chosen:
            kernels = known_kernels(_alike(rest, profile))
            held_out[profile.id] += predict_held_out(as_stored(trunk.of(profile)), kernels, test[profile])
    trunk = train_trunk(measured, settings, seeds, progress=lambda step: progress(f"{step}: all families"))
    fitted = {}
    for profile in chosen:
        progress(f"baselines of {profile.id}")
        own, ensemble = measured[profile], as_stored(trunk.of(profile))
        kernels = known_kernels(_alike(measured, profile))
        models = fitted_models(own, profile.id, ensemble, kernels, held_out[profile.id], seeds[0], command)
        fitted[profile.id] = _with_others(models, profile, measured)
    return fitted


def trunk_settings(measured: Measured) -> TrainingSettings:
    """The settings that suit what was measured: one plan a network, or several, on all profiles alike.

    Raises:
        TrainingError: plans were compared on some profiles and not on others.
    """
    several = [profile.id for profile, examples in measured.items() if have_several_plans(examples)]
    single = [profile.id for profile in measured if profile.id not in several]
    if several and single:
        raise TrainingError(
            f"training: networks of {', '.join(several)} were measured under several plans each, those of "
            f"{', '.join(single)} under one, expected the same of all; train them apart"
        )
    return PLAN_SETTINGS if several else TrainingSettings()


def leave_out(
    measured: Measured, families: Collection[str]
) -> tuple[dict[HardwareProfile, list[Example]], dict[HardwareProfile, list[Example]]]:
    """Networks of ``families``, and the others without any graph that those have on any profile."""
    test = {
        profile: [example for example in examples if example.family in families]
        for profile, examples in measured.items()
    }
    theirs = {example.graph.structural_hash() for own in test.values() for example in own}
    rest = {
        profile: [example for example in examples if example.graph.structural_hash() not in theirs]
        for profile, examples in measured.items()
    }
    return test, rest


def _alike(measured: Measured, profile: HardwareProfile) -> list[Example]:
    """The profile's own networks, and those that profiles of the same runtime have besides; each plan once."""
    alike = [other for other in measured if other.runtime.name == profile.runtime.name and other != profile]
    found: dict[str, Example] = {}
    for other in (profile, *alike):
        for example in measured[other]:
            found.setdefault(example.plan.plan_hash(), example)
    return list(found.values())


def _with_others(models: FittedModels, profile: HardwareProfile, measured: Measured) -> FittedModels:
    """The same models; their facts say what else was learned from."""
    beside = [
        {"profile": other.id, "digest": dataset_digest(examples), "networks": len(examples)}
        for other, examples in measured.items()
        if other != profile
    ]
    facts = models.narformer.facts
    facts = replace(facts, dataset={**facts.dataset, "beside": beside})
    return replace(models, narformer=replace(models.narformer, facts=facts))
