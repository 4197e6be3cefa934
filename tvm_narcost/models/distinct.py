"""Rows that differ: networks repeat their blocks, and what is computed of each row by itself is computed once."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["distinct_rows"]


def distinct_rows(rows: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of rows [rows, columns] that differ in some bit, and for each row which of them it is."""
    if not rows.size:
        return np.arange(len(rows)), np.arange(len(rows))
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * rows.dtype.itemsize))).ravel()
    _, kept, place = np.unique(whole, return_index=True, return_inverse=True)
    return kept, place
