"""One way to optimise what narcost ships: AdamW, a warm-up and a cosine decay, and the weights averaged over time."""

from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

__all__ = ["Optimization"]

_Network = TypeVar("_Network", bound=nn.Module)

_GRADIENT_NORM = 1.0


class Optimization(Generic[_Network]):
    """Steps of one network, and the exponential moving average of its weights."""

    def __init__(
        self, network: _Network, steps: int, *, learning_rate: float, weight_decay: float, averaging: float
    ) -> None:
        """Prepare.

        Args:
            network: its weights are changed by each step.
            steps: how many there will be.
            learning_rate: peak; 5 % warm-up, then cosine decay to a hundredth.
            weight_decay: AdamW's.
            averaging: decay of the moving average.
        """
        self._network = network
        self._averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(averaging))
        self._optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=weight_decay, fused=True)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, learning_rate, total_steps=steps + 1, pct_start=0.05, final_div_factor=4.0
        )

    def step(self, loss: Tensor) -> float:
        """Go down the gradient of a loss; returns it."""
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), _GRADIENT_NORM)
        self._optimizer.step()
        self._schedule.step()
        self._averaged.update_parameters(self._network)
        return float(loss.detach())

    def averaged(self) -> _Network:
        """The network of averaged weights, for inference."""
        return cast(_Network, self._averaged.module).eval()
