"""What a FLOPs rule is given and gives back."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from relay_frontend.graph import AttributeValue, TensorType

__all__ = ["Attributes", "FlopsRule", "Types", "integer", "integers"]

Attributes: TypeAlias = Mapping[str, AttributeValue]
Types: TypeAlias = Sequence[TensorType]
FlopsRule: TypeAlias = Callable[[Attributes, Types, Types], tuple[int, int]]
"""(attributes, input types, output types) -> (flops, padding_flops)"""


def integers(attributes: Attributes, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """An attribute of as many integers as ``default`` has.

    Raises:
        ValueError: it is something else.
    """
    value = attributes.get(name)
    if value is None or value == ():
        return default
    found = tuple(item for item in value if isinstance(item, int)) if isinstance(value, tuple) else ()
    if found != value or len(found) != len(default):
        raise ValueError(f"attribute {name} is {value!r}, expected {len(default)} integers")
    return found


def integer(attributes: Attributes, name: str, default: int) -> int:
    """An attribute that is an integer.

    Raises:
        ValueError: it is something else.
    """
    value = attributes.get(name, default)
    if not isinstance(value, int):
        raise ValueError(f"attribute {name} is {value!r}, expected an integer")
    return value
