"""Kernel-sum and its trees: what XGBoost fitted is what is evaluated; what is spoiled is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from tests.training.analytic import PROFILE, examples
from tvm_narcost.errors import ArtifactError
from tvm_narcost.models import kernel_sum as module
from tvm_narcost.models.kernel_sum import KernelSum
from tvm_narcost.models.trees import BoostedTrees, trees_of_booster
from tvm_narcost.training.evaluate import fit_kernel_sum_to, measured_ms
from tvm_narcost.training.metrics import compute_metrics

Document = dict[str, Any]


@pytest.fixture(scope="module")
def fitted() -> KernelSum:
    return fit_kernel_sum_to(examples(("plain", "separable"), 8), 0)


@pytest.fixture
def path(fitted: KernelSum, tmp_path: Path) -> Path:
    fitted.save(tmp_path / "kernel_sum.json")
    return tmp_path / "kernel_sum.json"


def stump() -> Document:
    """One tree: 10 + (1 where column 1 < 0.5, else 2 where column 0 < -1, else 3)."""
    return {
        "columns": 2, "base": 10.0, "roots": [0], "column": [1, 0, 0, 0, 0], "threshold": [0.5, 1.0, -1.0, 2.0, 3.0],
        "left": [1, 1, 3, 3, 4], "right": [2, 1, 4, 3, 4],
    }  # fmt: skip


def test_tree_by_hand() -> None:
    rows = np.array([[0, 0], [0, 0.49], [0, 0.5], [-1, 9], [-2, 9]], np.float32)
    assert BoostedTrees.from_json(stump()).predict(rows).tolist() == [11, 11, 13, 13, 12]


def test_leaves_scale_and_splits_and_base_stay() -> None:
    rows = np.array([[0, 0], [0, 0.5], [-2, 9]], np.float32)
    assert BoostedTrees.from_json(stump()).scaled(0.5).predict(rows).tolist() == [10.5, 11.5, 11]


def test_trees_of_one_leaf_stand_among_others() -> None:
    forest = {
        "columns": 2, "base": 10.0, "roots": [0, 1, 6], "column": [0, 1, 0, 0, 0, 0, 0],
        "threshold": [0.25, 0.5, 1.0, -1.0, 2.0, 3.0, 0.125],
        "left": [0, 2, 2, 4, 4, 5, 6], "right": [0, 3, 2, 5, 4, 5, 6],
    }  # fmt: skip
    rows = np.array([[0, 0.49], [-1, 9], [-2, 9]], np.float32)
    assert BoostedTrees.from_json(forest).predict(rows).tolist() == [11.375, 13.375, 12.375]


def test_no_rows_give_no_sums() -> None:
    assert BoostedTrees.from_json(stump()).predict(np.zeros((0, 2), np.float32)).shape == (0,)


@pytest.mark.parametrize("rounds", [1, 25])
def test_trees_give_what_xgboost_gives(rounds: int) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(1500, 6)).astype(np.float32)
    target = rows[:, 0] * rows[:, 1] + np.abs(rows[:, 2])
    settings = {"objective": "reg:absoluteerror", "max_depth": 5, "nthread": 1, "seed": 0}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, label=target), num_boost_round=rounds)
    np.testing.assert_allclose(trees_of_booster(booster).predict(rows), booster.inplace_predict(rows), atol=1e-5)
    repeated = np.random.default_rng(1).integers(0, len(rows) // 10, 300)  # as networks repeat their blocks
    np.testing.assert_array_equal(
        trees_of_booster(booster).predict(rows[repeated]), trees_of_booster(booster).predict(rows)[repeated]
    )


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=5, max_size=5))
def test_thresholds_keep_every_bit_on_their_way_through_json(threshold: list[float]) -> None:
    trees = BoostedTrees.from_json({**stump(), "threshold": threshold})
    again = BoostedTrees.from_json(json.loads(json.dumps(trees.to_json())))
    assert (again.threshold == np.array(threshold, np.float32)).all()


def test_saved_kernel_sum_predicts_the_same(fitted: KernelSum, path: Path) -> None:
    measured = examples(("mixed",), 3)
    graphs, plans = [example.graph for example in measured], [example.plan for example in measured]
    assert KernelSum.open(path).predict(graphs, plans, PROFILE) == fitted.predict(graphs, plans, PROFILE)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_kernels_of_the_training_families_are_learned(fitted: KernelSum) -> None:
    measured = examples(("plain", "separable"), 8)
    predictions = fitted.predict([example.graph for example in measured], [e.plan for e in measured], PROFILE)
    metrics = compute_metrics([prediction.latency_ms for prediction in predictions], measured_ms(measured))
    assert metrics.mape < 10.0


def test_kernel_is_seen_alone(fitted: KernelSum) -> None:
    """Columns that tell of a kernel's neighbours or of the whole network take no part."""
    (example,) = examples(("mixed",), 1)
    without = np.zeros_like(example.tokens)
    without[:, module._ALONE] = example.tokens[:, module._ALONE]
    assert (without != example.tokens).any()
    assert (fitted.log_efficiency(without) == fitted.log_efficiency(example.tokens)).all()


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.9, 0.9999])
def test_truncated_file(path: Path, kept: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ArtifactError, match=str(path)):
        KernelSum.open(path)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b"\x00" * 99, b"\xff" * 99, b"[" * 100_000, b'{"a":' * 50_000, b"binf" * 9]
)
def test_file_of_something_else(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=str(path)):
        KernelSum.open(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"kernel_sum.json: No such file.*narcost train"):
        KernelSum.open(tmp_path / "kernel_sum.json")


