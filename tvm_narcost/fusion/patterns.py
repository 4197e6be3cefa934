"""How an operator may be fused: TVM's kinds of pattern."""

from enum import IntEnum

__all__ = ["Pattern"]


class Pattern(IntEnum):
    """TVM's ``OpPatternKind``, of the same values; the larger, the less can be fused with it."""

    ELEMWISE = 0
    BROADCAST = 1
    INJECTIVE = 2
    COMM_REDUCE = 3
    OUT_EWISE_FUSABLE = 4
    TUPLE = 7
    OPAQUE = 8
