"""One kind of random kernel."""

from collections.abc import Callable
from dataclasses import dataclass

from tvm_narcost.zoo.builder import Value
from tvm_narcost.zoo.corpus.pool import Pool

__all__ = ["Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A kind of kernel, with what usually surrounds it.

    Attributes:
        weight: of the draw.
        build: adds one to the pool's network; returns the results, all float32.
    """

    weight: float
    build: Callable[[Pool], Value | list[Value]]
