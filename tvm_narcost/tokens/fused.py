"""What tells how long a fused kernel takes against its operators apart: its work, theirs, and what it is made of."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from relay_frontend.graph import OpGraph
from relay_frontend.ops import operator_category
from tvm_narcost.tokens.work import HEAVY_CATEGORIES, WORK

__all__ = ["FUSED", "PRIOR", "fused_row"]

FUSED = (
    "prior",
    "apart_us",
    "operators",
    *(f"apart_{name}" for name in WORK),
    *(f"together_{name}" for name in WORK),
    "heavy",
    "first_heavy",
    "last_heavy",
    "largest_over_last",
    "smallest_over_last",
    "last_elements",
    "last_extent",
    "whole_vectors",
    "half_vectors",
    "rank",
)
"""Columns: logarithms of ratios and sizes, shares of the operators' cost apart, counts, places as shares."""

PRIOR = FUSED.index("prior")

_LEAST_US = 1e-3
_LARGEST_PRIOR, _SMALLEST_PRIOR = 1.5, -2.0  # in logarithms
_LANES = 16  # float32 in the widest vector


def fused_row(
    graph: OpGraph,
    members: Sequence[int],
    together: NDArray[np.float64],
    apart: NDArray[np.float64],
    costs: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One kernel of several operators.

    Args:
        graph: what it is a kernel of.
        members: its nodes, ascending.
        together: its work, [len(WORK)], see :class:`tvm_narcost.tokens.work.PlanWork`.
        apart: that of its operators in kernels of their own, summed, [len(WORK)].
        costs: microseconds a unit of work, [len(WORK)].

    Returns:
        float64 [len(FUSED)].
    """
    apart_us, together_us = apart * costs, together * costs
    total_us = max(float(apart_us.sum()), _LEAST_US)
    prior = np.log(max(float(together_us.sum()), _LEAST_US) / total_us)
    head = [np.clip(prior, _SMALLEST_PRIOR, _LARGEST_PRIOR), np.log(total_us + 0.1), len(members)]
    made_of = [*_places_of_heavy(graph, members), *_sizes(graph, members)]
    return np.array([*head, *(apart_us / total_us), *(together_us / total_us), *made_of], dtype=np.float64)


def _places_of_heavy(graph: OpGraph, members: Sequence[int]) -> tuple[int, float, float]:
    """How many operators are heavy, and where the first and the last one stand; -1 where there is none."""
    places = [
        place for place, index in enumerate(members) if operator_category(graph.nodes[index].op) in HEAVY_CATEGORIES
    ]
    return (len(places), places[0] / len(members), places[-1] / len(members)) if places else (0, -1.0, -1.0)


def _sizes(graph: OpGraph, members: Sequence[int]) -> tuple[float, ...]:
    outputs = [graph.nodes[index].outputs[0] for index in members]
    elements = [max(output.elements, 1) for output in outputs]
    shape = outputs[-1].shape
    extent = int(shape[-1]) if shape else 1
    last = elements[-1]
    return (
        float(np.log(max(elements) / last)),
        float(np.log(min(elements) / last)),
        float(np.log(last)),
        float(np.log1p(extent)),
        float(extent % _LANES == 0),
        float(extent % (_LANES // 2) == 0),
        float(len(shape)),
    )
