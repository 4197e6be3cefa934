"""An operator at one place of a network, as the rules that rewrite its attributes see it."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import AttributeValue, TensorType

__all__ = ["Call"]


@dataclass(slots=True)
class Call:
    """An operator at one place of a network; ``attributes`` is what the rules below rewrite."""

    label: str
    op: str
    version: int
    attributes: dict[str, AttributeValue]
    inputs: Sequence[TensorType]
    outputs: Sequence[TensorType]

    def ints(self, name: str) -> tuple[int, ...] | None:
        """A list of integers; None where it is not there."""
        value = self.attributes.get(name)
        if value is None:
            return None
        if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
            return value  # type: ignore[return-value]
        raise InvalidGraphError(f"{self.label} has {name}={value!r}, expected a list of integers")

    def integer(self, name: str, default: int) -> int:
        """An integer."""
        value = self.attributes.get(name, default)
        if isinstance(value, int):
            return value
        raise InvalidGraphError(f"{self.label} has {name}={value!r}, expected an integer")

    def axis(self, value: int, rank: int) -> int:
        """A non-negative axis of ``rank`` dimensions."""
        if not -rank <= value < max(rank, 1):
            raise InvalidGraphError(f"{self.label} names axis {value}, expected one of {-rank} to {rank - 1}")
        return value + rank if value < 0 else value
