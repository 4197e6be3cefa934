"""Active collection: which networks to measure next, by where an ensemble's members disagree.

Query by committee (Seung et al., 1992) with batches in mind: networks are picked one after another, and a kernel like
one of an earlier pick counts for less. Otherwise a batch would be many copies of the one kind that is least known.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.training_kernels import own_columns, whitening
from tvm_narcost.tokens.default import encode_kernels
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.roofline import roofline

__all__ = [
    "REACH", "Candidate", "Doubt", "EncodedNetwork", "Pick", "encode_candidate", "member_doubt", "pick_networks",
]  # fmt: skip

REACH = 1.0
"""Distance at which a kernel keeps two thirds of its doubt, in deviations of the candidates' kernels of an operator."""

_ROUNDING = 10  # kernels whose columns agree to a tenth of a unit count as one


class EncodedNetwork(Protocol):
    """A network as the members see it; :class:`Candidate` is one, and so is ``training.examples.Example``."""

    @property
    def operators(self) -> tuple[str, ...]:
        """Of each kernel."""
        ...

    @property
    def tokens(self) -> NDArray[np.float32]:
        """Schema ``default``, [kernels, default.WIDTH]."""
        ...

    @property
    def yardstick_us(self) -> NDArray[np.float64]:
        """What the learned times are a multiple of, [kernels]."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A network that might be measured, see :class:`EncodedNetwork`."""

    operators: tuple[str, ...]
    tokens: NDArray[np.float32]
    yardstick_us: NDArray[np.float64]


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
        fresh: how much of that the picks before it left.
    """

    index: int
    doubt: float
    fresh: float


def encode_candidate(plan: FusionPlan, profile: HardwareProfile) -> Candidate:
    """Encode a network by its plan; a few milliseconds."""
    facts = kernel_facts(plan)
    tokens = encode_kernels(facts, profile).values
    return Candidate(facts.ops, tokens, roofline(facts, profile).yardstick_us)


def member_doubt(ensemble: KernelEnsemble, network: EncodedNetwork) -> Doubt:
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
    candidates: Sequence[EncodedNetwork], doubts: Sequence[Doubt], count: int, *, reach: float = REACH
) -> list[Pick]:
    """Pick up to ``count`` networks, each the one of most doubt that the picks before it leave.

    There is no chance in it, and fewer picks are the first of more. A kernel at distance d from the nearest kernel of
    a pick keeps 1 - exp(-(d / reach)^2) of its doubt; distance is Mahalanobis' among kernels of one operator. So doubt
    only shrinks, and a candidate whose former value is below another's present one need not be looked at (lazy
    greedy; Minoux, 1978).

    Args:
        candidates: what to pick from.
        doubts: of each candidate.
        count: how many; fewer where there are not so many candidates.
        reach: see above; 0 for picks that do not look at each other.
    """
    distinct = [_distinct_kernels(*pair) for pair in zip(candidates, doubts, strict=True)]
    spaces = _fit_spaces(distinct)
    states = [_State(kernels, spaces) for kernels in distinct]
    heap = [(-doubt.share, index) for index, doubt in enumerate(doubts)]
    heapq.heapify(heap)
    picks: list[Pick] = []
    while heap and len(picks) < count:
        _, index = heapq.heappop(heap)
        fresh = states[index].fresh([states[pick.index] for pick in picks], reach)
        if heap and (-fresh, index) > heap[0]:
            heapq.heappush(heap, (-fresh, index))
        else:
            picks.append(Pick(index, doubts[index].share, fresh))
    return picks


_Kernels = dict[str, tuple[NDArray[np.float32], NDArray[np.float64]]]
"""Distinct kernels of a network by operator: [kernels, columns], and the doubt of each with its repeats, [kernels]."""

_Space = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Centre and transform into coordinates where Mahalanobis' distance among kernels of an operator is Euclid's."""


class _State:
    """A candidate's kernels, and how near to each the picks come that it was compared with."""

    def __init__(self, kernels: _Kernels, spaces: Mapping[str, _Space]) -> None:
        self.points = {name: (columns - spaces[name][0]) @ spaces[name][1] for name, (columns, _) in kernels.items()}
        self._doubt = {name: doubt for name, (_, doubt) in kernels.items()}
        self._square = {name: np.full(len(doubt), np.inf, np.float32) for name, doubt in self._doubt.items()}
        self._compared = 0

    def fresh(self, picks: Sequence["_State"], reach: float) -> float:
        """The doubt that ``picks`` leave; they are those of the last call and others after them."""
        if reach == 0:
            return float(sum(doubt.sum() for doubt in self._doubt.values()))
        for pick in picks[self._compared :]:
            for name in self.points.keys() & pick.points.keys():
                apart = self.points[name][:, None] - pick.points[name][None]
                nearest = np.einsum("ijk,ijk->ij", apart, apart).min(axis=1)
                np.minimum(self._square[name], nearest, out=self._square[name])
        self._compared = len(picks)
        return float(sum(doubt @ -np.expm1(-self._square[name] / reach**2) for name, doubt in self._doubt.items()))


def _distinct_kernels(network: EncodedNetwork, doubt: Doubt) -> _Kernels:
    columns, names = own_columns(network.tokens), np.array(network.operators)
    found: _Kernels = {}
    for name in sorted(set(network.operators)):
        rows = np.flatnonzero(names == name)
        rounded = np.round(_ROUNDING * columns[rows]).astype(np.int16)
        _, first, kind = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
        found[name] = columns[rows[first]], np.bincount(kind.ravel(), doubt.kernels[rows]).astype(np.float64)
    return found


def _fit_spaces(networks: Sequence[_Kernels]) -> dict[str, _Space]:
    columns: dict[str, list[NDArray[np.float32]]] = {}
    for kernels in networks:
        for name, (values, _) in kernels.items():
            columns.setdefault(name, []).append(values)
    spaces = {}
    for name, parts in columns.items():
        own: NDArray[np.float64] = np.concatenate(parts).astype(np.float64)
        spaces[name] = own.mean(axis=0).astype(np.float32), whitening(own).astype(np.float32)
    return spaces
