"""Blocks of families such that every two lie in one: leave-two-out predictions at about the price of leave-one-out.

An ensemble that is trained without a whole block has seen neither of any two families in it.
"""

import itertools
from collections.abc import Sequence

__all__ = ["difference_cover", "pair_blocks"]


def pair_blocks(families: Sequence[str]) -> list[tuple[str, ...]]:
    """At most as many blocks as families, each of about their square root; 21 or 31 families make projective planes."""
    count = len(families)
    cover = difference_cover(count)
    return sorted({tuple(sorted(families[(first + step) % count] for step in cover)) for first in range(count)})


def difference_cover(count: int) -> tuple[int, ...]:
    """The fewest numbers whose differences modulo ``count`` are all of 1 to ``count`` - 1.

    Shifted by each number in turn they cover every pair (Singer, 1938, for those that cover each pair once).
    """
    if count < 2:
        return (0,) * count
    # A difference of 1 must be there, and a cover may be shifted: 0 and 1 are in it.
    covers = (_extend((0, 1), frozenset({1, count - 1}), size, count) for size in itertools.count(2))
    return next(cover for cover in covers if cover is not None)


def _extend(base: tuple[int, ...], differences: frozenset[int], size: int, count: int) -> tuple[int, ...] | None:
    missing = count - 1 - len(differences)
    if not missing:
        return base
    if missing > size * (size - 1) - len(base) * (len(base) - 1):  # more than the pairs to come can give
        return None
    for number in range(base[-1] + 1, count):
        new = {sign * (number - member) % count for member in base for sign in (1, -1)}
        found = _extend((*base, number), differences | new, size, count)
        if found is not None:
            return found
    return None
