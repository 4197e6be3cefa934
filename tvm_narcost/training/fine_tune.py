"""Fine-tuning of a ScheduleRanker while its own choices are measured."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tvm_narcost.models.schedule_ranker import ScheduleRanker
from tvm_narcost.tokens.store_tokens import StoreTokens
from tvm_narcost.training.schedules import MeasuredSchedules, RankerSettings, ScheduleGroups, schedule_loss

__all__ = ["FineTuneSettings", "MeasuredSoFar"]


@dataclass(frozen=True)
class FineTuneSettings:
    """How a ranker learns from a measured round.

    Steps are counted and a step sees at most ``workloads * candidates`` candidates, so an update takes a bounded time
    and the same rounds give the same weights; a limit in seconds would give the one without the other.

    Attributes:
        steps: of an update to a pretrained ranker.
        scratch_steps: of an update to one that no data had been shown to before.
        workloads: of a step, the one just measured always among them.
        candidates: of each of them in a step.
        learning_rate: of a pretrained ranker. scratch_learning_rate: of one from scratch.
    """

    steps: int = 30
    scratch_steps: int = 60
    workloads: int = 2
    candidates: int = 32
    learning_rate: float = 5e-4
    scratch_learning_rate: float = 2e-3


class MeasuredSoFar:
    """What a tuning has measured, by workload."""

    def __init__(self) -> None:
        self._tokens: list[StoreTokens] = []
        self._latency_us: list[NDArray[np.float64]] = []
        self._workload: list[NDArray[np.int64]] = []
        self._keys: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._latency_us))

    def add(self, key: str, tokens: StoreTokens, latency_us: NDArray[np.float64]) -> None:
        """Add a round of one workload; latencies in microseconds, infinite where the measurement failed."""
        index = self._keys.setdefault(key, len(self._keys))
        self._tokens.append(tokens)
        self._latency_us.append(latency_us)
        self._workload.append(np.full(len(latency_us), index, np.int64))

    def learn(
        self, ranker: ScheduleRanker, settings: FineTuneSettings, seed: int, *, pretrained: bool
    ) -> ScheduleRanker:
        """A ranker that has seen the rounds so far, the last one's workload first; ``ranker`` stays as it is.

        Of a workload with one candidate nothing is learned, for there is nothing to compare.
        """
        measured = self._all()
        latest = int(self._workload[-1][-1])
        if (measured.workload == latest).sum() < 2:
            return ranker
        first = not pretrained and bool((ranker.scale == 1).all())
        ranker = copy.deepcopy(ranker)
        if first:
            tokens = measured.tokens  # of one workload so far: the next ones differ where this one is constant
            ranker.standardise(torch.from_numpy(tokens.values), torch.from_numpy(tokens.context), constant_scale=1.0)
        groups = ScheduleGroups(measured)
        random = np.random.default_rng([seed, len(self._tokens)])
        rate = settings.learning_rate if pretrained else settings.scratch_learning_rate
        optimizer = torch.optim.AdamW(ranker.parameters(), rate, weight_decay=0.01, fused=True)
        ranker.eval()  # no dropout: few candidates are shown often, and the same ones must give the same weights
        steps = settings.steps if pretrained else settings.scratch_steps
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * (1 - step / steps)
            batch = groups.draw(settings.workloads, settings.candidates, random, always=latest)
            loss = schedule_loss(
                ranker(batch.tokens, batch.mask, batch.context).view_as(batch.target), batch.target, RankerSettings()
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(ranker.parameters(), 1.0)
            optimizer.step()
        return ranker

    def _all(self) -> MeasuredSchedules:
        tokens = StoreTokens(
            np.concatenate([part.values for part in self._tokens]),
            np.concatenate([part.context for part in self._tokens]),
            np.concatenate([part.counts for part in self._tokens]),
        )
        return MeasuredSchedules(
            tokens, np.concatenate(self._latency_us), np.concatenate(self._workload), tuple(self._keys)
        )
