"""Active collection: which networks to measure next, by where an ensemble's members disagree.

Query by committee (Seung et al., 1992) finds what the members do not know. What they know least is odd, though, and
measuring it teaches little about anything else. So a network is picked for how much of the doubt of all candidates it
settles, its own and that of kernels like its own, beyond what earlier picks do: facility location (Wei et al., 2015).
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.errors import TrainingError
from tvm_narcost.models.estimate import Encoded
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.training_kernels import own_columns, whitening
from tvm_narcost.zoo import CORPUS_FAMILIES

__all__ = ["REACH", "Doubt", "Pick", "family_weights", "member_doubt", "pick_networks"]

REACH = 1.0
"""Distance at which a measured kernel settles a third of another's doubt, in deviations of an operator's kernels."""

_ROUNDING = 10  # kernels whose columns agree to a tenth of a unit count as one


@dataclass(frozen=True)
class Doubt:
    """How much the members disagree on one network.

    Attributes:
        kernels: share of each kernel in the predicted time, times the deviation of the members' logarithms of its
            time, [kernels].
    """

    kernels: NDArray[np.float64]

    @property
    def share(self) -> float:
        """Of the network's latency: 0.1 where members are apart by a tenth of it, errors of kernels not cancelling."""
        return float(self.kernels.sum())


@dataclass(frozen=True, slots=True)
class Pick:
    """One network to measure.

    Attributes:
        index: of the candidate.
        doubt: its :attr:`Doubt.share`.
        settled: how much of the doubt of all candidates it settles, in the sum over their shares, beyond what the picks
            before it do.
    """

    index: int
    doubt: float
    settled: float


def member_doubt(ensemble: KernelEnsemble, network: Encoded) -> Doubt:
    """Ask the members.

    Raises:
        TrainingError: there is one member only, which cannot disagree.
    """
    if ensemble.members < 2:
        raise TrainingError(
            "ensemble: got one member, expected two or more that can disagree; train again, with trees or --members 2"
        )
    logs = ensemble.member_logs([network.tokens])[0]
    kernels_us = network.yardstick_us * np.exp(logs.mean(axis=0))
    return Doubt(logs.std(axis=0) * kernels_us / kernels_us.sum() if len(kernels_us) else np.zeros(0))


def pick_networks(
    candidates: Sequence[Encoded],
    doubts: Sequence[Doubt],
    count: int,
    *,
    weights: Sequence[float] | None = None,
    reach: float = REACH,
) -> list[Pick]:
    """Pick up to ``count`` networks, each the one that settles the most doubt beyond what the picks before it do.

    There is no chance in it, and fewer picks are the first of more. A kernel at distance d from the nearest kernel of a
    pick is settled to exp(-(d / reach)^2); distance is Mahalanobis' among kernels of one operator. What a candidate
    settles only shrinks from pick to pick, so one whose former value is below another's present one need not be looked
    at (lazy greedy; Minoux, 1978).

    Args:
        candidates: what to pick from.
        doubts: of each candidate.
        count: how many; fewer where there are not so many candidates.
        weights: how much each candidate's doubt matters; alike by default. One of weight 0 may be picked all the same,
            for the others' sake.
        reach: see above.
    """
    if not candidates:
        return []
    kernels, members = _distinct_kernels(candidates, doubts, weights or [1.0] * len(candidates), reach)
    heap = [(-np.inf, index) for index in range(len(candidates))]
    picks: list[Pick] = []
    while heap and len(picks) < count:
        _, index = heapq.heappop(heap)
        settled = sum(kernels[name].gain(rows) for name, rows in members[index].items())
        if heap and (-settled, index) > heap[0]:
            heapq.heappush(heap, (-settled, index))
            continue
        picks.append(Pick(index, doubts[index].share, settled))
        for name, rows in members[index].items():
            kernels[name].settle(rows)
    return picks


def family_weights(families: Sequence[str]) -> list[float]:
    """How much the doubt about a network of each family matters: 0 for the kernel corpus, unless there is nothing else.

    Nobody asks how long a network of random kernels takes, and the members are always in doubt about it.
    """
    asked = [family not in CORPUS_FAMILIES for family in families]
    return [float(is_asked or not any(asked)) for is_asked in asked]


class _Kernels:
    """The distinct kernels of one operator in all candidates, and how far each is settled by the picks so far."""

    def __init__(self, columns: NDArray[np.float32], doubt: NDArray[np.float64], reach: float) -> None:
        """``columns`` [kernels, columns] and ``doubt`` [kernels] have every kernel of every candidate."""
        rounded = np.round(_ROUNDING * columns).astype(np.int16)
        _, first, kind = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
        self.kind = kind.reshape(-1)  # of each of them, its distinct kernel
        own: NDArray[np.float64] = columns[first].astype(np.float64)
        self._points = ((own - own.mean(axis=0)) @ whitening(own) / reach).astype(np.float32)
        self._squares = np.einsum("ij,ij->i", self._points, self._points)
        self._doubt = np.bincount(self.kind, doubt).astype(np.float32)
        self._settled = np.zeros(len(own), np.float32)

    def gain(self, rows: NDArray[np.intp]) -> float:
        """How much more doubt measuring the kernels ``rows`` would settle."""
        return float(self._doubt @ np.maximum(self._by(rows) - self._settled, 0.0))

    def settle(self, rows: NDArray[np.intp]) -> None:
        """Count the kernels ``rows`` as measured."""
        np.maximum(self._settled, self._by(rows), out=self._settled)

    def _by(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """How far the kernels ``rows`` settle each of all, [kernels]."""
        points = self._points[rows]
        square = self._squares[None] - 2 * points @ self._points.T + self._squares[rows][:, None]
        nearest: NDArray[np.float32] = np.exp(-np.maximum(square.min(axis=0), 0.0))
        return nearest


def _distinct_kernels(
    candidates: Sequence[Encoded], doubts: Sequence[Doubt], weights: Sequence[float], reach: float
) -> tuple[dict[str, _Kernels], list[dict[str, NDArray[np.intp]]]]:
    """The kernels by operator, and of each candidate which of them it has."""
    names = np.array([name for network in candidates for name in network.operators])
    owner = np.repeat(np.arange(len(candidates)), [len(network.operators) for network in candidates])
    columns = np.concatenate([own_columns(network.tokens) for network in candidates])
    doubt = np.concatenate([weight * doubt.kernels for weight, doubt in zip(weights, doubts, strict=True)])
    kernels: dict[str, _Kernels] = {}
    members: list[dict[str, NDArray[np.intp]]] = [{} for _ in candidates]
    for name in sorted(set(names.tolist())):
        rows = np.flatnonzero(names == name)
        kernels[name] = _Kernels(columns[rows], doubt[rows], reach)
        for index in np.unique(owner[rows]).tolist():
            members[index][name] = np.unique(kernels[name].kind[owner[rows] == index])
    return kernels, members
