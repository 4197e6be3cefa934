"""What a TVM user writes: ``tvm.compile(mod, target, relax_pipeline=relax.get_pipeline("narcost", profile=ID))``."""

from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import relax

from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import ArtifactError, CompileError
from tvm_narcost.fusion.ranking import Baselines, RankedPlan, rank
from tvm_narcost.hook.default_groups import tvm_plan
from tvm_narcost.hook.lower import lower
from tvm_narcost.hook.prepare import PreparedModule, prepare
from tvm_narcost.hook.variant import Variant, variant_of
from tvm_narcost.models.plan_models import PlanModels, open_plan_models
from tvm_narcost.predictor import LatencyModel

__all__ = ["PIPELINE", "NarcostPipeline", "get_pipeline", "rank_fusions", "register"]

PIPELINE = "narcost"


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
            over the graph of the module as it is prepared in ``variant``.
        variant: how the module is written.
        model: ranks plans; None where none need be ranked.
        database: of MetaSchedule; what it has goes before narcost's own schedules.
    """

    profile: HardwareProfile
    plan: str | FusionPlan
    variant: Variant
    model: LatencyModel | None = field(default=None, repr=False)
    database: Any = field(default=None, repr=False)

    def __call__(self, module: tvm.IRModule) -> tvm.IRModule:
        """Prepare, plan, schedule and lower; ``module`` is not changed.

        Raises:
            CompileError: the module or the target in whose scope this is called cannot be compiled so.
            FrontendError: the module has operators or shapes that cannot be read.
        """
        _check_target(tvm.target.Target.current(allow_none=True))
        prepared = prepare(module, self.profile, variant=self.variant)
        return lower(prepared, self._plan(prepared), self.profile, database=self.database)

    def _plan(self, prepared: PreparedModule) -> FusionPlan:
        if isinstance(self.plan, FusionPlan):
            return self.plan
        if self.model is None:
            return tvm_plan(prepared)
        ranked = rank(prepared.graph, prepared.patterns, self.model, self.profile, inseparable=prepared.inseparable)
        return next(candidate.plan for candidate in ranked if candidate.chosen)


def get_pipeline(
    *,
    profile: HardwareProfile | str,
    plan: str | FusionPlan = "best",
    variant: Variant | None = None,
    database: Any = None,
) -> NarcostPipeline:
    """The pipeline of a profile; ``relax.get_pipeline("narcost", ...)`` once :func:`register` was called.

    Args:
        profile: or its id, or the path of its TOML file.
        plan: ``best``, ``default`` or a plan, see :class:`NarcostPipeline`.
        variant: how modules are written; by default as the profile's options say, which is what its model knows.
        database: of MetaSchedule.

    Raises:
        ProfileError: no such profile.
        ArtifactError: ``best`` was asked for, and nothing was trained for the profile.
        CompileError: ``plan`` is none of the above.
    """
    found = load_profile(profile) if isinstance(profile, str) else profile
    if isinstance(plan, str) and plan not in ("best", "default"):
        raise CompileError(f"plan is {plan!r}, expected best, default or a FusionPlan")
    model = _models_of(found).narformer if plan == "best" else None
    return NarcostPipeline(found, plan, variant or variant_of(found), model, database)


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
        variant: as :func:`get_pipeline` has it.

    Raises:
        ProfileError: no such profile.
        ArtifactError: nothing was trained for the profile.
        CompileError: the module or the target cannot be compiled so.
        FrontendError: the module has operators or shapes that cannot be read.
    """
    found = load_profile(profile) if isinstance(profile, str) else profile
    _check_target(tvm.target.Target(target))
    models = _models_of(found)
    prepared = prepare(module, found, variant=variant or variant_of(found))
    return rank(
        prepared.graph,
        prepared.patterns,
        models.narformer,
        found,
        inseparable=prepared.inseparable,
        baselines=Baselines(models.kernel_sum, models.flops),
    )


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
