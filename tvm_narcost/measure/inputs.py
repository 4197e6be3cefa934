"""Inputs for networks that are only timed: random, the same on every call."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tvm_narcost.errors import MeasurementError

__all__ = ["random_input"]

_SEED = 20240229
_INTEGERS = {"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}
_IDS = 2  # token ids, segment ids and masks all know 0 and 1; a larger id may be out of a table's range


def random_input(name: str, shape: Sequence[object], dtype: str) -> np.ndarray[Any, Any]:
    """An array of ``shape``: floats uniform in [0, 1), integers 0 or 1, booleans; from a fixed seed.

    Args:
        name: of the input, for messages.
        shape: extents; each must be an int.
        dtype: numpy's name.

    Raises:
        MeasurementError: a dimension has no value, or nothing can be made of this dtype.
    """
    extents = [extent for extent in shape if isinstance(extent, int) and extent >= 0]
    if len(extents) != len(shape):
        raise MeasurementError(
            f"input {name!r} has shape {list(shape)}, expected numbers only: bind its dimensions with --shape"
        )
    generator = np.random.default_rng(_SEED)
    if dtype in ("float32", "float64"):
        return generator.random(extents, dtype=np.dtype(dtype).type)
    if dtype == "float16":
        return generator.random(extents, dtype=np.float32).astype(np.float16)
    if dtype in _INTEGERS:
        return generator.integers(0, _IDS, extents, dtype=np.int64).astype(dtype)
    if dtype == "bool":
        return generator.random(extents) < 0.5
    raise MeasurementError(
        f"input {name!r} is {dtype}, expected a float, integer or boolean tensor: this network cannot be timed"
    )
