"""Blocks cover every pair of families, and are few."""

import itertools

import pytest

from bench.family_blocks import difference_cover, pair_blocks


@pytest.mark.parametrize("count", range(2, 43))
def test_every_two_families_lie_in_one_block(count: int) -> None:
    families = [f"family{index}" for index in range(count)]
    blocks = pair_blocks(families)
    covered = {pair for block in blocks for pair in itertools.combinations(sorted(block), 2)}
    assert covered == set(itertools.combinations(sorted(families), 2))
    assert len(blocks) <= count
    assert {len(block) for block in blocks} == {len(difference_cover(count))}


@pytest.mark.parametrize(("count", "size"), [(3, 2), (7, 3), (13, 4), (21, 5), (31, 6)])
def test_projective_planes_cover_each_pair_once(count: int, size: int) -> None:
    blocks = pair_blocks([str(index) for index in range(count)])
    assert len(blocks) * size * (size - 1) == count * (count - 1)
    assert {len(block) for block in blocks} == {size}


@pytest.mark.parametrize("count", range(2, 43))
def test_blocks_are_no_larger_than_they_must_be(count: int) -> None:
    """Size k gives k (k - 1) differences at most; the best covers known exceed that bound by one where they do."""
    bound = next(size for size in itertools.count(2) if size * (size - 1) >= count - 1)
    assert bound <= len(difference_cover(count)) <= bound + 1


def test_fewer_than_two_families_have_no_pairs() -> None:
    assert pair_blocks([]) == []
    assert difference_cover(1) == (0,)
