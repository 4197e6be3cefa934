"""BoostedTrees: fitted by XGBoost, kept as plain arrays, evaluated by ONNX Runtime.

XGBoost's own reader ends the process on some corrupt files (an empty one, a child's index out of range), and takes a
third of a second to import. Arrays can be checked before they are trusted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.distinct import distinct_rows
from tvm_narcost.models.session import new_session

if TYPE_CHECKING:
    import xgboost

__all__ = ["BoostedTrees", "trees_of_booster"]

_DEEPEST = 12  # levels
_SMALLER = 1  # the mode of a node whose value goes left where it is smaller


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
        return self.sums(rows[kept])[place]

    def sums(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """What :meth:`predict` gives, for rows that are known to differ."""
        sums: NDArray[np.float32] = self._session.run(None, {"rows": rows})[0]
        return self.base + sums[:, 0].astype(np.float64)

    @cached_property
    def _session(self) -> Any:
        return new_session(_graph(self), ("ai.onnx.ml", 5))

    def with_known_columns(self, values: NDArray[np.float32]) -> "BoostedTrees":
        """The trees over the columns before the last ones, whose values are known: one a column, float32 [some]."""
        columns, nodes = self.columns - len(values), len(self.column)
        known = (self.column >= columns) & ~_leaves(self.left)
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
        leaf = _leaves(self.left)
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
        _check_trees(roots, left, right)
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


def _leaves(left: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which nodes are leaves: they name themselves."""
    leaf: NDArray[np.bool_] = left == np.arange(len(left))
    return leaf


def _graph(trees: BoostedTrees) -> onnx.GraphProto:
    """Rows -> sums without the base: an ONNX TreeEnsemble, which counts nodes and leaves apart."""
    leaf = _leaves(trees.left)
    # A tree that is one leaf is written as a node between that leaf and another that adds as much.
    alone = trees.roots[leaf[trees.roots]]
    written = ~leaf
    written[alone] = True
    node = np.flatnonzero(written)
    leaf_number, node_number = np.cumsum(leaf) - 1, np.cumsum(written) - 1
    left, right = trees.left[node], trees.right[node]
    to_left, to_right = (np.where(leaf[side], leaf_number[side], node_number[side]) for side in (left, right))
    to_right[node_number[alone]] = np.count_nonzero(leaf) + np.arange(len(alone))
    leaves = np.concatenate([trees.threshold[leaf], trees.threshold[alone]])
    roots = node_number[np.sort(trees.roots)]  # ascending: up to ONNX Runtime 1.23 others are not found
    ensemble = helper.make_node(
        "TreeEnsemble", ["rows"], ["sums"], domain="ai.onnx.ml", n_targets=1, tree_roots=roots.tolist(),
        nodes_modes=numpy_helper.from_array(np.full(len(node), _SMALLER, np.uint8), "modes"),
        nodes_featureids=trees.column[node].tolist(),
        nodes_splits=numpy_helper.from_array(trees.threshold[node], "splits"),
        nodes_truenodeids=to_left.tolist(), nodes_trueleafs=leaf[left].astype(int).tolist(),
        nodes_falsenodeids=to_right.tolist(), nodes_falseleafs=leaf[right].astype(int).tolist(),
        leaf_targetids=[0] * len(leaves), leaf_weights=numpy_helper.from_array(leaves, "leaves"),
    )  # fmt: skip
    entering = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", trees.columns])
    leaving = helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["N", 1])
    return helper.make_graph([ensemble], "trees", [entering], [leaving])


def _check_trees(roots: NDArray[np.int32], left: NDArray[np.int32], right: NDArray[np.int32]) -> None:
    """Every node lies below one root, by one way, and not too deep; trees lie one after another.

    Raises:
        ValueError: it does not.
    """
    inner = ~_leaves(left)
    ways = np.bincount(np.concatenate([roots, left[inner], right[inner]]), minlength=len(left))
    if ways.max() > 1:
        raise ValueError("a node is reached in two ways")
    if not ways.all():
        raise ValueError(f"node {int(np.argmin(ways))} lies below no root")
    tree = np.searchsorted(np.sort(roots), np.arange(len(left)), side="right")
    if (tree[left[inner]] != tree[inner]).any() or (tree[right[inner]] != tree[inner]).any():
        raise ValueError("nodes of one tree lie among another's")
    level = roots
    for _ in range(_DEEPEST):
        level = level[inner[level]]
        level = np.concatenate([left[level], right[level]])
    if inner[level].any():
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
