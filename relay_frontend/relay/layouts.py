"""Layouts: which letter of ``NCHW8c`` is which axis, and what a shape is in another one.

A capital letter is an axis, a number and a small letter a block of it that lies innermost.
"""

import re
from dataclasses import dataclass
from math import prod

from relay_frontend.errors import InvalidGraphError

__all__ = ["Layout", "change_layout", "parse_layout"]

_LETTER = re.compile(r"([A-Z])|([1-9]\d{0,5})([a-z])")


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout: for each axis of the tensor its letter, and the extent of a block (0: the axis is no block)."""

    axes: tuple[tuple[str, int], ...]

    @property
    def letters(self) -> str:
        """The capital letters, in order."""
        return "".join(letter for letter, block in self.axes if not block)

    @property
    def blocked(self) -> bool:
        """Whether any axis is split."""
        return any(block for _, block in self.axes)

    def extents(self, shape: tuple[int, ...], label: str) -> dict[str, int]:
        """Letter -> whole extent, blocks multiplied in.

        Raises:
            InvalidGraphError: the shape has another rank, or a block another extent.
        """
        if len(shape) != len(self.axes):
            raise InvalidGraphError(f"{label} has shape {list(shape)}, expected {len(self.axes)} dimensions")
        found = {letter: 1 for letter, _ in self.axes}
        for (letter, block), extent in zip(self.axes, shape, strict=True):
            if block and extent != block:
                raise InvalidGraphError(f"{label} has a block of {extent}, expected {block} as its layout says")
            found[letter] *= extent
        return found

    def shape(self, extents: dict[str, int], label: str) -> tuple[int, ...]:
        """The shape of a tensor with these whole extents; a block at the end may be filled up with zeros."""
        if set(extents) != set(self.letters):
            raise InvalidGraphError(f"{label} has axes {''.join(extents)}, expected those of {self.letters}")
        blocks = {letter: prod(size for name, size in self.axes if size and name == letter) for letter in self.letters}
        return tuple(block or -(-extents[letter] // blocks[letter]) for letter, block in self.axes)


def parse_layout(text: str, label: str) -> Layout:
    """Read a layout.

    Raises:
        InvalidGraphError: it is none.
    """
    axes: list[tuple[str, int]] = []
    place = 0
    while place < len(text):
        found = _LETTER.match(text, place)
        if found is None or len(axes) > 16:
            raise InvalidGraphError(f"{label} has layout {text[:40]!r}, expected one such as NCHW or NCHW8c")
        letter, size, block = found.groups()
        axes.append((letter, 0) if letter else (block.upper(), int(size)))
        place = found.end()
    letters = [letter for letter, block in axes if not block]
    if len(set(letters)) != len(letters) or {letter for letter, _ in axes} != set(letters):
        raise InvalidGraphError(f"{label} has layout {text[:40]!r}, expected each axis once and blocks of axes it has")
    return Layout(tuple(axes))


def change_layout(shape: tuple[int, ...], source: str, target: str, label: str) -> tuple[int, ...]:
    """The shape of a tensor in another layout."""
    return parse_layout(target, label).shape(parse_layout(source, label).extents(shape, label), label)
