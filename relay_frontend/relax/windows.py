"""Attributes of convolutions and pooling windows, from the loops that compute them.

A window shows in the index of its input: ``stride * output + dilation * tap - pad``. Padding is a stage of its own,
``pad_temp``, which reads the input at ``place - before``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import SimpleNamespace
from typing import Any

from relay_frontend.graph import TensorType
from relay_frontend.relax.segments import Segment
from relay_frontend.relax.stages import (
    Axis,
    Buffer,
    Expression,
    Load,
    Stage,
    UnrecoverableError,
    affine,
    find,
    loads_of,
)
from relay_frontend.relax.types import evaluate

__all__ = ["adaptive", "average_pool", "convolution", "max_pool", "transposed_convolution"]

_LAYOUTS = {3: ("NCW", "OIW", "IOW"), 4: ("NCHW", "OIHW", "IOHW"), 5: ("NCDHW", "OIDHW", "IODHW")}


@dataclass(frozen=True, slots=True)
class _Windows:
    """Extents, strides, dilations, one a spatial axis, and pads: all befores, then all afters."""

    taps: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]


def convolution(segment: Segment) -> Any:
    """Attributes as relax.nn.conv2d has them; channels must be the second axis."""
    data, weight = segment.input_types[:2]
    found = _windows(segment, *_window_stage(segment))
    if found.taps != weight.shape[2:] or segment.output_types[0].shape[1] != weight.shape[0]:
        raise UnrecoverableError("a weight that is not laid out as OIHW")
    layout, kernel_layout, _ = _LAYOUTS[len(data.shape)]
    return SimpleNamespace(
        strides=found.strides,
        padding=found.pads,
        dilation=found.dilations,
        groups=data.shape[1] // max(1, weight.shape[1]),
        data_layout=layout,
        kernel_layout=kernel_layout,
    )


def max_pool(segment: Segment) -> Any:
    """Attributes as relax.nn.max_pool2d has them. Rounding up shows as padding at the end, and is left there."""
    found = _windows(segment, *_window_stage(segment))
    return SimpleNamespace(
        pool_size=found.taps,
        strides=found.strides,
        padding=found.pads,
        dilation=found.dilations,
        ceil_mode=False,
        layout=_LAYOUTS[len(segment.input_types[0].shape)][0],
    )


def average_pool(segment: Segment) -> Any:
    """Attributes as relax.nn.avg_pool2d has them: padding counts where windows over it are divided by all taps."""
    found = max_pool(segment)
    stage = segment.stages[-1]
    divisor = getattr(stage.value, "b", None)
    corner = {axis.variable: 0 if any(found.padding[: len(found.strides)]) else axis.extent - 1 for axis in stage.axes}
    divided_by = evaluate(divisor, corner)
    found.count_include_pad = any(found.padding) and divided_by in (None, prod(found.pool_size))
    if divided_by is None and any(True for _ in find(divisor, "Var")):
        raise UnrecoverableError("windows that are divided by no known number")
    return found


def _window_stage(segment: Segment) -> tuple[Stage, Load]:
    """The stage that adds up, or compares, what is in a window, and how it reads the data."""
    for stage in segment.stages:
        if any(axis.reduces for axis in stage.axes):
            own = stage.stores[0][0]
            load = next((load for load in loads_of(stage.value) if load.buffer != own), None)
            if load is None or len(load.indices) not in _LAYOUTS:
                break
            return stage, load
    raise UnrecoverableError("no stage with windows")


def _tap(stage: Stage, factors: Mapping[Expression, int]) -> Axis:
    axes = [axis for variable in factors if (axis := stage.axis_of(variable)) is not None and axis.reduces]
    if len(axes) != 1:
        raise UnrecoverableError("a window without taps")
    return axes[0]


def _windows(segment: Segment, stage: Stage, load: Load) -> _Windows:
    strides, dilations, taps, offsets = [], [], [], []
    for index, output in list(zip(load.indices, stage.indices, strict=True))[2:]:
        factors, offset = affine(index)
        tap = _tap(stage, factors)
        if len(factors) != 2 or output not in factors:
            raise UnrecoverableError("an index that is no window")
        strides.append(factors[output])
        dilations.append(factors[tap.variable])
        taps.append(tap.extent)
        offsets.append(-offset)
    pads = _pads(segment, load, offsets)
    return _Windows(tuple(taps), tuple(strides), tuple(dilations), pads)


def _pads(segment: Segment, load: Load, offsets: list[int]) -> tuple[int, ...]:
    if load.buffer in segment.inputs:
        if any(offsets):
            raise UnrecoverableError("a window that begins outside of the data, and no padding")
        return (0,) * (2 * len(offsets))
    padded, read = _read_by(segment, load.buffer)
    if read.buffer not in segment.inputs:
        raise UnrecoverableError("padding of something else than the data")
    before = [offset - affine(index)[1] for index, offset in zip(read.indices[2:], offsets, strict=True)]
    sizes = zip(padded.shape[2:], segment.types[read.buffer].shape[2:], before, strict=True)
    return (*before, *(whole - part - first for whole, part, first in sizes))


def transposed_convolution(segment: Segment) -> Any:
    """Attributes as relax.nn.conv2d_transpose has them, from its stages ``data_dilate`` and ``data_pad``.

    What is cropped at the end and what is added there (output_padding) shows only as a sum: as much is taken to be
    cropped as at the beginning.
    """
    data, weight = segment.input_types[:2]
    output = segment.output_types[0]
    stage, load = _window_stage(segment)
    reach = [_tap(stage, affine(index)[0]).extent for index in load.indices[2:]]
    wide, spread = _read_by(segment, load.buffer)
    narrow, _ = _read_by(segment, spread.buffer)
    before = [-affine(index)[1] for index in spread.indices[2:]]
    if segment.stages[0].stores[0][0] != spread.buffer or len(wide.shape) not in _LAYOUTS:
        raise UnrecoverableError("data that is not spread first")
    strides = [_ratio(n, m) for n, m in zip(narrow.shape[2:], data.shape[2:], strict=True)]
    pads = [size - 1 - first for size, first in zip(reach, before, strict=True)]
    plain = [(n - 1) * s - 2 * p + k for n, s, p, k in zip(data.shape[2:], strides, pads, reach, strict=True)]
    extra = tuple(n - m for n, m in zip(output.shape[2:], plain, strict=True))
    if min(extra) < 0 or output.shape[1] % weight.shape[1]:
        raise UnrecoverableError("more is cropped at the end than at the beginning, or the weight is not IOHW")
    layout, _, kernel_layout = _LAYOUTS[len(data.shape)]
    return SimpleNamespace(
        strides=tuple(strides),
        padding=(*pads, *pads),
        output_padding=extra,
        dilation=tuple(_ratio(n, m) for n, m in zip(reach, weight.shape[2:], strict=True)),
        groups=output.shape[1] // weight.shape[1],
        data_layout=layout,
        kernel_layout=kernel_layout,
    )


def _ratio(wide: int, narrow: int) -> int:
    """How far elements lie apart that were next to each other; 1 where there is only one."""
    return (wide - 1) // (narrow - 1) if narrow > 1 else 1


def _read_by(segment: Segment, buffer: Buffer) -> tuple[TensorType, Load]:
    """The type of a buffer, and the one read of the stage that writes it."""
    stage = next((stage for stage in segment.stages if stage.stores[0][0] == buffer), None)
    reads = [] if stage is None else loads_of(stage.value)
    if len(reads) != 1:
        raise UnrecoverableError("padding that reads more than the data")
    return segment.types[buffer], reads[0]


def adaptive(segment: Segment) -> Any:
    """Attributes as relax.nn.adaptive_avg_pool2d has them; sizes are in the types."""
    shapes = [kind.shape for kind in (*segment.input_types, *segment.output_types)]
    if len({shape[:2] for shape in shapes}) != 1 or len(shapes[0]) not in _LAYOUTS:
        raise UnrecoverableError("channels that are not the second axis")
    return SimpleNamespace(layout=_LAYOUTS[len(shapes[0])][0])
