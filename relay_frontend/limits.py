"""How much a model file may ask for: every reader holds what it reads against the same Limits.

A file is somebody else's. Whatever it holds, reading it ends in a graph or in a typed error, in bounded time and
memory.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from relay_frontend.errors import InvalidGraphError, LimitError

__all__ = ["DEFAULT_LIMITS", "Clock", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one model may ask for; the defaults let pass every network that runs on one machine.

    Attributes:
        file_bytes: size of the file; protobuf's own limit by default, larger networks keep weights beside the model.
        nodes: operators, those of functions and nested graphs included, each as often as it is inlined.
        nesting: graphs within graphs, functions within functions, brackets within brackets.
        rank: dimensions of one tensor.
        elements: elements of one tensor.
        seconds: CPU time for one file, so that it does not matter what else the machine does.
    """

    file_bytes: int = 2**31 - 1
    nodes: int = 100_000
    nesting: int = 64
    rank: int = 64
    elements: int = 2**40
    seconds: float = 30.0

    def __post_init__(self) -> None:
        wrong = {name: getattr(self, name) for name in self.__slots__ if not getattr(self, name) > 0}
        if wrong:
            raise ValueError(f"limits {wrong}, expected numbers above 0")

    def check_bytes(self, count: int, what: str) -> None:
        """Check the size of a file.

        Raises:
            LimitError: it is larger than ``file_bytes``.
        """
        if count > self.file_bytes:
            raise LimitError(
                f"{what} has {count} bytes, expected at most {self.file_bytes}: keep its weights outside of the model "
                "file, or raise Limits.file_bytes"
            )

    def check_nodes(self, count: int, what: str) -> None:
        """Check a number of operators.

        Raises:
            LimitError: there are more than ``nodes``.
        """
        if count > self.nodes:
            raise LimitError(f"{what} has {count} nodes, expected at most {self.nodes}: raise Limits.nodes to read it")

    def check_nesting(self, depth: int, what: str) -> None:
        """Check how deep something lies in others of its kind.

        Raises:
            LimitError: deeper than ``nesting``.
        """
        if depth > self.nesting:
            raise LimitError(
                f"{what} is nested {depth} deep, expected at most {self.nesting}: raise Limits.nesting to read it"
            )

    def check_shape(self, shape: Sequence[int], what: str) -> None:
        """Check rank and elements of a tensor.

        Raises:
            InvalidGraphError: an extent is negative.
            LimitError: more dimensions than ``rank``, or more elements than ``elements``.
        """
        if len(shape) > self.rank:
            raise LimitError(
                f"{what} has {len(shape)} dimensions, expected at most {self.rank}: raise Limits.rank to read it"
            )
        if any(extent < 0 for extent in shape):
            raise InvalidGraphError(f"{what} has shape {list(shape)}, expected extents of 0 or more")
        if math.prod(shape) > self.elements:
            raise LimitError(
                f"{what} has shape {list(shape)}, expected at most {self.elements} elements: is the file damaged? "
                "If not, raise Limits.elements"
            )

    def start_clock(self) -> "Clock":
        """A clock that starts to run now."""
        return Clock(self.seconds)


DEFAULT_LIMITS = Limits()


@dataclass(slots=True)
class Clock:
    """How long reading one file may take; asked at every node or so, since nothing else interrupts a reader."""

    seconds: float
    _started: float = field(default_factory=time.thread_time, init=False)

    def check(self, what: str) -> None:
        """Check that there is time left.

        Raises:
            LimitError: none is.
        """
        if time.thread_time() - self._started > self.seconds:
            raise LimitError(
                f"reading {what} takes more than {self.seconds:g} s of CPU: raise Limits.seconds to wait for it"
            )
