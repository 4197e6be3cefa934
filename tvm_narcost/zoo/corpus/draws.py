"""Draws of extents: log-uniform, now round, now odd."""

import math
import random
from collections.abc import Sequence

__all__ = ["batch_size", "factorised", "image_shape", "log_uniform", "tensor_shape", "width"]


def log_uniform(rng: random.Random, low: int, high: int) -> int:
    """A whole number of ``low`` to ``high``, each octave as likely as the next."""
    drawn: float = low * (max(high, low) / low) ** rng.random()
    return min(high, max(low, round(drawn)))


def width(rng: random.Random, low: int = 1, high: int = 2048) -> int:
    """Channels or features: log-uniform; half of them any number, the others multiples of 4 to 64 or powers of two."""
    extent = log_uniform(rng, low, high)
    step = rng.choices([1, 4, 8, 16, 32, 64, 0], [0.5, 0.05, 0.1, 0.12, 0.06, 0.05, 0.12])[0]
    if step == 0:
        rounded: int = 2 ** round(math.log2(extent))
    else:
        rounded = round(extent / step) * step
    return rounded if low <= rounded <= high else extent


def batch_size(rng: random.Random) -> int:
    """1 mostly, up to 8."""
    return rng.choice([1, 1, 1, 1, 1, 1, 2, 3, 4, 8])


def image_shape(rng: random.Random, most_elements: int, spatial: int = 2) -> tuple[int, ...]:
    """[n, c, spatial...] of at most ``most_elements``; tiny images as often as large ones."""
    longest = {1: 16384, 2: 512, 3: 64}[spatial]
    for _ in range(60):
        first = log_uniform(rng, 1, longest)
        square = rng.random() < 0.6
        sides = [first if square else log_uniform(rng, 1, longest) for _ in range(spatial)]
        shape = (batch_size(rng), width(rng), *sides)
        if math.prod(shape) <= most_elements:
            return shape
    return (1, width(rng, 1, 16), *[2] * spatial)


def tensor_shape(rng: random.Random, most_elements: int, rank: int) -> tuple[int, ...]:
    """Any shape of ``rank`` axes and at most ``most_elements``; the number of elements is log-uniform."""
    left = max(log_uniform(rng, 1, most_elements) for _ in range(rng.choice([1, 2])))
    extents = []
    for remaining in range(rank, 1, -1):
        extent = max(1, round(left ** (rng.random() * 2 / remaining)))
        extent = min(left, width(rng, extent, max(extent, extent * 5 // 4)))
        extents.append(extent)
        left = max(1, left // extent)
    extents.append(left)
    rng.shuffle(extents)
    return tuple(extents)


def factorised(rng: random.Random, elements: int, rank: int, least: Sequence[int] = ()) -> tuple[int, ...] | None:
    """``elements`` as a product of ``rank`` extents, the i-th at least ``least[i]``; None where none is found."""
    for _ in range(8):
        left, shape = elements, []
        for _ in range(rank - 1):
            divisors = [d for d in range(1, min(left, 4096) + 1) if left % d == 0]
            extent = rng.choice(divisors)
            shape.append(extent)
            left //= extent
        shape.append(left)
        rng.shuffle(shape)
        if all(extent >= bound for extent, bound in zip(shape, least, strict=False)):
            return tuple(shape)
    return None
