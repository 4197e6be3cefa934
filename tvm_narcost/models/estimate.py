"""Estimate: what an ensemble says of one encoded network, with the signs of how far to trust it.

Prediction and calibration both go through here, so that an interval is calibrated on what it is later given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.models.interval import ErrorSigns, error_signs
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.training_kernels import TrainingKernels

__all__ = ["FAR_SHARE", "Encoded", "Estimate", "estimate_networks", "far_kernels", "is_out_of_distribution"]

FAR_SHARE = 0.05
"""A network with more of its predicted time than this in kernels unlike those in training is flagged."""


class Encoded(Protocol):
    """A network as the models see it; ``tokens.encoded.EncodedPlan`` and ``training.examples.Example`` are."""

    @property
    def operators(self) -> tuple[str, ...]:
        """Of each kernel."""
        ...

    @property
    def tokens(self) -> NDArray[np.float32]:
        """Schema ``default``, [kernels, default.WIDTH]."""
        ...

    @property
    def roofline_us(self) -> NDArray[np.float64]:
        """The bound, [kernels]."""
        ...

    @property
    def yardstick_us(self) -> NDArray[np.float64]:
        """What the learned times are a multiple of, [kernels]."""
        ...


@dataclass(frozen=True)
class Estimate:
    """One network, predicted.

    Attributes:
        kernels_us: predicted time of each kernel, microseconds, [kernels].
        distance: of each kernel from those in training, see :meth:`TrainingKernels.distance`, [kernels].
        signs: of how large the error may be.
    """

    kernels_us: NDArray[np.float64]
    distance: NDArray[np.float64]
    signs: ErrorSigns

    @property
    def far(self) -> NDArray[np.bool_]:
        """Which kernels are unlike those in training, [kernels]."""
        return far_kernels(self.distance)

    @property
    def out_of_distribution(self) -> bool:
        """An operator is unknown, or too much of the time lies in kernels unlike those in training."""
        return is_out_of_distribution(self.distance, self.signs.far_share)


def far_kernels(distance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which kernels are unlike those in training, by their distance from them, [kernels]."""
    far: NDArray[np.bool_] = distance > 1.0
    return far


def is_out_of_distribution(distance: NDArray[np.float64], far_share: float) -> bool:
    """Whether a network is flagged, by its kernels' distance and the share of its time in far ones."""
    return bool(np.isinf(distance).any()) or far_share > FAR_SHARE


def estimate_networks(
    ensemble: KernelEnsemble, training_kernels: TrainingKernels, networks: Sequence[Encoded]
) -> list[Estimate]:
    """Predict networks, those of like length together; all kernels are compared with those in training at once."""
    if not networks:
        return []
    tokens = [network.tokens for network in networks]
    operators = [operator for network in networks for operator in network.operators]
    distances = np.split(
        training_kernels.distance(operators, np.concatenate(tokens)), np.cumsum([len(own) for own in tokens])[:-1]
    )
    estimates = []
    for network, logs, distance in zip(networks, ensemble.member_logs(tokens), distances, strict=True):
        kernels_us = network.yardstick_us * np.exp(logs.mean(axis=0))
        signs = error_signs(kernels_us, network.roofline_us, logs, far_kernels(distance))
        estimates.append(Estimate(kernels_us, distance, signs))
    return estimates
