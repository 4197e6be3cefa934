"""From measured networks to an artifact: the members, what they err by on families held out, and the facts."""

import dataclasses
import hashlib
import math
import shutil
import statistics
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tvm_narcost import __version__
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.artifact import FORMAT_VERSION, ArtifactFacts
from tvm_narcost.models.flops import FlopsModel, fit_flops
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.kernel_sum import KERNEL_SUM_FILE, KernelSum
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.models.plan_costs import PLAN_COSTS_FILE, PlanCosts
from tvm_narcost.models.training_kernels import TrainingKernels, fit_training_kernels
from tvm_narcost.tokens import default
from tvm_narcost.training.ensemble import train_ensemble
from tvm_narcost.training.evaluate import fit_kernel_sum_to, measured_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.intervals import CalibratedInterval, HeldOut, fit_interval, predict_held_out
from tvm_narcost.training.loop import TrainingSettings, settings_for
from tvm_narcost.training.metrics import compute_metrics
from tvm_narcost.training.splits import leave_families_out
from tvm_narcost.zoo import CORPUS_FAMILIES, MICRO_FAMILIES

__all__ = [
    "FittedModels", "artifact_facts", "as_stored", "check_enough", "dataset_digest", "family_folds", "fit_models",
    "fitted_models", "hold_out", "judged_families", "known_kernels", "told_folds",
]  # fmt: skip

_FEWEST_NETWORKS = 20


@dataclass(frozen=True)
class FittedModels:
    """What ``narcost train`` makes: the default NAR-Former, kernel-sum and FLOPs to show beside it, costs of plans.

    There are no costs where networks were measured under one plan each.
    """

    narformer: NarFormerLatency
    kernel_sum: KernelSum
    flops: FlopsModel
    costs: PlanCosts | None = None

    def save(self, folder: Path) -> None:
        """Write all into one folder, which is made anew: weights never lie beside facts of another training."""
        scratch, former = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".former")
        for leftover in (scratch, former):
            shutil.rmtree(leftover, ignore_errors=True)
        self.narformer.save(scratch)
        self.kernel_sum.save(scratch / KERNEL_SUM_FILE)
        self.flops.save(scratch)
        if self.costs is not None:
            self.costs.save(scratch / PLAN_COSTS_FILE)
        if folder.exists():
            folder.rename(former)
        scratch.rename(folder)
        shutil.rmtree(former, ignore_errors=True)

    @classmethod
    def open(cls, folder: Path) -> "FittedModels":
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: one of the first three is missing, or one is corrupt or of another schema.
        """
        kernel_sum = KernelSum.open(folder / KERNEL_SUM_FILE)
        return cls(NarFormerLatency.open(folder), kernel_sum, FlopsModel.open(folder), PlanCosts.of_artifact(folder))


def fit_models(
    examples: Sequence[Example],
    profile_id: str,
    *,
    seeds: Sequence[int] = (0, 1),
    settings: TrainingSettings | None = None,
    folds: int = 5,
    command: str = "",
    progress: Callable[[str], None] = lambda step: None,
) -> FittedModels:
    """Train an ensemble on everything, and say from held-out families how far off to expect it.

    Each of ``folds`` groups of families is held out once while an ensemble of as many members is trained on the rest;
    the interval is calibrated on its predictions there. The final members see all families. Families of the kernel
    corpus and micro-graphs are no networks that anybody asks about: they are trained on and never held out.

    Raises:
        TrainingError: too few networks, or of one family only.
    """
    check_enough(examples)
    settings = settings or settings_for(examples)
    held_out: list[HeldOut] = []
    for group in told_folds(judged_families(examples), folds, progress):
        held_out += hold_out(examples, group, settings, seeds)
    ensemble = train_ensemble(examples, settings, seeds, progress=lambda step: progress(f"{step}: all families"))
    progress("kernel-sum")
    return fitted_models(
        examples, profile_id, as_stored(ensemble), known_kernels(examples), held_out, seeds[0], command
    )


def check_enough(examples: Sequence[Example]) -> None:
    """Refuse what no training could be judged on.

    Raises:
        TrainingError: too few networks, or of one family only.
    """
    families = judged_families(examples)
    if len(examples) < _FEWEST_NETWORKS or len(families) < 2:
        raise TrainingError(
            f"training: got {len(examples)} stable networks of families {families}, expected at least "
            f"{_FEWEST_NETWORKS} of two families or more; measure some with `narcost profile --zoo all`"
        )


def fitted_models(
    examples: Sequence[Example],
    profile_id: str,
    ensemble: KernelEnsemble,
    training_kernels: TrainingKernels,
    held_out: Sequence[HeldOut],
    seed: int,
    command: str,
) -> FittedModels:
    """A trained ensemble with its interval, its facts, and the baselines fitted beside; see :func:`artifact_facts`."""
    facts = artifact_facts(examples, profile_id, ensemble, training_kernels, held_out, fit_interval(held_out), command)
    flops = fit_flops([example.graph for example in examples], measured_ms(examples))
    narformer = NarFormerLatency(ensemble, training_kernels, facts)
    return FittedModels(narformer, fit_kernel_sum_to(examples, seed), flops)


def judged_families(examples: Sequence[Example]) -> list[str]:
    """Families that may be held out: all but those of the kernel corpus and of micro-graphs, sorted."""
    return sorted({example.family for example in examples} - {*CORPUS_FAMILIES, *MICRO_FAMILIES})


def hold_out(
    examples: Sequence[Example], families: Collection[str], settings: TrainingSettings, seeds: Sequence[int]
) -> list[HeldOut]:
    """Train without ``families`` and without any graph of theirs that another family has too, and predict them."""
    test, rest = leave_families_out(examples, families)
    return predict_held_out(as_stored(train_ensemble(rest, settings, seeds)), known_kernels(rest), test)


def known_kernels(examples: Sequence[Example]) -> TrainingKernels:
    """Kernels that stand for those of ``examples``."""
    return fit_training_kernels([(example.operators, example.tokens) for example in examples])


def as_stored(ensemble: KernelEnsemble) -> KernelEnsemble:
    """The ensemble as its artifact will give it back: the networks' weights in half precision."""
    return dataclasses.replace(ensemble, networks=tuple(network.as_stored() for network in ensemble.networks))


