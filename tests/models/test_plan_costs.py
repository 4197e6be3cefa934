"""Costs of work: never negative, read back as they were, refused where they are no costs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.plan_costs import PlanCosts
from tvm_narcost.models.trees import BoostedTrees
from tvm_narcost.tokens.fused import FUSED, PRIOR
from tvm_narcost.tokens.work import WORK

COSTS = PlanCosts({"calls": 0.5, "flops_matmul": 2e-5})


def leaf(**changed: object) -> dict[str, object]:
    """One tree of one leaf that adds a half."""
    one = {"base": 0.0, "roots": [0], "column": [0], "threshold": [0.5], "left": [0], "right": [0]}
    return {"columns": len(FUSED), **one, **changed}


def test_a_kernel_takes_the_sum_of_what_its_work_costs() -> None:
    work = np.zeros((2, len(WORK)))
    work[:, WORK.index("calls")] = 1
    work[1, WORK.index("flops_matmul")] = 1e6
    work[1, WORK.index("kept_bytes")] = 1e9  # costs nothing here
    np.testing.assert_allclose(COSTS.kernels_us(work), [0.5, 20.5])


def test_costs_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    COSTS.save(tmp_path / "plan_costs.json")
    assert PlanCosts.open(tmp_path / "plan_costs.json") == COSTS


def test_gains_are_read_back_and_added_to_what_costs_say(tmp_path: Path) -> None:
    dataclasses.replace(COSTS, gains=BoostedTrees.from_json(leaf())).save(tmp_path / "plan_costs.json")
    rows = np.zeros((3, len(FUSED)))
    rows[:, PRIOR] = (-1.0, 0.0, 0.25)
    found = PlanCosts.open(tmp_path / "plan_costs.json")
    np.testing.assert_allclose(found.log_ratios(rows), [-0.5, 0.5, 0.75])
    np.testing.assert_allclose(COSTS.log_ratios(rows), rows[:, PRIOR])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"format_version": 1, "us_per_unit": {"calls": 1}}, "format version 1, expected 2"),
        ({"format_version": 2, "us_per_unit": [1]}, "expected 2 and us_per_unit"),
        ({"format_version": 2, "us_per_unit": {"miles": 1}}, "miles in us_per_unit, expected known quantities"),
        ({"format_version": 2, "us_per_unit": {"calls": -1}}, "calls in us_per_unit"),
        ({"format_version": 2, "us_per_unit": {"calls": True}}, "calls in us_per_unit"),
        ({"format_version": 2, "us_per_unit": {"calls": "1"}}, "calls in us_per_unit"),
        ({"format_version": 2, "us_per_unit": {"calls": 0}}, "no cost in us_per_unit"),
        ({"format_version": 2, "us_per_unit": {"calls": 1}, "gains": [1]}, "gains: missing"),
        ({"format_version": 2, "us_per_unit": {"calls": 1}, "gains": leaf(columns=3)}, "trees over 3 columns instead"),
        ({"format_version": 2, "us_per_unit": {"calls": 1}, "gains": leaf(left=[7])}, "gains: node 0 is no leaf"),
    ],
)
def test_what_is_no_costs_is_refused(tmp_path: Path, document: object, message: str) -> None:
    path = tmp_path / "plan_costs.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=message):
        PlanCosts.open(path)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan_costs.json"
    path.write_text('{"format_version": 2, "us_per_unit": {"calls": 1e999}}')
    with pytest.raises(ArtifactError, match="calls in us_per_unit"):
        PlanCosts.open(path)
