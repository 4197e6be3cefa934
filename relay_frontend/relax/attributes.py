"""Attributes that an operator had before it became a PrimFunc, read off its loops.

Each function takes the segment of one operator and returns an object with the attributes that the converters of
operators.py ask for, under Relax's names. Windows are in windows.py.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from relay_frontend.relax.objects import kind_of
from relay_frontend.relax.segments import Segment
from relay_frontend.relax.stages import (
    Load,
    Stage,
    UnrecoverableError,
    affine,
    constants,
    find,
    loads_of,
)

__all__ = [
    "arg_reduction", "attention", "batch_norm", "clip_bounds", "concat", "equation", "gather", "gather_nd",
    "group_norm", "intrinsic_of", "layer_norm", "leaky", "pad", "permutation", "reduction", "resize",
    "slice_literals", "softmax", "split", "stack",
]  # fmt: skip


def reduction(segment: Segment) -> Any:
    """Axes that the first reduction runs over, and whether the result keeps them."""
    given, result = segment.input_types[0].shape, segment.output_types[0].shape
    return SimpleNamespace(axis=_reduced_axes(segment), keepdims=len(given) == len(result))


def arg_reduction(segment: Segment) -> Any:
    """The one axis along which the place of an extremum is looked for."""
    found = reduction(segment)
    if len(found.axis) != 1:
        raise UnrecoverableError("an extremum over several axes")
    found.axis = found.axis[0]
    return found


def _reduced_axes(segment: Segment) -> tuple[int, ...]:
    for stage in segment.stages:
        if any(axis.reduces for axis in stage.axes):
            own = {buffer for buffer, _, _ in stage.stores}
            load = next((load for load in loads_of(stage.value) if load.buffer not in own), None)
            if load is not None:
                return tuple(place for place, index in enumerate(load.indices) if _is_reduced(stage, index))
    raise UnrecoverableError("no stage that reduces")


def _is_reduced(stage: Stage, index: Any) -> bool:
    axis = stage.axis_of(index)
    return axis is not None and axis.reduces


def softmax(segment: Segment) -> Any:
    """The axis over which the maximum is taken."""
    axes = _reduced_axes(segment)
    if len(axes) != 1:
        raise UnrecoverableError("a softmax over several axes")
    return SimpleNamespace(axis=axes[0])


def layer_norm(segment: Segment) -> Any:
    """Axes of the mean, and what is added to the variance."""
    return SimpleNamespace(axes=_reduced_axes(segment), epsilon=_epsilon(segment))


def batch_norm(segment: Segment) -> Any:
    """What is added to the variance; the channel's axis is where the statistics lie once they are reshaped."""
    channels = segment.input_types[1].shape
    places = {
        kind.shape.index(channels[0])
        for stage in segment.stages
        if stage.name == "T_reshape" and len((kind := segment.types[stage.stores[0][0]]).shape) > 1
        if channels[0] in kind.shape and kind.elements == channels[0]
    }
    if channels[0] > 1 and len(places) != 1:
        raise UnrecoverableError("statistics of no one axis")
    trains = any(axis.reduces for stage in segment.stages for axis in stage.axes)
    return SimpleNamespace(axis=places.pop() if channels[0] > 1 else 1, epsilon=_epsilon(segment), training=trains)


def group_norm(segment: Segment) -> Any:
    """The number of groups is the second extent once the data is reshaped to [batch, groups, channels, ...]."""
    data = segment.input_types[0]
    grouped = next(
        (kind for stage in segment.stages if len((kind := segment.types[stage.stores[0][0]]).shape) > len(data.shape)),
        None,
    )
    if grouped is None or grouped.elements != data.elements:
        raise UnrecoverableError("data that is not reshaped to groups")
    return SimpleNamespace(num_groups=grouped.shape[1], epsilon=_epsilon(segment))


