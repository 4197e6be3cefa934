"""Random inputs: the same each time, and valid for what networks do with them."""

import numpy as np
import pytest

from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure.inputs import random_input


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_uniform_and_repeat(dtype: str) -> None:
    made = random_input("x", [2, 500], dtype)
    assert (made.dtype, made.shape) == (np.dtype(dtype), (2, 500))
    assert 0 <= made.min() < 0.05 and 0.95 < made.max() <= 1
    np.testing.assert_array_equal(made, random_input("x", [2, 500], dtype))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_integers_are_valid_for_the_smallest_table(dtype: str) -> None:
    made = random_input("ids", [64], dtype)
    assert made.dtype == np.dtype(dtype)
    assert set(made.tolist()) == {0, 1}


def test_booleans_and_scalars() -> None:
    assert set(random_input("mask", [64], "bool").tolist()) == {False, True}
    assert random_input("x", [], "float32").shape == ()


@pytest.mark.parametrize("shape", [["batch", 3], [None, 3], [-1, 3]])
def test_open_dimension(shape: list[object]) -> None:
    with pytest.raises(MeasurementError, match="'x' has shape .*bind its dimensions"):
        random_input("x", shape, "float32")


@pytest.mark.parametrize("dtype", ["string", "complex64", "seq(float32)"])
def test_dtype_that_cannot_be_made(dtype: str) -> None:
    with pytest.raises(MeasurementError, match="cannot be timed"):
        random_input("x", [1], dtype)
