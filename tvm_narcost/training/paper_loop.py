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
        log_target: learn the logarithm of the milliseconds. The paper learns milliseconds; on networks from 0.1 to 200
            of them and in so few steps that ends where it began, with predictions near zero.
        ranking_weight: lambda 1 of the paper; the consistency loss needs augmented data and is off, as in section 4.6.
    """

    epochs: int = 100
    steps: int = 40
    budget_s: float = 180.0
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    averaging: float = 0.99
    log_target: bool = True
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
        error = _mape(NarFormerPaper(average, settings.log_target), validation)
        if error < best[0]:
            best = (error, copy.deepcopy(average))
    return NarFormerPaper(best[1], settings.log_target)


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
        measured = torch.tensor([latency_ms for _, latency_ms in chosen])
        measured = measured.log() if settings.log_target else measured
        predicted = network(batch.tokens, batch.mask, batch.depth_code, batch.static)
        optimizer.zero_grad()
        paper_loss(predicted, measured, settings.ranking_weight).backward()
        optimizer.step()
        with torch.no_grad():
            for kept, current in zip(average.parameters(), network.parameters(), strict=True):
                kept.lerp_(current, 1 - settings.averaging)


def _mape(model: NarFormerPaper, examples: Sequence[tuple[PaperTokens, float]]) -> float:
    errors = [abs(model.latency_ms(tokens) - latency_ms) / latency_ms for tokens, latency_ms in examples]
    return float(np.mean(errors))