def _epsilon(segment: Segment) -> float:
    """The constant under the square root."""
    added: dict[Any, float] = {}
    for stage in segment.stages:
        for _, _, value in stage.stores:
            for call in find(value, "Call"):
                if intrinsic_of(call) in ("rsqrt", "sqrt"):
                    inside = constants(call.args[0]) or [
                        added[load.buffer] for load in loads_of(call.args[0]) if load.buffer in added
                    ]
                    if inside:
                        return inside[-1]
        if kind_of(stage.value) == "Add" and constants(stage.value):
            added[stage.stores[0][0]] = constants(stage.value)[-1]
    raise UnrecoverableError("no square root of a sum")


def intrinsic_of(call: Any) -> str:
    """``exp`` of a call of ``tirx.exp``; empty if it calls something else."""
    return str(getattr(call.op, "name", "") or getattr(call.op, "text", "")).rpartition(".")[2]


def permutation(segment: Segment) -> Any:
    """Which axis of the input each axis of the result is."""
    load, stage = _only_load(segment)
    places = [
        next((at for at, index in enumerate(load.indices) if _equal(index, want)), None) for want in stage.indices
    ]
    if None in places or len(set(places)) != len(load.indices):
        raise UnrecoverableError("indices that are no permutation")
    return SimpleNamespace(axes=tuple(places))


def _only_load(segment: Segment) -> tuple[Load, Stage]:
    stage = segment.stages[-1]
    loads = loads_of(stage.value)
    if len(segment.stages) != 1 or len(loads) != 1:
        raise UnrecoverableError("more than one read")
    return loads[0], stage


def _equal(first: Any, second: Any) -> bool:
    return first is second or (hasattr(first, "same_as") and bool(first.same_as(second)))


def slice_literals(segment: Segment) -> tuple[tuple[int, ...], ...]:
    """Axes, starts, ends and steps, as relax.strided_slice takes them."""
    load, stage = _only_load(segment)
    windows = []
    for place, (index, want) in enumerate(zip(load.indices, stage.indices, strict=True)):
        factors, start = affine(index)
        if set(factors) != {want}:
            raise UnrecoverableError("an index that is no slice")
        step, count = factors[want], segment.output_types[0].shape[place]
        # Of the ends that take as many, the one that most are written with: whole steps, as far as the data goes.
        end = min(start + step * count, segment.input_types[0].shape[place]) if step > 0 else start + step * count
        windows.append((place, start, end, step))
    return tuple(zip(*windows, strict=True))


def concat(segment: Segment) -> Any:
    """The one axis along which the extents add up."""
    given, result = [kind.shape for kind in segment.input_types], segment.output_types[0].shape
    fitting = [
        axis for axis in range(len(result))
        if sum(shape[axis] for shape in given) == result[axis]
        and all(shape[:axis] + shape[axis + 1 :] == result[:axis] + result[axis + 1 :] for shape in given)
    ]  # fmt: skip
    if not fitting:
        raise UnrecoverableError("extents that add up along no axis")
    return SimpleNamespace(axis=fitting[0])


def split(segment: Segment) -> Any:
    """The axis along which the parts are shorter than the whole."""
    whole = segment.input_types[0].shape
    axes = {
        axis for kind in segment.output_types for axis, extent in enumerate(kind.shape) if extent != whole[axis]
    }  # fmt: skip
    axis = min(axes, default=0)
    if len(axes) > 1 or sum(kind.shape[axis] for kind in segment.output_types) != whole[axis]:
        raise UnrecoverableError("parts that do not add up to the whole along one axis")
    return SimpleNamespace(axis=axis)


def equation(segment: Segment) -> Any:
    """Letters for the loops of one sum of products: ``ij,kj->ik``."""
    stage = segment.stages[-1]
    own = stage.stores[0][0]
    loads = [load for load in loads_of(stage.value) if load.buffer != own]
    variables: list[Any] = []
    for index in (index for load in (*loads, Load(own, stage.indices)) for index in load.indices):
        if stage.axis_of(index) is None:
            raise UnrecoverableError("an index that is no loop variable")
        if not any(_equal(index, known) for known in variables):
            variables.append(index)
    if len(segment.stages) != 1 or len(variables) > len(_LETTERS):
        raise UnrecoverableError("no one sum of products")

    def spell(indices: Sequence[Any]) -> str:
        places = [next(at for at, known in enumerate(variables) if _equal(index, known)) for index in indices]
        return "".join(_LETTERS[place] for place in places)

    return SimpleNamespace(subscripts=",".join(spell(load.indices) for load in loads) + "->" + spell(stage.indices))


