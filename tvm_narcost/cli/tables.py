"""Numbers and tables as the command line prints them."""

from collections.abc import Collection, Sequence

__all__ = ["aligned", "milliseconds", "scaled"]

_SCALES = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))


def milliseconds(value_ms: float | None) -> str:
    """Four significant digits at most, three after the point at most; a dash for none."""
    if value_ms is None:
        return "-"
    decimals = 3 if value_ms < 10 else 2 if value_ms < 100 else 1
    return f"{value_ms:.{decimals}f}"


def scaled(count: float) -> str:
    """A count with its SI prefix: 4.09 G."""
    for scale, prefix in _SCALES:
        if count >= scale:
            return f"{count / scale:.2f}{prefix}"
    return f"{count:.0f}"


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Lay rows out in columns, two spaces apart.

    Args:
        rows: the header, then the rows; all of one length.
        left: the columns of text, flush left; the others are numbers, flush right.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