def test_enormous_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(ArtifactError, match="larger than 1000 bytes"):
        KernelSum.open(path)


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2}, {"schema": "paper"}, {"schema_version": 99}, {"schema_version": None},
        {"colour": "red"}, {"columns": 3}, {"columns": "many"}, {"base": "x"}, {"base": 1e999}, {"roots": []},
        {"roots": [-1]}, {"roots": [10**6]}, {"roots": [10**30]}, {"roots": 0}, {"roots": [[0]]}, {"column": []},
        {"left": [0]}, {"threshold": "x"}, {"threshold": None},
    ],
)  # fmt: skip
def test_field_that_cannot_be(path: Path, change: Document) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **change}))
    with pytest.raises(ArtifactError, match=str(path)):
        KernelSum.open(path)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("left", [0, 1, 3, 3, 4], "children do not lie behind"),  # the root is its own child: a walk without end
        ("left", [1, 1, 1, 3, 4], "children do not lie behind"),
        ("right", [2, 1, 99, 3, 4], "children do not lie behind"),
        ("right", [-1, 1, 4, 3, 4], "children do not lie behind"),
        ("column", [2, 0, 0, 0, 0], "not one of the 2"),
        ("column", [-1, 0, 0, 0, 0], "not one of the 2"),
        ("column", [0.0, 0, 0, 0, 0], "integer"),
        ("column", [True, False, False, False, False], "integer"),
        ("left", ["1", 1, 3, 3, 4], "integer"),
        ("left", [2**40, 1, 3, 3, 4], "integer"),
        ("roots", [5], "not one of the 5 nodes"),
        ("threshold", [0.5, 1.0, -1.0, 2.0], "one length"),
        ("threshold", [float("nan")] * 5, "not finite"),
        ("base", float("inf"), "not finite"),
    ],
)  # fmt: skip
def test_trees_that_cannot_be_walked(field: str, value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        BoostedTrees.from_json({**stump(), field: value})


def chain(levels: int) -> Document:
    """One tree whose every right child splits again: the number of its levels that the row is not smaller than."""
    inner, leaves = range(0, 2 * levels, 2), range(1, 2 * levels, 2)
    left = [node for pair in zip(leaves, leaves, strict=True) for node in pair]
    right = [node for pair in zip((place + 2 for place in inner), leaves, strict=True) for node in pair]
    threshold = [float(value) for level in range(levels) for value in (level, level)]
    return {
        "columns": 1, "base": 0.0, "roots": [0], "column": [0] * (2 * levels + 1), "threshold": [*threshold, levels],
        "left": [*left, 2 * levels], "right": [*right, 2 * levels],
    }  # fmt: skip


def test_a_tree_that_is_deep_on_one_side() -> None:
    rows = np.array([[-1], [0], [0.5], [3], [100]], np.float32)
    assert BoostedTrees.from_json(chain(12)).predict(rows).tolist() == [0, 1, 1, 4, 12]
    with pytest.raises(ValueError, match="more than 12 levels"):
        BoostedTrees.from_json(chain(13))


@pytest.mark.parametrize(
    "change", [{"roots": [0, 0]}, {"roots": [0, 2]}, {"right": [1, 1, 4, 3, 4]}, {"left": [3, 1, 3, 3, 4]}]
)
def test_a_node_of_two_trees_or_two_parents(change: Document) -> None:
    with pytest.raises(ValueError, match="reached in two ways"):
        BoostedTrees.from_json({**stump(), **change})


def test_a_node_of_no_tree() -> None:
    document = {
        **stump(),
        "column": [0] * 6,
        "threshold": [0.0] * 6,
        "left": [1, 1, 3, 3, 4, 5],
        "right": [2, 1, 4, 3, 4, 5],
    }
    with pytest.raises(ValueError, match="node 5 lies below no root"):
        BoostedTrees.from_json(document)


def test_trees_that_lie_among_each_other() -> None:
    document = {"column": [0] * 6, "threshold": [0.0] * 6, "left": [2, 3, 2, 3, 4, 5], "right": [4, 5, 2, 3, 4, 5]}
    with pytest.raises(ValueError, match="nodes of one tree lie among another's"):
        BoostedTrees.from_json({**stump(), **document, "roots": [0, 1]})


def test_missing_and_unknown_fields_are_all_named() -> None:
    document = stump()
    del document["left"], document["base"]
    with pytest.raises(ValueError, match=r"missing \['base', 'left'\], unknown \['colour'\]"):
        BoostedTrees.from_json({**document, "colour": "red"})
