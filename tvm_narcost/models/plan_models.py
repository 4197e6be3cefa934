"""The models of a profile that rank fusion plans: NAR-Former, and the two simpler ones that are shown beside it."""

from dataclasses import dataclass

from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.flops import FlopsModel
from tvm_narcost.models.folders import artifact_folder
from tvm_narcost.models.kernel_sum import KERNEL_SUM_FILE, KernelSum
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.models.plan_costs import PlanCosts

__all__ = ["PlanModels", "open_plan_models"]


@dataclass(frozen=True)
class PlanModels:
    """What an artifact holds; no costs where its networks were measured under one plan each."""

    narformer: NarFormerLatency
    kernel_sum: KernelSum
    flops: FlopsModel
    costs: PlanCosts | None = None


def open_plan_models(profile_id: str) -> PlanModels:
    """Open the artifact of a profile, the user's own before the shipped one.

    Raises:
        ArtifactError: there is none, or it is corrupt or of another profile.
    """
    try:
        folder = artifact_folder(profile_id)
    except ArtifactError as error:
        raise ArtifactError(
            f"plans of profile {profile_id!r} cannot be ranked: nothing was trained for it; measure networks under "
            f"several plans with `narcost profile --plans 12 --zoo all --profile {profile_id}`, then learn from them "
            f"with `narcost train --profile {profile_id}`"
        ) from error
    narformer = NarFormerLatency.open(folder)
    if narformer.facts.profile != profile_id:
        raise ArtifactError(
            f"artifact {folder}: trained for profile {narformer.facts.profile!r}, expected {profile_id!r}; train one "
            f"with `narcost train --profile {profile_id}`"
        )
    kernel_sum = KernelSum.open(folder / KERNEL_SUM_FILE)
    return PlanModels(narformer, kernel_sum, FlopsModel.open(folder), PlanCosts.of_artifact(folder))
