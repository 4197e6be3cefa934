"""BoostedTrees: fitted by XGBoost, kept and evaluated as plain arrays.

XGBoost's own reader ends the process on some corrupt files (an empty one, a child's index out of range), and takes a
third of a second to import. Arrays can be checked before they are trusted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.distinct import distinct_rows

if TYPE_CHECKING:
    import xgboost

__all__ = ["BoostedTrees", "trees_of_booster"]

_ROWS = 256  # that are evaluated together: what is made of them stays in a core's cache
_DEEPEST = 12  # levels; complete trees take twice the memory for each
_MOST_PLACES = 2**24


@dataclass(frozen=True)
class BoostedTrees:
    """The sum of regression trees; the nodes of all of them lie one after another, children behind their parents.

    Attributes:
        columns: how many columns a row has.
        base: where every sum starts.
        roots: int32 [trees], index of each tree's first node.
        column: int32 [nodes], the column that a node looks at; 0 at a leaf.
        threshold: float32 [nodes], the column's value goes left where it is smaller; at a leaf what the leaf adds.
        left, right: int32 [nodes], index of the next node; a leaf names itself.
    """

    columns: int
    base: float
    roots: NDArray[np.int32]
    column: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """The sum of the leaves that each row [rows, columns] ends in, [rows]; equal rows are followed down once."""
        kept, place = distinct_rows(rows)
        parts = [self._sums(rows[kept[first : first + _ROWS]]) for first in range(0, len(kept), _ROWS)]
        found: NDArray[np.float64] = np.concatenate([np.zeros(0), *parts])[place]
        return found

    @cached_property
    def _levels(self) -> tuple[list[tuple[NDArray[np.intp], NDArray[np.float32]]], NDArray[np.float32]]:
        """Column and threshold of each place of all trees, level by level, as if every tree were complete; the leaves.

        Place p of a level goes on to 2p or, where the value is not smaller, to 2p + 1 of the next; the places below a
        leaf are that leaf again.
        """
        levels, place = [], self.roots
        while (self.left[place] != place).any():
            levels.append((self.column[place].astype(np.intp), self.threshold[place]))
            place = np.stack([self.left[place], self.right[place]], axis=1).ravel()
        return levels, self.threshold[place]

    def _sums(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        levels, leaves = self._levels
        values = rows.ravel()
        start = np.arange(len(rows)) * rows.shape[1]  # of each row in values
        place = np.repeat(np.arange(len(self.roots))[:, None], len(rows), axis=1)  # [trees, rows]
        position, value, bound = np.empty_like(place), *np.empty((2, *place.shape), np.float32)
        # Of all that is done here most is looking up: every place is in range, and a look-up that clips does not check.
        for column, threshold in levels:
            column.take(place, out=position, mode="clip")
            position += start
            values.take(position, out=value, mode="clip")
            threshold.take(place, out=bound, mode="clip")
            place += place
            place += value >= bound
        sums: NDArray[np.float64] = self.base + leaves.take(place).sum(axis=0, dtype=np.float64)
        return sums

    def with_known_columns(self, values: NDArray[np.float32]) -> "BoostedTrees":
        """The trees over the columns before the last ones, whose values are known: one a column, float32 [some]."""
        columns, nodes = self.columns - len(values), len(self.column)
        known = (self.column >= columns) & (self.left != np.arange(nodes))
        smaller = np.append(values, 0)[np.maximum(self.column - columns, -1)] < self.threshold
        stands_for = np.where(known, np.where(smaller, self.left, self.right), np.arange(nodes))
        for node in np.flatnonzero(known)[::-1]:  # children lie behind their parents
            stands_for[node] = stands_for[stands_for[node]]
        roots, left, right = stands_for[self.roots], stands_for[self.left], stands_for[self.right]
        kept = np.zeros(nodes, np.bool_)
        level = roots
        while len(level):
            kept[level] = True
            level = np.setdiff1d(np.concatenate([left[level], right[level]]), level)
        place = (np.cumsum(kept) - 1).astype(np.int32)
        return replace(
            self, columns=columns, roots=place[roots], column=self.column[kept], threshold=self.threshold[kept],
            left=place[left[kept]], right=place[right[kept]],
        )  # fmt: skip

    def scaled(self, factor: float) -> "BoostedTrees":
        """The same trees, whose leaves add so many times as much."""
        leaf = self.left == np.arange(len(self.left))
        return replace(self, threshold=np.where(leaf, np.float32(factor) * self.threshold, self.threshold))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` is its inverse."""
        return {
            "columns": self.columns,
            "base": self.base,
            "roots": self.roots.tolist(),
            "column": self.column.tolist(),
            "threshold": [float(f"{value:.9g}") for value in self.threshold.tolist()],  # 9 digits make a float32
            "left": self.left.tolist(),
            "right": self.right.tolist(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "BoostedTrees":
        """Read what :meth:`to_json` wrote.

        Raises:
            TypeError, ValueError, OverflowError: a field is missing, unknown, or of the wrong kind or range; a walk
                down the trees would not end in a leaf.
        """
        names = {field.name for field in fields(cls)}
        if names != set(document):
            raise ValueError(f"missing {sorted(names - set(document))}, unknown {sorted(set(document) - names)}")
        roots, column, left, right = (_integers(document, name) for name in ("roots", "column", "left", "right"))
        threshold = np.array(document["threshold"], np.float32)
        columns, base, nodes = int(document["columns"]), float(document["base"]), len(column)
        if not threshold.shape == column.shape == left.shape == right.shape:
            raise ValueError("column, threshold, left and right are not of one length")
        if not (np.isfinite(threshold).all() and np.isfinite(base)):
            raise ValueError("threshold or base is not finite")
        if roots.min() < 0 or roots.max() >= nodes:
            raise ValueError(f"a root is not one of the {nodes} nodes")
        if column.min() < 0 or column.max() >= columns:
            raise ValueError(f"a node looks at a column that is not one of the {columns}")
        here = np.arange(nodes, dtype=np.int32)
        leaf = (left == here) & (right == here)
        inner = (left > here) & (right > here) & (left < nodes) & (right < nodes)
        if not (leaf | inner).all():
            raise ValueError(f"node {int(np.argmin(leaf | inner))} is no leaf and its children do not lie behind it")
        if len(roots) * 2 ** _depth(roots, left, right) > _MOST_PLACES:
            raise ValueError(f"{len(roots)} trees would have more than {_MOST_PLACES} leaves if they were complete")
        return cls(columns, base, roots, column, threshold, left, right)

    @classmethod
    def of_artifact(cls, document: Any, columns: int, where: str) -> "BoostedTrees":
        """Those of a document that was read from an artifact; ``where`` begins the error.

        Raises:
            ArtifactError: no trees, or over another number of columns.
        """
        try:
            trees = cls.from_json(document if isinstance(document, Mapping) else {})
            if trees.columns != columns:
                raise ValueError(f"trees over {trees.columns} columns instead of {columns}")
        except (TypeError, ValueError, OverflowError) as error:
            raise ArtifactError(
                f"{where}: {error}, expected what `narcost train` writes; copy or train it again"
            ) from error
        return trees


def _depth(roots: NDArray[np.int32], left: NDArray[np.int32], right: NDArray[np.int32]) -> int:
    """Levels of the deepest tree, leaves not counted.

    Raises:
        ValueError: more than :data:`_DEEPEST`.
    """
    level = np.unique(roots)
    for depth in range(_DEEPEST + 1):
        level = level[left[level] != level]  # a leaf names itself
        if not len(level):
            return depth
        level = np.unique(np.concatenate([left[level], right[level]]))
    raise ValueError(f"a tree of more than {_DEEPEST} levels")


def _integers(document: Mapping[str, Any], name: str) -> NDArray[np.int32]:
    values = np.array(document[name])
    if values.ndim != 1 or values.dtype != np.int64 or not np.array_equal(values, values.astype(np.int32)):
        raise ValueError(f"{name} is no list of at least one 32-bit integer")
    return values.astype(np.int32)


def trees_of_booster(booster: "xgboost.Booster") -> BoostedTrees:
    """The trees of a booster with one output, no categories and no link function."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    trees = learner["gradient_booster"]["model"]["trees"]
    roots = np.cumsum([0, *(len(tree["left_children"]) for tree in trees)])
    left, right, column, threshold = [], [], [], []
    for root, tree in zip(roots, trees, strict=False):
        children = np.array([tree["left_children"], tree["right_children"]])
        own = np.arange(children.shape[1])
        leaf = children[0] < 0
        left.append(root + np.where(leaf, own, children[0]))
        right.append(root + np.where(leaf, own, children[1]))
        column.append(np.where(leaf, 0, tree["split_indices"]))
        threshold.append(np.array(tree["split_conditions"], np.float32))
    return BoostedTrees.from_json(
        {
            "columns": booster.num_features(),
            # XGBoost 3 writes a list of one number, as text; those before it a number, as text.
            "base": str(learner["learner_model_param"]["base_score"]).strip("[]"),
            "roots": roots[:-1],
            "column": np.concatenate(column),
            "threshold": np.concatenate(threshold),
            "left": np.concatenate(left),
            "right": np.concatenate(right),
        }
    )
