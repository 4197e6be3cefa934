"""How many taps of a sliding window fall on data and how many in the padding, exactly and in closed form."""

__all__ = ["valid_taps"]


def valid_taps(positions: int, taps: int, stride: int, dilation: int, pad_begin: int, extent: int) -> int:
    """Count along one axis the (position, tap) pairs that fall on data.

    Counts pairs with ``0 <= position * stride + tap * dilation - pad_begin < extent``, out of ``positions * taps``.
    Axes are independent, so the count of a window over several axes is the product. Takes logarithmic time, so that
    an absurd kernel in a hostile file costs nothing.

    Raises:
        ValueError: a stride or a dilation below 1.
    """
    if stride < 1 or dilation < 1:
        raise ValueError(f"stride {stride}, dilation {dilation}, expected both to be at least 1")
    if positions < 1 or taps < 1:
        return 0
    first, last = -pad_begin, (positions - 1) * stride + (taps - 1) * dilation - pad_begin
    if first >= 0 and last < extent:
        return positions * taps
    return _pairs_below(extent + pad_begin, positions, taps, stride, dilation) - _pairs_below(
        pad_begin, positions, taps, stride, dilation
    )


def _pairs_below(limit: int, positions: int, taps: int, stride: int, dilation: int) -> int:
    """Count pairs with ``position * stride + tap * dilation < limit``."""
    # Taps before `whole` leave every position below the limit, taps from `some` on leave none.
    whole = min(max(_ceil_div(limit - (positions - 1) * stride, dilation), 0), taps)
    some = min(max(_ceil_div(limit, dilation), 0), taps)
    room = limit - (some - 1) * dilation  # of the last tap that leaves any; grows by `dilation` with each one before it
    return whole * positions + _floor_sum(some - whole, stride, dilation, room + stride - 1)


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _floor_sum(count: int, modulus: int, step: int, start: int) -> int:
    """Sum of ``(start + step * i) // modulus`` for i below ``count``, as Euclid's algorithm; arguments not negative."""
    total = 0
    while count > 0:
        total += count * (count - 1) // 2 * (step // modulus) + count * (start // modulus)
        step %= modulus
        start %= modulus
        count, start = divmod(step * count + start, modulus)
        modulus, step = step, modulus
    return total
