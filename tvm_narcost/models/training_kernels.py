"""Training kernels: a few of the kernels in training that stand for all, and how far from them a kernel may lie.

Distance is Mahalanobis' among kernels of one operator (Lee et al., NeurIPS 2018, with a covariance an operator): in the
columns of the ``default`` token that say what a kernel itself computes and moves, not what runs around it. The
kernels kept are k-centres (Gonzalez, 1985), so that no kernel of training is far from all of them, the odd ones least.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.models.session import product
from tvm_narcost.tokens import default, facts

__all__ = ["COLUMNS", "TrainingKernels", "extend_training_kernels", "fit_training_kernels"]

_AROUND = frozenset(
    {"inputs", "outputs", "consumers", "input_age_kernels", "input_age_bytes", "oldest_age_kernels",
     "oldest_age_bytes", "from_graph_input"}
)  # fmt: skip
COLUMNS = tuple(name for name in default.QUANTITIES if name in facts.COLUMNS and name not in _AROUND)
"""Quantities of a token that distance is taken in; those that it derives from them would count them twice."""

_HEAD = len(default.OPERATORS) + len(default.CATEGORIES) + len(default.ACTIVATIONS)
_PLACES = [_HEAD + default.QUANTITIES.index(name) for name in COLUMNS]
_RIDGE = 0.25  # deviation that each column is given besides its own: a column that never varied counts in quarters of 1
_POINTS = 1500
_MORE_POINTS = 500
_QUANTILE = 0.995
_LEAST_LIMIT = 1.0
_FEWEST_NETWORKS = 20  # with this operator, for a limit of its own
_ROWS = 4096  # kernels that are compared with all points at once


@dataclass(frozen=True)
class TrainingKernels:
    """Kernels of training by operator.

    Attributes:
        points: float16 [points, len(COLUMNS)] of each operator, as in its tokens.
        limits: distance to the nearest point that :data:`_QUANTILE` of the kernels in training keep when the points of
            their own network are taken away; same operators.
    """

    points: Mapping[str, NDArray[np.float16]]
    limits: Mapping[str, float]

    def distance(self, operators: Sequence[str], tokens: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distance of each kernel to the nearest point of its operator over that operator's limit, [kernels].

        Above 1 a kernel is unlike those in training; infinite where training never met the operator.

        Args:
            operators: of each kernel.
            tokens: ``default`` tokens, [kernels, default.WIDTH].
        """
        relative = np.full(len(operators), np.inf)
        columns = own_columns(tokens)
        for operator, rows in _rows_by_operator(operators).items():
            if operator in self._spaces:
                space = self._spaces[operator]
                relative[rows] = space.nearest(space.whiten(columns[rows])) / self.limits[operator]
        return relative

    @functools.cached_property
    def _spaces(self) -> dict[str, "_Space"]:
        return {operator: _Space(points) for operator, points in self.points.items()}


