"""oneDNN's format tags: in which order data lies in memory."""

import re
from collections.abc import Sequence
from math import prod

__all__ = ["moves", "plain_layout"]

_AXES = "abcdefghijkl"
_TAG = re.compile(r"([a-lA-L]*)((?:\d+[a-l])*)")
_BLOCK = re.compile(r"(\d+)([a-l])")


def plain_layout(rank: int) -> str:
    """Row-major: ``abcd`` for four axes."""
    return _AXES[:rank]


def moves(shape: Sequence[int], before: str, after: str) -> bool:
    """Whether data in layout ``before`` has to be moved to be in ``after``; axes of extent 1 may be anywhere."""
    return _memory_order(shape, before) != _memory_order(shape, after)


def _memory_order(shape: Sequence[int], layout: str) -> list[tuple[str, int]]:
    """(axis, extent) from outermost to innermost, without extents of 1, neighbours of one axis put together.

    A oneDNN tag such as ``aBcd16b`` lists axes from outermost; a capital letter is an axis that is split, and its
    blocks of 16 stand at the end.
    """
    outer, inner = _TAG.match(layout).groups()  # type: ignore[union-attr]  # both may be empty, so it always matches
    blocks = [(axis, int(size)) for size, axis in _BLOCK.findall(inner)]
    extents = dict(zip(_AXES, shape, strict=False))
    found = []
    for axis in outer.lower():
        block = prod(size for split, size in blocks if split == axis)
        found.append((axis, -(-extents.get(axis, 1) // block)))
    order: list[tuple[str, int]] = []
    for axis, extent in found + blocks:
        if extent == 1:
            continue
        if order and order[-1][0] == axis:
            order[-1] = (axis, order[-1][1] * extent)
        else:
            order.append((axis, extent))
    return order
