"""A scheduled tensor program as its buffer stores: the loops around each, and how its accesses move along them."""

from dataclasses import dataclass

__all__ = ["MAX_ACCESSES", "OPERATIONS", "Access", "Loop", "Step", "Store"]

OPERATIONS = ("add", "multiply", "divide", "compare", "special", "cast", "select", "integer")
"""What a store computes for each element, counted."""

MAX_ACCESSES = 5
"""Accesses that a token tells one by one, the write first; of more, those that touch most."""

Step = tuple[int, int, float, float]
"""(dimension, loop, coefficient, span): one iteration moves an index by the coefficient, all of them by the span."""


@dataclass(slots=True, eq=False)
class Loop:
    """A loop that runs more than once; stores under the same loop have the same object.

    Attributes:
        extent: how often.
        kind: ``serial``, ``parallel``, ``vectorized`` or ``unrolled``.
    """

    extent: int
    kind: str


@dataclass(slots=True)
class Access:
    """How a store reads or writes one buffer.

    Attributes:
        shape: elements in each dimension of what the buffer holds while the loops inside run.
        element_bytes: of one element.
        reads, writes: whether it does; both for an accumulator.
        intermediate: neither an argument nor a result of the program.
        steps: along the loops.
    """

    shape: tuple[int, ...]
    element_bytes: float
    reads: bool
    writes: bool
    intermediate: bool
    steps: list[Step]


@dataclass(slots=True)
class Store:
    """A buffer store under its loops.

    Attributes:
        loops: outermost first, those of one iteration left out.
        reduced: numbers of the loops along which an axis is reduced.
        accesses: the write first.
        operations: counts, in the order of OPERATIONS.
        initialises: writes a constant, as before a reduction.
        guarded: runs under a condition.
        unroll_limit: steps up to which loops are unrolled; 0 for not at all.
        unroll_explicit: unrolled before LLVM sees it.
        shared_before, shared_after: loops that the store before and the store after run under too.
    """

    loops: tuple[Loop, ...]
    reduced: frozenset[int]
    accesses: tuple[Access, ...]
    operations: tuple[int, ...]
    initialises: bool
    guarded: bool
    unroll_limit: int
    unroll_explicit: bool
    shared_before: int
    shared_after: int
