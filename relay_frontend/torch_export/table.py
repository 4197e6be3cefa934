"""The table: ATen's operators, core and composite, as the canonical ones.

Keys are names without the overload; ``max.other`` is an overload of its own where overloads differ.
"""

from collections.abc import Mapping
from types import MappingProxyType

from relay_frontend.torch_export.call import Converter
from relay_frontend.torch_export.elementwise import ELEMENTWISE
from relay_frontend.torch_export.movement import CONSTANTS, MOVEMENT
from relay_frontend.torch_export.normalizations import NORMALIZATIONS
from relay_frontend.torch_export.products import PRODUCTS
from relay_frontend.torch_export.recurrent import RECURRENT
from relay_frontend.torch_export.reductions import REDUCTIONS
from relay_frontend.torch_export.windows import WINDOWS

__all__ = ["CONVERTERS", "converter_of", "functional_name", "is_constant"]

_ALL: Mapping[str, Converter] = {
    **REDUCTIONS, **ELEMENTWISE, **MOVEMENT, **NORMALIZATIONS, **PRODUCTS, **RECURRENT, **WINDOWS,
}  # fmt: skip

CONVERTERS: Mapping[str, Converter] = MappingProxyType(dict(_ALL))

_SEQUENCES = ("lstm", "gru", "rnn_tanh", "rnn_relu")  # their other overloads read packed sequences


def converter_of(target: str) -> Converter | None:
    """What converts ``aten.NAME.OVERLOAD``; None if nothing does."""
    namespace, _, rest = target.partition(".")
    if namespace != "aten":
        return None
    rest = functional_name(rest)
    name, _, overload = rest.partition(".")
    if name in _SEQUENCES and overload != "input":
        return None
    return CONVERTERS.get(rest) or CONVERTERS.get(name)


def functional_name(name: str) -> str:
    """``relu_.default`` and ``relu.default`` compute the same; the first writes it over its input."""
    base, dot, overload = name.partition(".")
    if base.endswith("_") and not base.endswith("__"):
        base = base[:-1]
    elif base.startswith("__i") and base.endswith("__"):
        base = f"__{base[3:]}"
    return f"{base}{dot}{overload}"


def is_constant(target: str) -> bool:
    """Whether the operator makes a tensor out of numbers alone."""
    return target.startswith("aten.") and functional_name(target[5:]).partition(".")[0] in CONSTANTS
