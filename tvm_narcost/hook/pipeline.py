"""What a TVM user writes: ``tvm.compile(mod, target, relax_pipeline=relax.get_pipeline("narcost", profile=ID))``."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import tvm
from tvm import relax

from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import ArtifactError, CompileError
from tvm_narcost.fusion.ranking import RankedPlan, choose_variant, rank_by_artifact
from tvm_narcost.hook.default_groups import tvm_plan
from tvm_narcost.hook.lower import lower
from tvm_narcost.hook.prepare import PreparedModule, prepare
from tvm_narcost.hook.variant import Variant, neighbours, variant_of
from tvm_narcost.hook.variants import prepare_variants
from tvm_narcost.models.plan_models import PlanModels, open_plan_models

__all__ = ["PIPELINE", "NarcostPipeline", "RankedVariant", "get_pipeline", "rank_fusions", "rank_variants", "register"]

PIPELINE = "narcost"
BEST = "best"


def register() -> None:
    """Let ``relax.get_pipeline("narcost", profile=...)`` find the pipeline; a second call changes nothing."""
    if PIPELINE not in relax.pipeline.PIPELINE_MAP:
        relax.register_pipeline(PIPELINE)(get_pipeline)


@dataclass(frozen=True)
class NarcostPipeline:
    """From high-level Relax to what the virtual machine is built from, as one call.

    A plain callable and no ``tvm.transform.Pass``: what a Pass raises reaches the caller as RuntimeError.

    Attributes:
        profile: the device and runtime that is compiled for.
        plan: ``best``, as the model of the profile's artifact ranks them; ``default``, as TVM would fuse; or a plan
            over the graph of the module as it is prepared in ``variants``, of which there is one then.
        variants: how the module may be written; of several the one whose best plan is surely faster than the first's.
        models: rank plans; None where none need be ranked.
        database: of MetaSchedule; what it has goes before narcost's own schedules.
    """

    profile: HardwareProfile
    plan: str | FusionPlan
    variants: tuple[Variant, ...]
    models: PlanModels | None = field(default=None, repr=False)
    database: Any = field(default=None, repr=False)

    def __call__(self, module: tvm.IRModule) -> tvm.IRModule:
        """Prepare, plan, schedule and lower; ``module`` is not changed.

        Raises:
            CompileError: the module or the target in whose scope this is called cannot be compiled so.
            FrontendError: the module has operators or shapes that cannot be read.
        """
        _check_target(tvm.target.Target.current(allow_none=True))
        if self.models is not None:
            ranked = next(found for found in _rank(module, self.profile, self.variants, self.models) if found.chosen)
            return lower(ranked.prepared, ranked.best.plan, self.profile, database=self.database)
        prepared = prepare(module, self.profile, variant=self.variants[0])
        plan = self.plan if isinstance(self.plan, FusionPlan) else tvm_plan(prepared)
        return lower(prepared, plan, self.profile, database=self.database)


def get_pipeline(
    *,
    profile: HardwareProfile | str,
    plan: str | FusionPlan = BEST,
    variant: Variant | str | None = None,
    database: Any = None,
) -> NarcostPipeline:
    """The pipeline of a profile; ``relax.get_pipeline("narcost", ...)`` once :func:`register` was called.

    Args:
        profile: or its id, or the path of its TOML file.
        plan: ``best``, ``default`` or a plan, see :class:`NarcostPipeline`.
        variant: how modules are written; by default as the profile's options say. ``best``: so, or in another layout
            or with another rewrite, whichever :func:`rank_variants` chooses.
        database: of MetaSchedule.

    Raises:
        ProfileError: no such profile.
        ArtifactError: ``best`` was asked for, and nothing was trained for the profile.
        CompileError: ``plan`` or ``variant`` is none of the above, or the best variant is asked for with another plan
            than the best.
    """
    found = load_profile(profile) if isinstance(profile, str) else profile
    if isinstance(plan, str) and plan not in (BEST, "default"):
        raise CompileError(f"plan is {plan!r}, expected best, default or a FusionPlan")
    if isinstance(variant, str) and (variant != BEST or plan != BEST):
        name = plan if isinstance(plan, str) else plan.planner
        raise CompileError(f"variant is {variant!r} with plan {name!r}, expected a Variant, or best with the best plan")
    own = variant_of(found)
    variants = neighbours(own) if isinstance(variant, str) else (variant or own,)
    models = _models_of(found) if plan == BEST else None
    return NarcostPipeline(found, plan, variants, models, database)


def rank_fusions(
    module: tvm.IRModule,
    target: tvm.target.Target | str | dict[str, Any],
    profile: HardwareProfile | str,
    *,
    variant: Variant | None = None,
) -> tuple[RankedPlan, ...]:
    """Rank candidate fusion plans of a module by what they are predicted to take; nothing is compiled.

    Args:
        module: high-level Relax with one function ``main`` of static shapes.
        target: what it would be compiled for; of kind llvm.
        profile: or its id, or the path of its TOML file.
        variant: how the module is written; by default as the profile's options say.

    Raises:
        ProfileError: no such profile.
        ArtifactError: nothing was trained for the profile.
        CompileError: the module or the target cannot be compiled so.
        FrontendError: the module has operators or shapes that cannot be read.
    """
    found = load_profile(profile) if isinstance(profile, str) else profile
    _check_target(tvm.target.Target(target))
    return _rank(module, found, [variant or variant_of(found)], _models_of(found))[0].plans


@dataclass(frozen=True)
class RankedVariant:
    """One way to write a module, with its plans.

    Attributes:
        plans: the fastest first, see :func:`rank_fusions`.
        chosen: whether narcost would compile this variant's chosen plan.
        prepared: the module so written.
    """

    plans: tuple[RankedPlan, ...]
    chosen: bool
    prepared: PreparedModule = field(repr=False)

    @property
    def variant(self) -> Variant:
        """The way."""
        return self.prepared.variant

    @property
    def best(self) -> RankedPlan:
        """The plan that is chosen of this variant's."""
        return next(plan for plan in self.plans if plan.chosen)


