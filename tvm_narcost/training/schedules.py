"""Training of the ScheduleRanker: candidates of one workload against each other, over many workloads."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tvm_narcost.errors import TrainingError
from tvm_narcost.models.narformer_config import NarFormerConfig
from tvm_narcost.models.schedule_ranker import RANKER_CONFIG, ScheduleRanker
from tvm_narcost.tokens.store_tokens import StoreTokens
from tvm_narcost.training.optimization import Optimization

__all__ = [
    "MeasuredSchedules",
    "RankerSettings",
    "ScheduleBatch",
    "ScheduleGroups",
    "log_targets",
    "schedule_loss",
    "train_ranker",
]

_FAILED = 2.0  # a failed candidate counts as this many times as slow as the slowest of its workload
_TIE = 0.02  # measurements closer than this (2 %) are in no order


@dataclass(frozen=True)
class MeasuredSchedules:
    """Measured candidates.

    Attributes:
        tokens: of all candidates.
        latency_us: float64 [candidates], infinite where the measurement failed.
        workload: int64 [candidates], index into ``names``.
        names: of the workloads.
    """

    tokens: StoreTokens
    latency_us: NDArray[np.float64]
    workload: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.latency_us)

    def of(self, workloads: Sequence[int]) -> "MeasuredSchedules":
        """Those of some workloads only; the names stay."""
        return self.take(np.flatnonzero(np.isin(self.workload, workloads)))

    def of_names(self, names: Collection[str]) -> "MeasuredSchedules":
        """Those of workloads of these names only."""
        return self.of([index for index, name in enumerate(self.names) if name in names])

    def joined(self, others: Sequence["MeasuredSchedules"]) -> "MeasuredSchedules":
        """These and others after them; workloads of one name stay apart: they ran on different devices."""
        parts = (self, *others)
        firsts = np.cumsum([0, *(len(part.names) for part in parts)])
        tokens = StoreTokens(
            np.concatenate([part.tokens.values for part in parts]),
            np.concatenate([part.tokens.context for part in parts]),
            np.concatenate([part.tokens.counts for part in parts]),
        )
        return MeasuredSchedules(
            tokens,
            np.concatenate([part.latency_us for part in parts]),
            np.concatenate([part.workload + first for part, first in zip(parts, firsts, strict=False)]),
            tuple(name for part in parts for name in part.names),
        )

    def take(self, rows: NDArray[np.int64]) -> "MeasuredSchedules":
        """Some of the candidates, in the order of ``rows``."""
        counts = self.tokens.counts[rows]
        starts = (np.cumsum(self.tokens.counts) - self.tokens.counts)[rows]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        values = self.tokens.values[np.repeat(starts, counts) + within]
        tokens = StoreTokens(values, self.tokens.context[rows], counts)
        return MeasuredSchedules(tokens, self.latency_us[rows], self.workload[rows], self.names)


@dataclass(frozen=True)
class RankerSettings:
    """How a ScheduleRanker is trained.

    Attributes:
        epochs: passes over the candidates.
        workloads: of a batch. candidates: of each of them.
        learning_rate: peak; 5 % warm-up, then cosine decay.
        averaging: decay of the exponential moving average of the weights, which is what is kept.
        difference_weight: of the paper's sequence-ranking term, against the pairwise term's 1.
        absolute_weight: of the error of each candidate's own time.
    """

    epochs: int = 12
    workloads: int = 8
    candidates: int = 12
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    averaging: float = 0.99
    difference_weight: float = 0.5
    absolute_weight: float = 0.2


def schedule_loss(log_us: Tensor, target: Tensor, settings: RankerSettings) -> Tensor:
    """Loss of several workloads.

    Every pair of candidates of one workload that measurement tells apart is to be in its order (pairwise logistic loss;
    RankNet, Burges et al., 2005); pairs with a fast candidate count more, since the best is what tuning looks for.
    The sequence-ranking term (paper, equation 12) asks in addition that the pair's distance be right.

    Args:
        log_us: predicted logarithm of microseconds, [W, K].
        target: measured, [W, K].
        settings: the weights of the terms.
    """
    predicted = log_us[:, :, None] - log_us[:, None, :]  # [W, K, K]
    measured = target[:, :, None] - target[:, None, :]
    behind = target - target.min(dim=1, keepdim=True).values  # how far behind the best, [W, K]
    weight = torch.exp(-torch.minimum(behind[:, :, None], behind[:, None, :])) + 0.1
    weight = weight * (measured.abs() > _TIE)
    ordered = F.softplus(-predicted * measured.sign() * 4.0)
    pairwise = (weight * ordered).sum() / weight.sum().clamp_min(1e-6)
    difference = F.smooth_l1_loss(predicted, measured, beta=0.2)
    absolute = F.smooth_l1_loss(log_us, target, beta=0.2)
    return pairwise + settings.difference_weight * difference + settings.absolute_weight * absolute


def log_targets(measured: MeasuredSchedules) -> NDArray[np.float64]:
    """Logarithm of microseconds; what failed lies behind the slowest of its workload, or at 1 s if all of it failed."""
    log_us = np.log(measured.latency_us)
    for workload in np.unique(measured.workload):
        own = measured.workload == workload
        finite = own & np.isfinite(log_us)
        worst = log_us[finite].max() if finite.any() else np.log(1e6)
        log_us[own & ~finite] = worst + np.log(_FAILED)
    return log_us


@dataclass(frozen=True)
class ScheduleBatch:
    """Candidates of several workloads, padded."""

    tokens: Tensor  # [W * K, T, width]
    mask: Tensor  # [W * K, T]
    context: Tensor  # [W * K, width]
    target: Tensor  # [W, K]


def train_ranker(
    measured: MeasuredSchedules,
    settings: RankerSettings | None = None,
    seed: int = 0,
    *,
    config: NarFormerConfig = RANKER_CONFIG,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> ScheduleRanker:
    """Train one ranker; the same candidates, settings and seed give the same weights.

    Raises:
        TrainingError: fewer than two candidates.
    """
    if len(measured) < 2:
        raise TrainingError(
            f"training: got {len(measured)} measured candidates, expected at least 2; collect some first"
        )
    settings = settings or RankerSettings()
    torch.manual_seed(seed)
    ranker = ScheduleRanker(config)
    ranker.standardise(torch.from_numpy(measured.tokens.values), torch.from_numpy(measured.tokens.context))
    random = np.random.default_rng(seed)
    groups = ScheduleGroups(measured)
    steps = settings.epochs * max(1, round(len(measured) / (settings.workloads * settings.candidates)))
    optimization = Optimization(
        ranker,
        steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        averaging=settings.averaging,
    )
    ranker.train()
    losses = []
    for step in range(steps):
        batch = groups.draw(settings.workloads, settings.candidates, random)
        loss = schedule_loss(
            ranker(batch.tokens, batch.mask, batch.context).view_as(batch.target), batch.target, settings
        )
        losses.append(optimization.step(loss))
        if (step + 1) % max(1, steps // settings.epochs) == 0:
            progress((step + 1) * settings.epochs // steps, float(np.mean(losses[-100:])))
    return optimization.averaged()


class ScheduleGroups:
    """Candidates by workload, to draw batches from."""

    def __init__(self, measured: MeasuredSchedules) -> None:
        self.measured = measured
        self.target = log_targets(measured)
        self.starts = np.cumsum(measured.tokens.counts) - measured.tokens.counts
        sizes = np.bincount(measured.workload)
        self.indices = [int(index) for index in np.flatnonzero(sizes > 1)]
        self.groups = [np.flatnonzero(measured.workload == index) for index in self.indices]
        if not self.groups:
            raise TrainingError("training: got one candidate a workload, expected at least two of one to compare")
        share = np.sqrt([len(group) for group in self.groups])
        self.share = share / share.sum()

    def draw(
        self, workloads: int, candidates: int, random: np.random.Generator, always: int | None = None
    ) -> ScheduleBatch:
        """Workloads with replacement, and as many candidates of each; one that is ``always`` drawn goes first."""
        chosen = random.choice(len(self.groups), workloads, p=self.share)
        if always is not None:
            chosen[0] = self.indices.index(always)
        rows = [
            random.choice(self.groups[index], candidates, replace=len(self.groups[index]) < candidates)
            for index in chosen
        ]
        return self.collate(np.concatenate(rows), len(chosen))

    def collate(self, rows: NDArray[np.int64], workloads: int) -> ScheduleBatch:
        """Rows of as many candidates of each workload, one workload after the other, padded."""
        tokens = self.measured.tokens
        counts = tokens.counts[rows]
        longest = int(counts.max())
        mask = np.arange(longest) < counts[:, None]
        places = np.where(mask, self.starts[rows][:, None] + np.arange(longest), 0)
        values = tokens.values[places] * mask[..., None]
        return ScheduleBatch(
            torch.from_numpy(values),
            torch.from_numpy(mask),
            torch.from_numpy(tokens.context[rows]),
            torch.from_numpy(self.target[rows].astype(np.float32)).view(workloads, -1),
        )
