"""From measured networks to an artifact: the members, what they err by on families held out, and the facts."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tvm_narcost import __version__
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.artifact import FORMAT_VERSION, ArtifactFacts
from tvm_narcost.models.flops import FlopsModel, fit_flops
from tvm_narcost.models.kernel_sum import KERNEL_SUM_FILE, KernelSum
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.tokens import default
from tvm_narcost.training.evaluate import fit_kernel_sum_to, measured_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.loop import DEFAULT_CONFIG, TrainingSettings, predict_us, train_network
from tvm_narcost.training.metrics import compute_metrics

__all__ = ["FittedModels", "dataset_digest", "family_folds", "fit_models"]

COVERAGE = 0.90
_FEWEST_NETWORKS = 20


@dataclass(frozen=True)
class FittedModels:
    """What ``narcost train`` makes: the default NAR-Former, and kernel-sum and FLOPs to show beside it."""

    narformer: NarFormerLatency
    kernel_sum: KernelSum
    flops: FlopsModel

    def save(self, folder: Path) -> None:
        """Write all into one folder, which is made anew: weights never lie beside facts of another training."""
        scratch, former = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".former")
        for leftover in (scratch, former):
            shutil.rmtree(leftover, ignore_errors=True)
        self.narformer.save(scratch)
        self.kernel_sum.save(scratch / KERNEL_SUM_FILE)
        self.flops.save(scratch)
        if folder.exists():
            folder.rename(former)
        scratch.rename(folder)
        shutil.rmtree(former, ignore_errors=True)


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
    """Train one member a seed on everything, and say from held-out families how far off to expect it.

    Each of ``folds`` groups of families is held out once while one member is trained on the rest; the 90 % quantile of
    its errors there is the interval. The final members see all families.

    Raises:
        TrainingError: too few networks, or of one family only.
    """
    families = sorted({example.family for example in examples})
    if len(examples) < _FEWEST_NETWORKS or len(families) < 2:
        raise TrainingError(
            f"training: got {len(examples)} stable networks of families {families}, expected at least "
            f"{_FEWEST_NETWORKS} of two families or more; measure some with `narcost profile --zoo all`"
        )
    settings = settings or TrainingSettings()
    held_out: list[tuple[float, float]] = []
    groups = family_folds(families, folds)
    for number, group in enumerate(groups):
        progress(f"fold {number + 1}/{len(groups)}: without {', '.join(group)}")
        rest = [example for example in examples if example.family not in group]
        test = [example for example in examples if example.family in group]
        network = train_network(rest, settings, seeds[0])
        predicted_ms = [float(kernels_us.sum()) / 1e3 for kernels_us in predict_us([network], test)]
        held_out += zip(predicted_ms, measured_ms(test), strict=True)
    members = []
    for seed in seeds:
        progress(f"member {seed}: all families")
        members.append(_as_stored(train_network(examples, settings, seed)))
    progress("kernel-sum")
    kernel_sum = fit_kernel_sum_to(examples, seeds[0])
    facts = _facts(examples, profile_id, len(seeds), held_out, command)
    flops = fit_flops([example.graph for example in examples], measured_ms(examples))
    return FittedModels(NarFormerLatency(tuple(members), facts), kernel_sum, flops)


def _as_stored(network: NarFormer) -> NarFormer:
    """The network as its artifact will give it back: weights in half precision."""
    for weight in network.parameters():
        weight.data = weight.data.half().float()
    return network


def family_folds(families: Sequence[str], folds: int) -> list[tuple[str, ...]]:
    """Families dealt out to ``folds`` groups, none of them empty."""
    dealt = [tuple(families[start::folds]) for start in range(folds)]
    return [group for group in dealt if group]


def _facts(
    examples: Sequence[Example],
    profile_id: str,
    members: int,
    held_out: Sequence[tuple[float, float]],
    command: str,
) -> ArtifactFacts:
    predicted, measured = zip(*held_out, strict=True)
    figures = compute_metrics(predicted, measured)
    tokens = np.concatenate([example.tokens for example in examples])
    return ArtifactFacts(
        format_version=FORMAT_VERSION,
        kind="narformer",
        schema=default.NAME,
        schema_version=default.VERSION,
        profile=profile_id,
        config=NarFormerLatency.config_facts(DEFAULT_CONFIG, members),
        dataset={
            "digest": dataset_digest(examples),
            "networks": len(examples),
            "kernels": len(tokens),
            "families": sorted({example.family for example in examples}),
        },
        metrics={
            "families_held_out_mape": figures.mape,
            "families_held_out_acc_10": figures.acc_10,
            "families_held_out_kendall_tau": figures.kendall_tau,
        },
        interval_log_ratio=_quantile(np.abs(np.log(np.array(predicted) / np.array(measured)))),
        operators_seen=tuple(sorted({op for example in examples for op in example.operators})),
        token_limits=(_rounded(tokens.min(axis=0)), _rounded(tokens.max(axis=0))),
        command=command,
        narcost_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _quantile(errors: NDArray[np.float64]) -> float:
    """Split-conformal quantile: the error that COVERAGE of the next networks stay under (Vovk et al., 2005)."""
    rank = min(int(np.ceil((len(errors) + 1) * COVERAGE)), len(errors))
    return float(np.sort(errors)[rank - 1])


def _rounded(limit: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in limit)


def dataset_digest(examples: Sequence[Example]) -> str:
    """SHA-256 over graph hash and median latency of every network, in sorted order."""
    lines = sorted(f"{example.graph.structural_hash()} {example.latency_us:.3f}" for example in examples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
