"""Training of the ``default`` NAR-Former: crops of networks, weights averaged over time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tvm_narcost.errors import TrainingError
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.models.narformer_config import NarFormerConfig
from tvm_narcost.tokens import default
from tvm_narcost.training.examples import Example
from tvm_narcost.training.losses import kernel_loss
from tvm_narcost.training.optimization import Optimization

__all__ = ["DEFAULT_CONFIG", "PLAN_SETTINGS", "TrainingSettings", "have_several_plans", "settings_for", "train_network"]

_SEVERAL_PLANS = 2.0  # a network: from here on they were measured to be compared

DEFAULT_CONFIG = NarFormerConfig(
    output="kernels", token_width=default.WIDTH, model_width=128, heads=4, encoder_blocks=2, dropout=0.1,
    topology_width=default.TOPOLOGY_WIDTH, topology="none", pooling="mean",
)  # fmt: skip
"""Position codes are left out and the tokens' mean stands for the network: see the ablations in docs/benchmarks.md."""


@dataclass(frozen=True)
class TrainingSettings:
    """How the default NAR-Former is trained.

    Attributes:
        epochs: passes over the training networks.
        batch: networks a step.
        crop: most kernels of a network that one step sees, a random run of neighbours; kernels carry labels of their
            own, so a part of a network is an example too.
        learning_rate: peak; 5 % warm-up, then cosine decay to a hundredth.
        averaging: decay of the exponential moving average of the weights, which is what is kept.
        token_weight: of the kernels' loss against the networks'.
        ranking_weight: of the sequence-ranking loss against the networks'.
        difference_weight: of the errors of ratios between plans of one network, against the networks'.
        plans_together: plans of one network that go into one step, where networks have several.
    """

    epochs: int = 10
    batch: int = 24
    crop: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    averaging: float = 0.995
    token_weight: float = 1.0
    ranking_weight: float = 0.0
    difference_weight: float = 0.0
    plans_together: int = 1


PLAN_SETTINGS = TrainingSettings(epochs=25, crop=256, difference_weight=2.0, plans_together=4)
"""For networks that were measured under several plans: ratios between them count, and crops have whole networks."""


def have_several_plans(examples: Sequence[Example]) -> bool:
    """Whether networks were measured under several plans each, to compare these."""
    networks = {example.network for example in examples}
    return len(examples) > _SEVERAL_PLANS * len(networks)


def settings_for(examples: Sequence[Example]) -> TrainingSettings:
    """The settings that suit what was measured: one plan a network, or several."""
    return PLAN_SETTINGS if have_several_plans(examples) else TrainingSettings()


@dataclass(frozen=True)
class _Batch:
    tokens: Tensor  # [B, T, width]
    mask: Tensor  # [B, T]
    yardstick_us: Tensor  # [B, T]
    kernels_us: Tensor  # [B, T]
    networks: Tensor  # [B], negative where the crop left something out


def train_network(
    examples: Sequence[Example],
    settings: TrainingSettings,
    seed: int,
    *,
    config: NarFormerConfig = DEFAULT_CONFIG,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> NarFormer:
    """Train one network; the same examples, settings and seed give the same weights.

    Raises:
        TrainingError: no examples.
    """
    if not examples:
        raise TrainingError("training: got no networks, expected measured ones; run `narcost profile` first")
    torch.manual_seed(seed)
    network = NarFormer(config)
    network.standardise(torch.from_numpy(np.concatenate([example.tokens for example in examples])))
    optimization = Optimization(
        network,
        settings.epochs * -(-len(examples) // settings.batch),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        averaging=settings.averaging,
    )
    random = np.random.default_rng(seed)
    network_of = _networks(examples)
    network.train()
    for epoch in range(settings.epochs):
        losses = []
        for batch in _epoch(examples, network_of, settings, random):
            logs = network(batch.tokens, batch.mask)
            loss = kernel_loss(
                logs, batch.yardstick_us, batch.kernels_us, batch.mask, settings.token_weight, settings.ranking_weight,
                batch.networks, settings.difference_weight,
            )  # fmt: skip
            losses.append(optimization.step(loss))
        progress(epoch, float(np.mean(losses)))
    return optimization.averaged()


def _networks(examples: Sequence[Example]) -> NDArray[np.intp]:
    """A number for each network; plans of one have the same."""
    number: dict[tuple[str, str], int] = {}
    return np.array([number.setdefault(example.network, len(number)) for example in examples], np.intp)


def _epoch(
    examples: Sequence[Example], network_of: NDArray[np.intp], settings: TrainingSettings, random: np.random.Generator
) -> Iterator[_Batch]:
    """Batches of crops; networks of like length go together so that little is padded, plans of one as they should."""
    crops = [_crop(len(example.tokens), settings.crop, random) for example in examples]
    length = np.array([stop - start for start, stop in crops])
    groups = _groups(network_of, settings.plans_together, random)
    order = np.argsort(np.array([length[group].mean() for group in groups]) + random.uniform(0, 8, len(groups)))
    places = np.concatenate([groups[position] for position in order])
    batches = [places[first : first + settings.batch] for first in range(0, len(places), settings.batch)]
    for position in random.permutation(len(batches)):
        yield _collate([(examples[index], *crops[index]) for index in batches[position]], network_of[batches[position]])


def _groups(network_of: NDArray[np.intp], together: int, random: np.random.Generator) -> list[NDArray[np.intp]]:
    """Places of the examples, up to ``together`` of one network in a group."""
    if together == 1:
        return list(np.arange(len(network_of))[:, None])
    shuffled = random.permutation(len(network_of))
    by_network = shuffled[np.argsort(network_of[shuffled], kind="stable")]
    starts = np.flatnonzero(np.diff(network_of[by_network])) + 1
    return [
        own[first : first + together] for own in np.split(by_network, starts) for first in range(0, len(own), together)
    ]


def _crop(kernels: int, most: int, random: np.random.Generator) -> tuple[int, int]:
    if kernels <= most:
        return 0, kernels
    start = int(random.integers(0, kernels - most + 1))
    return start, start + most


def _collate(crops: Sequence[tuple[Example, int, int]], network_of: NDArray[np.intp]) -> _Batch:
    longest = max(stop - start for _, start, stop in crops)
    shape = (len(crops), longest)
    tokens = np.zeros((*shape, crops[0][0].tokens.shape[1]), np.float32)
    mask = np.zeros(shape, np.bool_)
    yardstick_us, kernels_us = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    for row, (example, start, stop) in enumerate(crops):
        size = stop - start
        tokens[row, :size] = example.tokens[start:stop]
        mask[row, :size] = True
        yardstick_us[row, :size] = example.yardstick_us[start:stop]
        kernels_us[row, :size] = np.maximum(example.kernels_us[start:stop], 1e-3)
    is_whole = [stop - start == len(example.tokens) for example, start, stop in crops]
    networks = np.where(is_whole, network_of, -1)
    return _Batch(*(torch.from_numpy(array) for array in (tokens, mask, yardstick_us, kernels_us, networks)))
