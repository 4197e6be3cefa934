"""Training of the ``paper`` NAR-Former: whole networks, the paper's tokens and losses."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from relay_frontend.graph import OpGraph
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.models.narformer_config import NarFormerConfig
from tvm_narcost.models.narformer_paper import PAPER_NARROW_CONFIG, NarFormerPaper, collate_paper
from tvm_narcost.tokens.paper import encode_graph
from tvm_narcost.training.losses import paper_loss

__all__ = ["PaperSettings", "train_paper_network"]


@dataclass(frozen=True)
class PaperSettings:
    """How the paper's model is trained: about six minutes of one core on networks of 200 operators.

    Its tokens are codes without a notion of near and far, so that what counts is how many steps are taken: small
    batches, a narrow trunk and a high rate bring far more than large batches of a wide one in the same time.

    Attributes:
        looks: at the validation networks, ``steps`` batches before each.
        learning_rate: peak; 10 % warm-up, then linear decay. The paper's is 1e-4, for many more steps than these.
        gradient_norm: gradients are cut to this, which is what the high rate needs.
        averaging: decay of the exponential moving average of the weights; less in the first steps.
        log_target: learn the logarithm of the milliseconds. The paper learns milliseconds; on networks from 0.01 to 240
            of them and in so few steps that ends where it began, with predictions near zero.
        ranking_weight: lambda 1 of the paper; the consistency loss needs augmented data and is off, as in section 4.6.
    """

    looks: int = 15
    steps: int = 280
    batch: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    gradient_norm: float = 1.0
    averaging: float = 0.99
    log_target: bool = True
    ranking_weight: float = 0.1


def train_paper_network(
    train: Sequence[tuple[OpGraph, float]],
    validation: Sequence[tuple[OpGraph, float]],
    settings: PaperSettings,
    seed: int,
    *,
    config: NarFormerConfig = PAPER_NARROW_CONFIG,
) -> NarFormerPaper:
    """Train on (graph, latency in milliseconds); keep the look that is best on ``validation``.

    ``validation`` comes from the training families. (The released program picks the best epoch on the test family.)
    Graphs are encoded batch by batch: the tokens of a few thousand networks are gigabytes.

    Raises:
        TrainingError: no networks to train or to validate on.
    """
    if not train or not validation:
        raise TrainingError(f"training: got {len(train)} networks and {len(validation)} to validate, expected some")
    torch.manual_seed(seed)
    network = NarFormer(config)
    measured = _target([latency_ms for _, latency_ms in train], settings)
    nn.init.constant_(cast(nn.Linear, network.head[-1]).bias, float(measured.mean()))
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    batches, total, best = _Batches(train, settings, seed), settings.looks * settings.steps, (float("inf"), average)
    for step in range(total):
        progress = step / total
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, progress / 0.1 + 1 / total) * (1.0 - progress)
        _step(network, optimizer, batches.draw(), settings)
        _average(average, network, min(settings.averaging, (1 + step) / (10 + step)))
        if (step + 1) % settings.steps == 0:
            error = _error(NarFormerPaper(average, settings.log_target), validation)
            if error < best[0]:
                best = (error, copy.deepcopy(average))
    return NarFormerPaper(best[1], settings.log_target)


class _Batches:
    """Batches of networks of like length, in random order; all are drawn before any is drawn again."""

    def __init__(self, train: Sequence[tuple[OpGraph, float]], settings: PaperSettings, seed: int) -> None:
        self._train, self._size = train, settings.batch
        self._random = np.random.default_rng(seed)
        self._left: list[list[int]] = []

    def draw(self) -> list[tuple[OpGraph, float]]:
        if not self._left:
            length = np.array([len(graph.nodes) for graph, _ in self._train])
            order = np.argsort(length + self._random.uniform(0, 4, len(length))).tolist()
            batches = [order[first : first + self._size] for first in range(0, len(order), self._size)]
            self._left = [batches[position] for position in self._random.permutation(len(batches))]
        return [self._train[index] for index in self._left.pop()]


def _target(latency_ms: Sequence[float], settings: PaperSettings) -> torch.Tensor:
    measured = torch.tensor(latency_ms)
    return measured.log() if settings.log_target else measured


def _step(
    network: NarFormer,
    optimizer: torch.optim.Optimizer,
    chosen: Sequence[tuple[OpGraph, float]],
    settings: PaperSettings,
) -> None:
    network.train()
    batch = collate_paper([encode_graph(graph) for graph, _ in chosen])
    predicted = network(batch.tokens, batch.mask, batch.depth_code, batch.static)
    measured = _target([latency_ms for _, latency_ms in chosen], settings)
    optimizer.zero_grad()
    paper_loss(predicted, measured, settings.ranking_weight).backward()
    nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_norm)
    optimizer.step()


@torch.no_grad()
def _average(average: NarFormer, network: NarFormer, decay: float) -> None:
    for kept, current in zip(average.parameters(), network.parameters(), strict=True):
        kept.lerp_(current, 1 - decay)


def _error(model: NarFormerPaper, examples: Sequence[tuple[OpGraph, float]]) -> float:
    """What is to be least on the validation networks.

    With logarithms their mean absolute error: the percentage error counts what is predicted too low at most as 100 %,
    so that by it a network that predicts about a millisecond for everything beats one that has begun to learn.
    """
    predicted = np.array([model.latency_ms(encode_graph(graph)) for graph, _ in examples])
    measured = np.array([latency_ms for _, latency_ms in examples])
    if model.log_target:
        return float(np.mean(np.abs(np.log(predicted / measured))))
    return float(np.mean(np.abs(predicted - measured) / measured))
