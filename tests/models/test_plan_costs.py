"""Costs of work: never negative, read back as they were, refused where they are no costs."""

import json
from pathlib import Path

import numpy as np
import pytest

from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.plan_costs import PlanCosts
from tvm_narcost.tokens.work import WORK

COSTS = PlanCosts({"calls": 0.5, "flops_matmul": 2e-5})


def test_a_kernel_takes_the_sum_of_what_its_work_costs() -> None:
    work = np.zeros((2, len(WORK)))
    work[:, WORK.index("calls")] = 1
    work[1, WORK.index("flops_matmul")] = 1e6
    work[1, WORK.index("kept_bytes")] = 1e9  # costs nothing here
    np.testing.assert_allclose(COSTS.kernels_us(work), [0.5, 20.5])


def test_costs_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    COSTS.save(tmp_path / "plan_costs.json")
    assert PlanCosts.open(tmp_path / "plan_costs.json") == COSTS


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"format_version": 2, "us_per_unit": {"calls": 1}}, "format version 2, expected 1"),
        ({"format_version": 1, "us_per_unit": [1]}, "expected 1 and us_per_unit"),
        ({"format_version": 1, "us_per_unit": {"miles": 1}}, "miles in us_per_unit, expected known quantities"),
        ({"format_version": 1, "us_per_unit": {"calls": -1}}, "calls in us_per_unit"),
        ({"format_version": 1, "us_per_unit": {"calls": True}}, "calls in us_per_unit"),
        ({"format_version": 1, "us_per_unit": {"calls": "1"}}, "calls in us_per_unit"),
        ({"format_version": 1, "us_per_unit": {"calls": 0}}, "no cost in us_per_unit"),
    ],
)
def test_what_is_no_costs_is_refused(tmp_path: Path, document: object, message: str) -> None:
    path = tmp_path / "plan_costs.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=message):
        PlanCosts.open(path)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan_costs.json"
    path.write_text('{"format_version": 1, "us_per_unit": {"calls": 1e999}}')
    with pytest.raises(ArtifactError, match="calls in us_per_unit"):
        PlanCosts.open(path)
