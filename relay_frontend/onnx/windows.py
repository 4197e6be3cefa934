"""Windows of convolutions and poolings: kernel, strides, dilations and pads, all of them explicit."""

from collections.abc import MutableMapping, Sequence

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import AttributeValue

__all__ = ["resolve_transposed_window", "resolve_window", "window_output"]

_Attributes = MutableMapping[str, AttributeValue]


def resolve_window(label: str, attributes: _Attributes, extents: Sequence[int]) -> None:
    """Make kernel_shape, strides, pads and dilations explicit in place; auto_pad becomes pads.

    Args:
        label: how messages name the node.
        attributes: of Conv or a pooling; ``auto_pad`` is taken out.
        extents: the input's spatial extents.
    """
    kernel, strides, dilations = _lists(label, attributes, len(extents))
    mode = attributes.pop("auto_pad", "NOTSET")
    pads = _ints(label, attributes, "pads", (0,) * (2 * len(extents)))
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max((-(-extent // stride) - 1) * stride + (size - 1) * dilation + 1 - extent, 0)
            for extent, size, stride, dilation in zip(extents, kernel, strides, dilations, strict=True)
        ]
        pads = _halves(totals, small_first=mode == "SAME_UPPER")
    elif mode == "VALID":
        pads = (0,) * (2 * len(extents))
    _check_mode(label, mode)
    _store(attributes, kernel, strides, pads, dilations)


def resolve_transposed_window(label: str, attributes: _Attributes, extents: Sequence[int]) -> None:
    """The same for ConvTranspose, whose pads may also be given by ``output_shape``."""
    kernel, strides, dilations = _lists(label, attributes, len(extents))
    mode = attributes.pop("auto_pad", "NOTSET")
    extra = _ints(label, attributes, "output_padding", (0,) * len(extents))
    pads = _ints(label, attributes, "pads", (0,) * (2 * len(extents)))
    wanted = _ints(label, attributes, "output_shape", ())[-len(extents) :] if extents else ()
    attributes.pop("output_shape", None)
    if mode in ("SAME_UPPER", "SAME_LOWER") and not wanted:
        wanted = tuple(extent * stride for extent, stride in zip(extents, strides, strict=True))
    if wanted:
        totals = [
            max(stride * (extent - 1) + more + (size - 1) * dilation + 1 - out, 0)
            for extent, size, stride, dilation, more, out in zip(
                extents, kernel, strides, dilations, extra, wanted, strict=True
            )
        ]
        pads = _halves(totals, small_first=mode == "SAME_UPPER")
    elif mode == "VALID":
        pads = (0,) * (2 * len(extents))
    _check_mode(label, mode)
    _store(attributes, kernel, strides, pads, dilations)
    attributes["output_padding"] = extra


def window_output(label: str, attributes: _Attributes, extents: Sequence[int]) -> tuple[int, ...]:
    """Spatial extents that a resolved Conv or pooling window writes; honours ``ceil_mode``."""
    kernel, strides, dilations = _lists(label, attributes, len(extents))
    pads = _ints(label, attributes, "pads", (0,) * (2 * len(extents)))
    rank = len(extents)
    found = []
    for axis, (extent, size, stride, dilation) in enumerate(zip(extents, kernel, strides, dilations, strict=True)):
        room = extent + pads[axis] + pads[axis + rank] - (size - 1) * dilation - 1
        if room < 0:
            raise InvalidGraphError(
                f"{label} has a window of {(size - 1) * dilation + 1} over {extent} padded elements, expected it to fit"
            )
        steps = room // stride
        if attributes.get("ceil_mode") and room % stride and (steps + 1) * stride < extent + pads[axis]:
            steps += 1  # a window that starts in the padding behind the input is left out
        found.append(steps + 1)
    return tuple(found)


def _lists(label: str, attributes: _Attributes, rank: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    kernel = _ints(label, attributes, "kernel_shape", ())
    strides = _ints(label, attributes, "strides", (1,) * rank)
    dilations = _ints(label, attributes, "dilations", (1,) * rank)
    for name, values in (("kernel_shape", kernel), ("strides", strides), ("dilations", dilations)):
        if len(values) != rank or any(value < 1 for value in values):
            raise InvalidGraphError(f"{label} has {name} {values}, expected {rank} positive integers")
    return kernel, strides, dilations


def _ints(label: str, attributes: _Attributes, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    value = attributes.get(name)
    if value is None or value == ():
        return default
    if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
        if default and len(value) != len(default):
            raise InvalidGraphError(f"{label} has {name} {value}, expected {len(default)} integers")
        return value  # type: ignore[return-value]
    raise InvalidGraphError(f"{label} has {name}={value!r}, expected a list of integers")


def _halves(totals: Sequence[int], *, small_first: bool) -> tuple[int, ...]:
    small = tuple(total // 2 for total in totals)
    large = tuple(total - total // 2 for total in totals)
    return small + large if small_first else large + small


def _check_mode(label: str, mode: AttributeValue) -> None:
    if mode not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise InvalidGraphError(f"{label} has auto_pad {mode!r}, expected NOTSET, SAME_UPPER, SAME_LOWER or VALID")


def _store(
    attributes: _Attributes,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
) -> None:
    attributes.update(kernel_shape=kernel, strides=strides, pads=pads, dilations=dilations)
