"""Training of the ``paper`` NAR-Former: whole networks, raw milliseconds, the paper's losses."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tvm_narcost.errors import TrainingError
from tvm_narcost.models.narformer import NarFormer, NarFormerConfig
from tvm_narcost.models.narformer_paper import PAPER_NARROW_CONFIG, NarFormerPaper, collate_paper
from tvm_narcost.tokens.paper import PaperTokens
from tvm_narcost.training.losses import paper_loss

__all__ = ["PaperSettings", "train_paper_network"]


@dataclass(frozen=True)
class PaperSettings:
    """How the paper's model is trained.

    Attributes:
        epochs: looks at the validation networks, with at most ``steps`` batches before each.
        budget_s: training stops after this many seconds, or after ``epochs``.
        learning_rate: peak; 10 % warm-up, then linear decay. The paper's is 1e-4, for many more steps than these.
        averaging: decay of the exponential moving average of the weights.
        ranking_weight: lambda 1 of the paper; the consistency loss needs augmented data and is off, as in section 4.6.
    """

    epochs: int = 100
    steps: int = 40
    budget_s: float = 180.0
    batch: int = 16
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    averaging: float = 0.99
    ranking_weight: float = 0.1


def train_paper_network(
    train: Sequence[tuple[PaperTokens, float]],
    validation: Sequence[tuple[PaperTokens, float]],
    settings: PaperSettings,
    seed: int,
    *,
    config: NarFormerConfig = PAPER_NARROW_CONFIG,
) -> NarFormerPaper:
    """Train on (tokens, latency in milliseconds); keep the epoch that is best on ``validation``.

    ``validation`` comes from the training families. (The released program picks the best epoch on the test family.)

    Raises:
        TrainingError: no networks to train or to validate on.
    """
    if not train or not validation:
        raise TrainingError(f"training: got {len(train)} networks and {len(validation)} to validate, expected some")
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = NarFormer(config)
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    started, best = time.monotonic(), (float("inf"), average)
    for epoch in range(settings.epochs):
        progress = max(epoch / settings.epochs, (time.monotonic() - started) / settings.budget_s)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, progress / 0.1 + 0.05) * (1.0 - progress)
        _train_epoch(network, average, optimizer, train, settings, random)
        error = _mape(average, validation)
        if error < best[0]:
            best = (error, copy.deepcopy(average))
    return NarFormerPaper(best[1])


def _train_epoch(
    network: NarFormer,
    average: NarFormer,
    optimizer: torch.optim.Optimizer,
    train: Sequence[tuple[PaperTokens, float]],
    settings: PaperSettings,
    random: np.random.Generator,
) -> None:
    network.train()
    length = np.array([len(tokens.sequence.values) for tokens, _ in train])
    order = np.argsort(length + random.uniform(0, 4, len(length)))  # equal lengths share a batch
    batches = [order[first : first + settings.batch] for first in range(0, len(order), settings.batch)]
    for position in random.permutation(len(batches))[: settings.steps]:
        chosen = [train[index] for index in batches[position]]
        batch = collate_paper([tokens for tokens, _ in chosen])
        measured_ms = torch.tensor([latency_ms for _, latency_ms in chosen])
        predicted_ms = network(batch.tokens, batch.mask, batch.depth_code, batch.static)
        optimizer.zero_grad()
        paper_loss(predicted_ms, measured_ms, settings.ranking_weight).backward()
        optimizer.step()
        with torch.no_grad():
            for kept, current in zip(average.parameters(), network.parameters(), strict=True):
                kept.lerp_(current, 1 - settings.averaging)


def _mape(network: NarFormer, examples: Sequence[tuple[PaperTokens, float]]) -> float:
    model = NarFormerPaper(network)
    errors = [abs(model.latency_ms(tokens) - latency_ms) / latency_ms for tokens, latency_ms in examples]
    return float(np.mean(errors))
