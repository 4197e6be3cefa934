"""One call of a Relay operator, as the rules of the table see it."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from relay_frontend.errors import DynamicShapeError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import AttributeValue, Edge, TensorType
from relay_frontend.relay.program import Plain

__all__ = ["Call", "Converter", "Host", "Infer"]

_SINGLE = struct.Struct("<f")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operator.

    Attributes:
        op: Relay's name, ``nn.conv2d``.
        label: how messages name it.
        inputs: types of the tensors that it reads, tuples flattened.
        attributes: Relay's own; a text leaves out those that have their default.
        edges: where the inputs come from.
        values: elements of those inputs that are small constants, else None.
        outputs: types of the results; empty while they are inferred.
    """

    op: str
    label: str
    inputs: tuple[TensorType, ...]
    attributes: Mapping[str, Plain]
    edges: tuple[Edge, ...] = ()
    values: tuple[tuple[int | float, ...] | None, ...] = ()
    outputs: tuple[TensorType, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first input."""
        return self.input(0).shape

    @property
    def dtype(self) -> str:
        """The dtype of the first input."""
        return self.input(0).dtype

    def input(self, index: int) -> TensorType:
        """The type of an input.

        Raises:
            InvalidGraphError: there are fewer.
        """
        if index >= len(self.inputs):
            raise InvalidGraphError(f"{self.label} has {len(self.inputs)} inputs, expected {index + 1} or more")
        return self.inputs[index]

    def wrong(self, got: object, expected: str) -> InvalidGraphError:
        """The error of a call that does not fit its operator."""
        return InvalidGraphError(f"{self.label} has {got}, expected {expected}")

    def ints(self, name: str, default: tuple[int, ...] | None = ()) -> tuple[int, ...]:
        """A list of integers; a single one is a list of it. Without a default it must be there."""
        value = self.attributes.get(name)
        if value is None:
            if default is None:
                raise self.wrong(f"no {name}", "one")
            return default
        found = value if isinstance(value, tuple) else (value,)
        if "?" in found:
            raise DynamicShapeError(f"{self.label} has {name} {found}, expected integers: bind the dynamic dimensions")
        if not all(isinstance(item, int) for item in found):
            raise self.wrong(f"{name}={str(found)[:60]}", "integers")
        return tuple(item for item in found if isinstance(item, int))

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer."""
        found = self.ints(name, None if default is None else (default,))
        if len(found) != 1:
            raise self.wrong(f"{name}={found[:8]}", "one integer")
        return int(found[0])

    def number(self, name: str, default: float | None = None) -> float:
        """A number, rounded to float32: a text says 1e-05 where the module has the float32 next to it, as ONNX does."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float):
            raise self.wrong(f"{name}={str(value)[:40]!r}", "a number")
        if not abs(value) < 3.4e38:
            return float(value)
        rounded: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
        return rounded

    def text(self, name: str, default: str) -> str:
        """A text; an empty one is the default."""
        value = self.attributes.get(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(f"{name}={str(value)[:40]}", "a text")
        return value or default

    def axis(self, value: int, rank: int) -> int:
        """A non-negative axis."""
        if not -rank <= value < rank:
            raise self.wrong(f"axis {value}", f"one of {-rank} to {rank - 1}")
        return value % rank

    def axes(self, name: str, rank: int) -> tuple[int, ...]:
        """Axes, all of them if none is named; none twice."""
        found = tuple(self.axis(item, rank) for item in self.ints(name, tuple(range(rank))))
        if len(set(found)) != len(found):
            raise self.wrong(f"{name} {found}", "each axis once")
        return found

    def refuse(self, got: str, expected: str) -> UnsupportedOperatorError:
        """The error of a variant that the table does not have."""
        return UnsupportedOperatorError(f"{self.label} has {got}, expected {expected}")


class Host(Protocol):
    """The graph that is being built."""

    def emit(
        self,
        op: str,
        inputs: tuple[Edge, ...],
        outputs: tuple[TensorType, ...],
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Edge:
        """Add a node; its first output."""

    def add_parameter(self, name: str, kind: TensorType) -> Edge:
        """Add a constant."""

    def parameter_name(self, edge: Edge) -> str | None:
        """The name of a constant; None for what is computed."""


Infer = Callable[[Call], tuple[TensorType, ...]]
Converter = Callable[[Call, Host], Edge]
