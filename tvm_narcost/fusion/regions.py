"""Where two plans of one graph differ."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Members", "Region", "changed_regions"]

Members = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """Operators that two plans put into other kernels, as few as can be told apart from the other regions.

    Attributes:
        before: the first plan's kernels of them, in its order.
        after: the second plan's.
    """

    before: tuple[Members, ...]
    after: tuple[Members, ...]


def changed_regions(before: Sequence[Members], after: Sequence[Members]) -> list[Region]:
    """The regions in which two partitions differ, by their first operator."""
    kept = set(before) & set(after)
    old = [members for members in before if members not in kept]
    new = [members for members in after if members not in kept]
    region_of: dict[int, int] = {}
    inside: dict[int, set[int]] = {}
    for members in (*old, *new):
        touched = {region_of[index] for index in members if index in region_of}
        region = min(touched, default=members[0])
        merged = set(members).union(*(inside.pop(other) for other in touched))
        inside[region] = merged
        region_of |= dict.fromkeys(merged, region)
    olds: dict[int, list[Members]] = {region: [] for region in inside}
    news: dict[int, list[Members]] = {region: [] for region in inside}
    for members in old:
        olds[region_of[members[0]]].append(members)
    for members in new:
        news[region_of[members[0]]].append(members)
    order = sorted(inside, key=lambda region: min(inside[region]))
    return [Region(tuple(olds[region]), tuple(news[region])) for region in order]
