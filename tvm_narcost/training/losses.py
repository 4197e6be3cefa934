"""Losses of the two NAR-Former configurations."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["kernel_loss", "paper_loss", "plan_differences", "sequence_ranking"]

_UNIFORM = 0.3  # weight of a kernel is this much of an equal share, the rest its share of the network's time
_BETA = 0.05  # below this error of a logarithm (5 %) the loss is quadratic


def kernel_loss(
    log_efficiency: Tensor,
    yardstick_us: Tensor,
    kernels_us: Tensor,
    mask: Tensor,
    token_weight: float,
    ranking_weight: float = 0.0,
    networks: Tensor | None = None,
    difference_weight: float = 0.0,
) -> Tensor:
    """Relative error of each network's sum and, weighted by share, of each kernel.

    Args:
        log_efficiency: predicted log(time / yardstick), [B, T].
        yardstick_us: [B, T]; 1 at padding.
        kernels_us: measured, [B, T]; 0 at padding.
        mask: [B, T], true where a kernel is.
        token_weight: of the kernels' term; the networks' term has weight 1.
        ranking_weight: of the sequence-ranking term over the logarithms of the networks' sums; see
            :func:`sequence_ranking`.
        networks: which network each row is a plan of, [B]; a negative number where a row has not all of its kernels.
        difference_weight: of the term of :func:`plan_differences`.
    """
    predicted_us = yardstick_us * log_efficiency.exp() * mask
    total_us = kernels_us.sum(dim=1)
    log_predicted, log_measured = predicted_us.sum(dim=1).log(), total_us.log()
    network = _smooth(log_predicted - log_measured).mean()
    if ranking_weight:
        network = network + ranking_weight * sequence_ranking(log_predicted, log_measured)
    if networks is not None and difference_weight:
        network = network + difference_weight * plan_differences(log_predicted, log_measured, networks)
    target = torch.log(kernels_us.clamp_min(0.05) / yardstick_us)
    weight = (1 - _UNIFORM) * kernels_us / total_us[:, None] + _UNIFORM * mask / mask.sum(dim=1, keepdim=True)
    token = (weight * _smooth(log_efficiency - target) * mask).sum(dim=1).mean()
    return network + token_weight * token


def plan_differences(log_predicted: Tensor, log_measured: Tensor, networks: Tensor) -> Tensor:
    """How far the ratios between plans of one network are off, in the mean over all pairs; 0 where there is none.

    Args:
        log_predicted: of each row's latency, [B].
        log_measured: [B].
        networks: as for :func:`kernel_loss`, [B].
    """
    is_pair = torch.triu((networks[:, None] == networks[None, :]) & (networks[:, None] >= 0), diagonal=1)  # [B, B]
    error = log_predicted - log_measured
    pairs = _smooth((error[:, None] - error[None, :])[is_pair])
    return pairs.mean() if len(pairs) else error.new_zeros(())


def _smooth(error: Tensor) -> Tensor:
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=_BETA, reduction="none")


def paper_loss(predicted: Tensor, measured: Tensor, ranking_weight: float) -> Tensor:
    """MSE plus the sequence-ranking loss (paper, equations 12 and 13; the absolute value as in the released code).

    Args:
        predicted: [B], milliseconds, or their logarithms.
        measured: [B], milliseconds, or their logarithms.
        ranking_weight: lambda 1, 0.1 in the paper.
    """
    return F.mse_loss(predicted, measured) + ranking_weight * sequence_ranking(predicted, measured)


def sequence_ranking(predicted: Tensor, measured: Tensor) -> Tensor:
    """How far differences between networks of a batch are off, paired at random (paper, equation 12); [B] each."""
    order = torch.randperm(len(predicted))
    return ((predicted[order] - predicted) - (measured[order] - measured)).abs().mean()
