"""Training of the graph networks (NNLP, NAR-Former V2, NN-Former): one protocol for all three."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from tvm_narcost.errors import TrainingError
from tvm_narcost.models.graph_network import GraphLatency, GraphNetwork, collate_graphs
from tvm_narcost.tokens.graph_features import GraphFeatures

__all__ = ["GraphSettings", "train_graph_network"]


@dataclass(frozen=True)
class GraphSettings:
    """How the graph networks are trained.

    Adam, batch, learning rate and schedule are those of the released NAR-Former V2 and NN-Former; NNLP's differ only
    in that it has no schedule. All train 50 epochs on 18,000 networks.

    Attributes:
        epochs: passes over the training networks.
        batch: networks a step.
        learning_rate: peak; linear up over the first ``warm_up`` of the steps, then linear down to nothing.
        warm_up: share of the steps.
    """

    epochs: int = 8
    batch: int = 16
    learning_rate: float = 1e-3
    warm_up: float = 0.1


def train_graph_network(
    build: Callable[[], GraphNetwork],
    train: Sequence[tuple[GraphFeatures, float]],
    validation: Sequence[tuple[GraphFeatures, float]],
    settings: GraphSettings,
    seed: int,
    *,
    progress: Callable[[int, float], None] = lambda epoch, mape: None,
) -> GraphLatency:
    """Train on (features, latency in milliseconds); keep the epoch that is best on ``validation``.

    ``validation`` comes from the training families. (The released programs pick the best epoch on the test family.)

    Args:
        build: makes the network, its weights drawn from torch's generator, which is seeded before.
        train: to learn from.
        validation: to choose the epoch by.
        settings: the protocol.
        seed: the same data, settings and seed give the same weights.
        progress: told each epoch and its mean absolute percentage error on ``validation``, percent.

    Raises:
        TrainingError: no networks to train or to validate on.
    """
    if not train or not validation:
        raise TrainingError(f"training: got {len(train)} networks and {len(validation)} to validate, expected some")
    torch.manual_seed(seed)
    network = build()
    network.head.start_at(
        torch.from_numpy(np.stack([features.static for features, _ in train])),
        torch.tensor([latency_ms for _, latency_ms in train]).log(),
    )
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    steps = settings.epochs * -(-len(train) // settings.batch)

    def rate(step: int) -> float:
        return min((step + 1) / (settings.warm_up * steps + 1), (steps - step) / ((1 - settings.warm_up) * steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    random = np.random.default_rng(seed)
    best = (float("inf"), network.state_dict())
    for epoch in range(settings.epochs):
        network.train()
        for chosen in _batches(train, settings.batch, random):
            predicted = network(collate_graphs([features for features, _ in chosen]))  # [B]
            measured = torch.tensor([latency_ms for _, latency_ms in chosen]).log()
            optimizer.zero_grad()
            F.mse_loss(predicted, measured).backward()
            optimizer.step()
            schedule.step()
        error = _mape(GraphLatency(network.eval()), validation)
        if error < best[0]:
            best = (error, copy.deepcopy(network.state_dict()))
        progress(epoch, error)
    network.load_state_dict(best[1])
    return GraphLatency(network.eval())


def _batches(
    train: Sequence[tuple[GraphFeatures, float]], batch: int, random: np.random.Generator
) -> Iterator[list[tuple[GraphFeatures, float]]]:
    order = random.permutation(len(train))
    for first in range(0, len(order), batch):
        yield [train[index] for index in order[first : first + batch]]


def _mape(model: GraphLatency, examples: Sequence[tuple[GraphFeatures, float]]) -> float:
    """Mean absolute percentage error, percent."""
    measured = np.array([latency_ms for _, latency_ms in examples])
    predicted = np.array(model.latencies_ms([features for features, _ in examples]))
    return float(np.mean(np.abs(predicted - measured) / measured) * 100)