def family_folds(families: Sequence[str], folds: int) -> list[tuple[str, ...]]:
    """Families dealt out to ``folds`` groups, none of them empty."""
    dealt = [tuple(families[start::folds]) for start in range(folds)]
    return [group for group in dealt if group]


def told_folds(families: Sequence[str], folds: int, progress: Callable[[str], None]) -> Iterator[tuple[str, ...]]:
    """:func:`family_folds` one after another; ``progress`` is told of each before it comes."""
    groups = family_folds(families, folds)
    for number, group in enumerate(groups, 1):
        progress(f"fold {number}/{len(groups)}: without {', '.join(group)}")
        yield group


def artifact_facts(
    examples: Sequence[Example],
    profile_id: str,
    ensemble: KernelEnsemble,
    training_kernels: TrainingKernels,
    held_out: Sequence[HeldOut],
    interval: CalibratedInterval,
    command: str,
) -> ArtifactFacts:
    """What an artifact says of itself.

    Args:
        examples: that it was fitted to.
        profile_id: where they were measured.
        ensemble: as it is kept.
        training_kernels: kernels that it knows.
        held_out: predictions of ensembles that were fitted without the network's family.
        interval: calibrated on those.
        command: what the user called.
    """
    return ArtifactFacts(
        format_version=FORMAT_VERSION,
        kind="narformer",
        schema=default.NAME,
        schema_version=default.VERSION,
        profile=profile_id,
        config=NarFormerLatency.config_facts(ensemble),
        dataset={
            "digest": dataset_digest(examples),
            "networks": len(examples),
            "kernels": sum(len(example.tokens) for example in examples),
            "families": sorted({example.family for example in examples}),
        },
        metrics=_held_out_metrics(held_out, interval),
        interval=interval.model,
        distance_limits=training_kernels.limits,
        command=command,
        narcost_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _held_out_metrics(held_out: Sequence[HeldOut], interval: CalibratedInterval) -> dict[str, float]:
    figures = compute_metrics(
        [network.predicted_ms for network in held_out], [network.measured_ms for network in held_out]
    )
    factors = [math.exp(interval.model.log_ratio(network.signs)) for network in held_out]
    return {
        "families_held_out_mape": figures.mape,
        "families_held_out_acc_10": figures.acc_10,
        "families_held_out_kendall_tau": figures.kendall_tau,
        "families_held_out_coverage": interval.coverage,
        "families_held_out_median_interval_factor": statistics.median(factors),
        "families_held_out_error_rank_correlation": interval.rank_correlation,
    }


def dataset_digest(examples: Sequence[Example]) -> str:
    """SHA-256 over graph hash and median latency of every network, in sorted order."""
    lines = sorted(f"{example.graph.structural_hash()} {example.latency_us:.3f}" for example in examples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