class _Space:
    """The points of one operator, in coordinates where Mahalanobis' distance is Euclid's."""

    def __init__(self, points: NDArray[np.float16]) -> None:
        columns = points.astype(np.float64)
        self._centre = columns.mean(axis=0)
        self._transform = whitening(columns)
        self.points = self.whiten(columns)
        squares = np.einsum("ij,ij->i", self.points, self.points)
        self._product = np.concatenate([-2 * self.points, squares[:, None]], axis=1).T.copy()

    def whiten(self, columns: NDArray[np.floating]) -> NDArray[np.float32]:
        """[kernels, len(COLUMNS)] in the new coordinates."""
        whitened: NDArray[np.float32] = ((columns - self._centre) @ self._transform).astype(np.float32)
        return whitened

    def nearest(self, whitened: NDArray[np.float32], kept: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Distance of each kernel to the nearest point, [kernels]; infinite where it keeps none.

        Args:
            whitened: kernels in the new coordinates.
            kept: bool [kernels, points], which points count for which kernel; all of them by default.
        """
        # A product is all that is [kernels, points]: |x - p|^2 but for the |x|^2 that is the same for all points.
        square = product(np.concatenate([whitened, np.ones((len(whitened), 1), np.float32)], axis=1), self._product)
        if kept is not None:
            square = np.where(kept, square, np.inf)
        least = square.min(axis=1) + np.einsum("ij,ij->i", whitened, whitened)
        distance: NDArray[np.float64] = np.sqrt(np.maximum(least, 0.0), dtype=np.float64)
        return distance


def whitening(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """[columns, columns]: x @ this has the covariance of one, but for the ridge."""
    covariance = np.cov(columns, rowvar=False, bias=True) + _RIDGE**2 * np.eye(columns.shape[1])
    transform: NDArray[np.float64] = np.linalg.inv(np.linalg.cholesky(covariance)).T
    return transform


def own_columns(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    """[kernels, len(COLUMNS)] out of ``default`` tokens."""
    return tokens[:, _PLACES]


def _rows_by_operator(operators: Iterable[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, operator in enumerate(operators):
        rows.setdefault(operator, []).append(row)
    return rows


def fit_training_kernels(
    networks: Sequence[tuple[Sequence[str], NDArray[np.float32]]], *, points: int = _POINTS
) -> TrainingKernels:
    """Choose the kernels that stand for those of ``networks``, and measure how far apart networks are.

    Args:
        networks: operators and ``default`` tokens of each network's kernels.
        points: how many to keep in all, shared out so that the farthest kernel of any operator is as near as can be.
    """
    columns, owner, groups = _by_operator(networks)
    centres = _k_centres({operator: columns[found] for operator, found in groups.items()}, points)
    kept = {operator: columns[found[centres[operator]]].astype(np.float16) for operator, found in groups.items()}
    apart = {
        operator: _distance_to_other_networks(
            _Space(kept[operator]), columns[found], owner[found], owner[found[centres[operator]]]
        )
        for operator, found in groups.items()
    }
    pooled = _limit(np.concatenate(list(apart.values())))
    counts = {operator: len(set(owner[found].tolist())) for operator, found in groups.items()}
    limits = {
        operator: _limit(distance) if counts[operator] >= _FEWEST_NETWORKS else pooled
        for operator, distance in apart.items()
    }
    return TrainingKernels(kept, limits)


def extend_training_kernels(
    known: TrainingKernels, networks: Sequence[tuple[Sequence[str], NDArray[np.float32]]], *, points: int = _MORE_POINTS
) -> TrainingKernels:
    """Known kernels and those of a few networks more.

    The limit of an operator never shrinks: it is what is kept of it, or what the new kernels keep from the known ones
    and from those of one another's networks.

    Args:
        known: kernels of a training before.
        networks: operators and ``default`` tokens of each new network's kernels.
        points: how many kernels of theirs to keep in all.
    """
    columns, owner, groups = _by_operator(networks)
    centres = _k_centres({operator: columns[found] for operator, found in groups.items()}, points)
    kept, limits = dict(known.points), dict(known.limits)
    for operator, found in groups.items():
        old = known.points.get(operator, np.zeros((0, len(COLUMNS)), np.float16))
        chosen = found[centres[operator]]
        kept[operator] = np.concatenate([old, columns[chosen].astype(np.float16)])
        point_owner = np.concatenate([np.full(len(old), -1), owner[chosen]])
        distance = _distance_to_other_networks(_Space(kept[operator]), columns[found], owner[found], point_owner)
        limits[operator] = max(known.limits.get(operator, _LEAST_LIMIT), _limit(distance))
    return TrainingKernels(kept, limits)


def _by_operator(
    networks: Sequence[tuple[Sequence[str], NDArray[np.float32]]],
) -> tuple[NDArray[np.float32], NDArray[np.intp], dict[str, NDArray[np.intp]]]:
    """Own columns of all kernels, the network that each is of, and the rows of each operator, sorted by name."""
    columns = np.concatenate([own_columns(tokens) for _, tokens in networks])
    owner = np.repeat(np.arange(len(networks)), [len(tokens) for _, tokens in networks])
    rows = _rows_by_operator(operator for operators, _ in networks for operator in operators)
    return columns, owner, {operator: np.array(rows[operator]) for operator in sorted(rows)}


def _k_centres(columns: Mapping[str, NDArray[np.float32]], points: int) -> dict[str, list[int]]:
    """Rows of each operator to keep: one each, then always the kernel that is farthest from all kept ones."""
    # Repeats would only cost time: kernels that agree to a tenth of a column's unit count as one.
    candidates = {
        operator: np.unique(np.round(10 * values).astype(np.int16), axis=0, return_index=True)[1]
        for operator, values in columns.items()
    }
    whitened, nearest, chosen = {}, {}, {}
    for operator, found in candidates.items():
        values = columns[operator][found].astype(np.float64)
        whitened[operator] = ((values - values.mean(axis=0)) @ whitening(values)).astype(np.float32)
        nearest[operator] = np.full(len(found), np.inf, np.float32)
        first = int(np.argmin(np.einsum("ij,ij->i", whitened[operator], whitened[operator])))  # the most ordinary
        chosen[operator] = [first]
        _approach(nearest[operator], whitened[operator], first)
    farthest = {operator: float(distance.max()) for operator, distance in nearest.items()}
    for _ in range(points - len(chosen)):
        operator = max(farthest, key=farthest.__getitem__)
        if farthest[operator] <= 0:
            break
        chosen[operator].append(int(np.argmax(nearest[operator])))
        _approach(nearest[operator], whitened[operator], chosen[operator][-1])
        farthest[operator] = float(nearest[operator].max())
    return {operator: candidates[operator][found].tolist() for operator, found in chosen.items()}


def _approach(nearest: NDArray[np.float32], whitened: NDArray[np.float32], centre: int) -> None:
    """Lower each squared distance to that from ``centre`` where that is nearer; in place."""
    difference = whitened - whitened[centre]
    np.minimum(nearest, np.einsum("ij,ij->i", difference, difference), out=nearest)


def _distance_to_other_networks(
    space: _Space, columns: NDArray[np.float32], owner: NDArray[np.intp], point_owner: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Distance of each kernel to the nearest point that another network gave; infinite where there is none."""
    parts = []
    for first in range(0, len(columns), _ROWS):
        part = slice(first, first + _ROWS)
        parts.append(space.nearest(space.whiten(columns[part]), owner[part, None] != point_owner[None, :]))
    return np.concatenate(parts)


def _limit(distance: NDArray[np.float64]) -> float:
    """The distance that all but a few keep; kernels that only one network has say nothing of it."""
    finite = distance[np.isfinite(distance)]
    return max(float(np.quantile(finite, _QUANTILE)), _LEAST_LIMIT) if len(finite) else _LEAST_LIMIT