def rank_variants(
    module: tvm.IRModule,
    target: tvm.target.Target | str | dict[str, Any],
    profile: HardwareProfile | str,
    variants: Sequence[Variant] | None = None,
) -> tuple[RankedVariant, ...]:
    """Rank the fusion plans of a module in several layouts and with several rewrites; nothing is compiled.

    Args:
        module: as :func:`rank_fusions` takes it.
        target: what it would be compiled for; of kind llvm.
        profile: or its id, or the path of its TOML file.
        variants: the first is chosen unless another is surely faster; by default the profile's own and all that are
            one step from it, see :func:`tvm_narcost.hook.variant.neighbours`.

    Returns:
        One for each variant that writes the module in another way, in the order of ``variants``.

    Raises:
        As :func:`rank_fusions`; CompileError: ``variants`` is empty.
    """
    found = load_profile(profile) if isinstance(profile, str) else profile
    _check_target(tvm.target.Target(target))
    wanted = neighbours(variant_of(found)) if variants is None else tuple(variants)
    if not wanted:
        raise CompileError("variants is empty, expected one at least, or None for the profile's own and its neighbours")
    return _rank(module, found, wanted, _models_of(found))


def _rank(
    module: tvm.IRModule, profile: HardwareProfile, variants: Sequence[Variant], models: PlanModels
) -> tuple[RankedVariant, ...]:
    found = [
        RankedVariant(rank_by_artifact(prepared.space, models, profile), False, prepared)
        for prepared in prepare_variants(module, profile, variants)
    ]
    place = choose_variant([ranked.plans for ranked in found], models.narformer, profile)
    found[place] = replace(found[place], chosen=True)
    return tuple(found)


def _models_of(profile: HardwareProfile) -> PlanModels:
    try:
        return open_plan_models(profile.id)
    except ArtifactError as error:
        raise ArtifactError(
            f'{error}; or compile with plan="default", the kernels that TVM makes, in narcost\'s schedules'
        ) from error


def _check_target(target: tvm.target.Target | None) -> None:
    if target is not None and target.kind.name != "llvm":
        raise CompileError(
            f"target {target} is of kind {target.kind.name}, expected llvm: narcost schedules for CPUs; compile for "
            "other devices with relax.get_default_pipeline(target)"
        )
