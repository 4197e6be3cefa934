"""Draws of the sizes that families share: resolutions, widths, depths."""

from tvm_narcost.zoo.builder import GraphBuilder

__all__ = ["image_size", "scaled"]

_USUAL = (32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 224, 224, 240, 256, 288, 299, 300, 320)


def image_size(b: GraphBuilder, low: int, high: int) -> int:
    """Side of the input image: mostly a usual one, now and then any number."""
    if b.rng.random() < 0.12:
        return b.rng.randint(low, high)
    return b.rng.choice([size for size in _USUAL if low <= size <= high])


def scaled(b: GraphBuilder, channels: int, low: float, high: float) -> int:
    """``channels`` times a width multiplier; a multiple of 8 in most networks, of 4 or of nothing in the others."""
    width = channels * (b.rng.choice([0.25, 0.5, 0.75, 1.0, 1.0, 1.25, 1.5]) if b.rng.random() < 0.5
                        else b.rng.uniform(low, high))  # fmt: skip
    width = channels * min(max(width / channels, low), high)
    divisor = b.rng.choices([16, 8, 4, 1], [0.35, 0.35, 0.15, 0.15])[0]
    return max(divisor, round(width / divisor) * divisor, 4)
