"""What a shape rule of a com.microsoft operator is given and gives back."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from relay_frontend.graph import AttributeValue, TensorType
from relay_frontend.onnx.source import SourceNode

__all__ = ["Attributes", "Inputs", "Outcome", "Rule", "broadcast", "given", "integer", "needed"]

Attributes: TypeAlias = dict[str, AttributeValue]
Inputs: TypeAlias = Sequence[TensorType]  # those that are there, in order
Outcome: TypeAlias = tuple[TensorType, ...]
Rule: TypeAlias = Callable[[SourceNode, Inputs, Attributes, int], Outcome]


def given(node: SourceNode, inputs: Inputs, slot: int) -> TensorType | None:
    """The type of the input at ``slot`` of the operator's schema; None where it is left out."""
    if slot >= len(node.inputs) or not node.inputs[slot]:
        return None
    return inputs[sum(bool(name) for name in node.inputs[:slot])]


def needed(node: SourceNode, inputs: Inputs, slot: int) -> TensorType:
    """The same of an input that must be there.

    Raises:
        ValueError: it is left out.
    """
    found = given(node, inputs, slot)
    if found is None:
        raise ValueError(f"input {slot} is left out")
    return found


def integer(attributes: Attributes, name: str, default: int | None = None) -> int:
    """An attribute that is a number; one that must be there where there is no default.

    Raises:
        KeyError: it is not there.
        TypeError: it is no integer.
    """
    value = attributes[name] if default is None else attributes.get(name, default)
    if not isinstance(value, int):
        raise TypeError(f"{name}={value!r} is no integer")
    return value


def broadcast(*kinds: TensorType) -> tuple[int, ...]:
    """The shape that all of them broadcast to.

    Raises:
        ValueError: they do not.
    """
    return tuple(int(extent) for extent in np.broadcast_shapes(*(kind.shape for kind in kinds)))
