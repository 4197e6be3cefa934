"""An exported program as plain values: the calls of ATen operators in order, and the type of each value.

A ``.pt2`` file and a live ``ExportedProgram`` both become one of these; reader.py knows no other source.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, Union

from relay_frontend.graph import TensorType

__all__ = ["Argument", "AtenCall", "AtenProgram", "OpenType", "Ref", "ValueType"]


@dataclass(frozen=True, slots=True)
class Ref:
    """An argument that is a value of the program, by its name."""

    name: str


# Of dtypes the numpy-style name; devices, layouts and memory formats say nothing about cost and are None.
Argument: TypeAlias = Union[bool, int, float, str, Ref, tuple["Argument", ...], None]  # noqa: UP007  # recursive


@dataclass(frozen=True, slots=True)
class OpenType:
    """The type of a tensor some of whose dimensions have no value; ``shape`` has their expressions as text."""

    shape: tuple[int | str, ...]
    dtype: str

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.shape))}]"


ValueType: TypeAlias = TensorType | OpenType


@dataclass(frozen=True, slots=True)
class AtenCall:
    """One call.

    Attributes:
        target: the operator with its overload, ``aten.conv2d.default``.
        name: of the call, as the program has it.
        arguments: by the name that the operator's schema gives them; those left at their default may be missing.
        outputs: names of the tensors that it makes, in order; None for what is no tensor.
        body: of ``wrap_with_set_grad_enabled`` and its like: the program that they wrap.
    """

    target: str
    name: str
    arguments: Mapping[str, Argument]
    outputs: tuple[str | None, ...]
    body: "AtenProgram | None" = None

    @property
    def label(self) -> str:
        """How messages name the call."""
        return f"{self.target} {self.name!r}"


@dataclass(frozen=True, slots=True)
class AtenProgram:
    """A whole program.

    Attributes:
        calls: in order.
        types: of each tensor, by name.
        inputs: names of the tensors that a caller passes in. Buffers that the program writes to are among them.
        parameters: name of the value -> name of the weight, buffer or constant.
        outputs: names of the tensors that it returns or writes to buffers.
    """

    calls: tuple[AtenCall, ...]
    types: Mapping[str, ValueType]
    inputs: tuple[str, ...]
    parameters: Mapping[str, str]
    outputs: tuple[str, ...]