_LETTERS = "ijklmnopqrstuvwxyzabcdefgh"


def stack(segment: Segment) -> Any:
    """The axis of the result that no read depends on."""
    stage = segment.stages[-1]
    for axis, want in enumerate(stage.indices):
        if not any(_equal(index, want) for load in loads_of(stage.value) for index in load.indices):
            return SimpleNamespace(axis=axis)
    raise UnrecoverableError("no new axis")


def gather(segment: Segment) -> Any:
    """The axis of the data whose index is itself read from a tensor."""
    loads = loads_of(segment.stages[-1].value)
    data = next((load for load in loads if load.buffer == segment.inputs[0]), None)
    axes = [] if data is None else [axis for axis, index in enumerate(data.indices) if loads_of(index)]
    if len(axes) != 1:
        raise UnrecoverableError("no one axis with an index of its own")
    return SimpleNamespace(axis=axes[0])


def gather_nd(segment: Segment) -> Any:
    """How many leading axes of the data are indexed by the result's own, before those that a tensor says."""
    stage = segment.stages[-1]
    data = next((load for load in loads_of(stage.value) if load.buffer == segment.inputs[0]), None)
    if data is None:
        raise UnrecoverableError("data that is not read")
    own = [stage.axis_of(index) is not None for index in data.indices]
    return SimpleNamespace(batch_dims=own.index(False) if False in own else len(own))


def pad(segment: Segment) -> Any:
    """Widths by pairs, and the constant around."""
    load, stage = _only_load(segment)
    given, result = segment.input_types[0].shape, segment.output_types[0].shape
    widths = []
    for index, before, after in zip(load.indices, given, result, strict=True):
        first = -affine(index)[1]
        widths += [first, after - before - first]
    numbers = constants(stage.value)
    return SimpleNamespace(pad_width=tuple(widths), pad_mode="constant", pad_value=numbers[-1] if numbers else 0.0)


def leaky(segment: Segment) -> Any:
    """What a negative number is multiplied by."""
    products = [number for part in find(segment.stages[-1].value, "Mul") for number in constants(part)]
    if len(products) != 1:
        raise UnrecoverableError("no one slope")
    return SimpleNamespace(alpha=products[0])


def resize(segment: Segment) -> Any:
    """The interpolation, by how many elements a result is made of."""
    counts = {1: "nearest_neighbor", 4: "linear", 16: "cubic"}
    count = len([load for load in loads_of(segment.stages[-1].value) if load.buffer == segment.inputs[0]])
    if count not in counts:
        raise UnrecoverableError(f"an interpolation of {count} elements")
    return SimpleNamespace(method=counts[count])


def attention(segment: Segment) -> Any:
    """Whether a mask is made on the way."""
    masked = any(stage.name.startswith(("trilu", "T_trilu")) for stage in segment.stages)
    return SimpleNamespace(causal_mask="TopLeft" if masked else None)


def clip_bounds(segment: Segment) -> tuple[tuple[float, ...], ...]:
    """The lower and the upper bound, as relax.clip takes them."""
    value = segment.stages[-1].value
    low: Sequence[float] = constants(value.b) if kind_of(value) in ("Max", "Min") else ()
    inner: Any = value.a if low else None
    high: Sequence[float] = constants(inner.b) if kind_of(inner) in ("Max", "Min") else ()
    if len(low) != 1 or len(high) != 1 or kind_of(value) == kind_of(inner):
        raise UnrecoverableError("no two bounds")
    bounds = (low[0], high[0]) if kind_of(value) == "Max" else (high[0], low[0])
    return tuple((bound,) for bound in bounds)
