"""Rows that differ: networks repeat their blocks, and what is computed of each row by itself is computed once."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["distinct_rows"]


def distinct_rows(rows: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of rows [rows, columns] that differ in some bit, first ones first; for each row which of them it is."""
    if not rows.size:
        return np.arange(len(rows)), np.arange(len(rows))
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * rows.dtype.itemsize))).ravel()
    number: dict[object, int] = {}  # by their bytes; half the time of sorting them
    place = np.array([number.setdefault(row, len(number)) for row in whole.tolist()], np.intp)
    kept = np.flatnonzero(np.diff(np.maximum.accumulate(place), prepend=-1))
    return kept, place
