"""One thread, and one trained network that several tests look at."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch

from tests.training.analytic import FAMILIES, examples
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.training.examples import Example
from tvm_narcost.training.loop import DEFAULT_CONFIG, TrainingSettings, train_network

UNSEEN = "mixed"


@dataclass(frozen=True)
class Trained:
    """A network with the mean loss of each epoch, what it was trained on, and a family that it never met."""

    network: NarFormer
    losses: tuple[float, ...]
    seen: tuple[Example, ...]
    unseen: tuple[Example, ...]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def trained() -> Trained:
    """A few seconds of training on networks whose times follow a formula."""
    seen = examples([family for family in FAMILIES if family != UNSEEN], 10)
    config = dataclasses.replace(DEFAULT_CONFIG, model_width=32, heads=2, encoder_blocks=1, dropout=0.0)
    settings = dataclasses.replace(TrainingSettings(), epochs=25, batch=8, learning_rate=3e-3, averaging=0.9)
    losses: list[float] = []
    network = train_network(seen, settings, 0, config=config, progress=lambda epoch, loss: losses.append(loss))
    return Trained(network, tuple(losses), tuple(seen), tuple(examples([UNSEEN], 10)))
