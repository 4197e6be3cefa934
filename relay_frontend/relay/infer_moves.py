"""Types of operators that move data or only look at it in another way."""

import itertools
from math import prod

from relay_frontend.graph import TensorType
from relay_frontend.relay.call import Call, Infer
from relay_frontend.relay.infer_values import broadcast_shapes
from relay_frontend.relay.layouts import change_layout, parse_layout

__all__ = [
    "adv_index",
    "affine_grid",
    "batch_flatten",
    "broadcast_to",
    "concatenate",
    "crop_and_resize",
    "cumulative",
    "depth_to_space",
    "expand_dims",
    "gather",
    "gather_nd",
    "grid_sample",
    "layout_transform",
    "meshgrid",
    "pad",
    "repeat",
    "reshape",
    "resize",
    "reverse_reshape",
    "roi",
    "slice_like",
    "split",
    "squeeze",
    "stack",
    "strided_slice",
    "take",
    "tile",
    "transpose",
    "upsampling",
]

Types = tuple[TensorType, ...]


def _like(call: Call, *shape: int) -> Types:
    return (TensorType(shape, call.dtype),)


def reshape(call: Call) -> Types:
    """With the special codes of Relay: 0 copies, -1 infers, -2 copies the rest, -3 joins two, -4 splits one in two."""
    wanted = call.ints("newshape", None) if len(call.inputs) < 2 else _known(call, 1)
    return _like(call, *_reshaped(call, call.shape, wanted))


def _known(call: Call, index: int) -> tuple[int, ...]:
    """Elements of an input that has to be a constant."""
    values = call.values[index] if index < len(call.values) else None
    if values is None:
        raise call.refuse(f"input {index} that is computed or large", "a small constant: fold constants in the module")
    return tuple(map(int, values))


def reverse_reshape(call: Call) -> Types:
    """The same from right to left."""
    wanted = call.ints("newshape", None)
    return _like(call, *reversed(_reshaped(call, call.shape[::-1], wanted[::-1])))


def _reshaped(call: Call, given: tuple[int, ...], wanted: tuple[int, ...]) -> list[int]:
    found: list[int] = []
    infer = -1
    source = place = 0

    def take() -> int:
        nonlocal source
        if source >= len(given):
            raise call.wrong(f"newshape {wanted[:12]} for {list(given)}", "codes for axes that are there")
        source += 1
        return given[source - 1]

    while place < len(wanted):
        code = wanted[place]
        place += 1
        if code > 0:
            found.append(code)
            source += 1
        elif code == 0:
            found.append(0 if call.attributes.get("allowzero") else take())
        elif code == -1:
            if infer >= 0:
                raise call.wrong(f"newshape {wanted[:12]}", "one -1")
            infer = len(found)
            found.append(1)
            source += 1
        elif code == -2:
            found.extend(given[source:])
            source = len(given)
        elif code == -3:
            found.append(take() * take())
        elif code == -4 and place + 2 <= len(wanted):
            whole, parts = take(), list(wanted[place : place + 2])
            place += 2
            if parts.count(-1) == 1 and max(parts) > 0:
                parts[parts.index(-1)] = whole // max(parts)
            if min(parts) < 0 or parts[0] * parts[1] != whole:
                raise call.wrong(f"a split of {whole} into {parts}", "two factors of it")
            found.extend(parts)
        else:
            raise call.wrong(f"newshape {wanted[:12]}", "codes from -4 up")
    known: int = prod(tuple(found))
    if infer >= 0 and known:
        found[infer] = prod(given) // known
        known *= found[infer]
    if known != prod(given):
        raise call.wrong(f"newshape {wanted[:12]} for {list(given)}", "as many elements")
    return found


def batch_flatten(call: Call) -> Types:
    """All but the first axis in one."""
    if not call.shape:
        raise call.wrong("a scalar", "at least one axis")
    return _like(call, call.shape[0], prod(call.shape[1:]))


def transpose(call: Call) -> Types:
    """A permutation; reversed where none is named."""
    rank = len(call.shape)
    axes = call.axes("axes", rank) if call.attributes.get("axes") else tuple(reversed(range(rank)))
    if sorted(axes) != list(range(rank)):
        raise call.wrong(f"axes {axes}", f"a permutation of {rank}")
    return _like(call, *(call.shape[axis] for axis in axes))


def squeeze(call: Call) -> Types:
    """Without the named axes of 1, or all of them."""
    rank = len(call.shape)
    named = call.attributes.get("axis") is not None
    gone = set(call.axes("axis", rank)) if named else {axis for axis, extent in enumerate(call.shape) if extent == 1}
    if any(call.shape[axis] != 1 for axis in gone):
        raise call.wrong(f"axis {sorted(gone)} of {list(call.shape)}", "axes of 1")
    return _like(call, *(extent for axis, extent in enumerate(call.shape) if axis not in gone))


def expand_dims(call: Call) -> Types:
    """New axes of 1 in one place."""
    count = call.integer("num_newaxis", 1)
    if not 0 <= count <= 64:
        raise call.wrong(f"num_newaxis {count}", "0 to 64")
    place = call.axis(call.integer("axis"), len(call.shape) + 1)
    return _like(call, *call.shape[:place], *(1,) * count, *call.shape[place:])


def concatenate(call: Call) -> Types:
    """Joined along an axis."""
    axis = call.axis(call.integer("axis", 0), len(call.shape))
    rests = {(kind.shape[:axis], kind.shape[axis + 1 :], kind.dtype) for kind in call.inputs}
    if len(rests) != 1 or any(len(kind.shape) <= axis for kind in call.inputs):
        raise call.wrong(f"parts of {[list(kind.shape) for kind in call.inputs][:8]}", "parts that differ in one axis")
    whole = sum(kind.shape[axis] for kind in call.inputs)
    return _like(call, *call.shape[:axis], whole, *call.shape[axis + 1 :])


def stack(call: Call) -> Types:
    """Joined along a new axis."""
    if len(set(call.inputs)) != 1:
        raise call.wrong(f"parts of {[list(kind.shape) for kind in call.inputs][:8]}", "parts of one type")
    axis = call.axis(call.integer("axis", 0), len(call.shape) + 1)
    return _like(call, *call.shape[:axis], len(call.inputs), *call.shape[axis:])


def split(call: Call) -> Types:
    """Into equal parts, or at places."""
    axis = call.axis(call.integer("axis", 0), len(call.shape))
    extent, given = call.shape[axis], call.attributes.get("indices_or_sections")
    if isinstance(given, tuple):
        places = (0, *call.ints("indices_or_sections"), extent)
        sizes = [end - start for start, end in itertools.pairwise(places)]
    else:
        count = call.integer("indices_or_sections")
        if not 1 <= count <= 65536 or extent % count:
            raise call.wrong(f"{count} sections of {extent}", "a divisor")
        sizes = [extent // count] * count
    if min(sizes) < 0:
        raise call.wrong(f"places {str(given)[:60]}", f"ascending ones within {extent}")
    before, after = call.shape[:axis], call.shape[axis + 1 :]
    return tuple(TensorType((*before, size, *after), call.dtype) for size in sizes)


def take(call: Call) -> Types:
    """Rows by number; without an axis of the flattened data."""
    indices = call.input(1).shape
    if call.attributes.get("axis") is None:
        return _like(call, *indices)
    axis, batch = call.axis(call.integer("axis"), len(call.shape)), call.integer("batch_dims", 0)
    batch = batch + len(indices) if batch < 0 else batch
    if not 0 <= batch <= min(axis, len(indices)) or call.shape[:batch] != indices[:batch]:
        raise call.wrong(f"batch_dims {batch} of {list(indices)}", "axes that both have")
    return _like(call, *call.shape[:axis], *indices[batch:], *call.shape[axis + 1 :])


def gather(call: Call) -> Types:
    """Elements along an axis, one an index."""
    call.axis(call.integer("axis"), len(call.shape))
    if len(call.input(1).shape) != len(call.shape):
        raise call.wrong(f"indices of {list(call.input(1).shape)}", f"{len(call.shape)} dimensions")
    return _like(call, *call.input(1).shape)


def gather_nd(call: Call) -> Types:
    """Slices by the coordinates in the first axis of the indices."""
    indices, batch = call.input(1).shape, call.integer("batch_dims", 0)
    if not indices or not batch >= 0 or indices[0] + batch > len(call.shape):
        raise call.wrong(f"indices of {list(indices)} into {list(call.shape)}", "coordinates of its axes")
    return _like(call, *indices[1:], *call.shape[indices[0] + batch :])


def adv_index(call: Call) -> Types:
    """Numpy's indexing by arrays of the first axes."""
    indices = [kind.shape for kind in call.inputs[1:]]
    return _like(call, *broadcast_shapes(call, indices), *call.shape[len(indices) :])


def strided_slice(call: Call) -> Types:
    """From begin to end; in mode ``size``, end holds sizes."""
    shape = list(call.shape)
    begins, ends, strides = call.ints("begin"), call.ints("end"), call.ints("strides", (1,))
    axes = call.axes("axes", len(shape)) if call.attributes.get("axes") else tuple(range(len(begins)))
    by_size = call.text("slice_mode", "end") == "size"
    if not len(begins) == len(ends) == len(axes) <= len(shape) or len(strides) > len(axes):
        raise call.wrong(f"begin {begins[:8]}, end {ends[:8]}, axes {axes[:8]}", "one of each an axis")
    for place, axis in enumerate(axes):
        step = strides[place] if place < len(strides) and not by_size else (1 if by_size else strides[-1])
        if len(strides) > 1 and place >= len(strides):
            step = 1
        if step == 0:
            raise call.wrong("a stride of 0", "another number")
        end = ends[place]
        if by_size:
            end = shape[axis] if end == -1 else begins[place] + end
        shape[axis] = len(range(*slice(begins[place], end, step).indices(shape[axis])))
    return _like(call, *shape)


def slice_like(call: Call) -> Types:
    """As long as another tensor along axes."""
    other, shape = call.input(1).shape, list(call.shape)
    axes = call.axes("axes", len(shape)) if call.attributes.get("axes") else tuple(range(min(len(other), len(shape))))
    for axis in axes:
        if axis >= len(other) or other[axis] > shape[axis]:
            raise call.wrong(f"{list(shape)} and {list(other)}", "axes that are long enough")
        shape[axis] = other[axis]
    return _like(call, *shape)


def pad(call: Call) -> Types:
    """(before, after) an axis."""
    widths = call.attributes.get("pad_width")
    pairs = widths if isinstance(widths, tuple) else ()
    shape = []
    for extent, pair in zip(call.shape, pairs, strict=False):
        if not isinstance(pair, tuple) or len(pair) != 2 or not all(isinstance(item, int) for item in pair):
            raise call.wrong(f"pad_width {str(widths)[:60]}", "two integers an axis")
        shape.append(extent + sum(item for item in pair if isinstance(item, int)))
    if len(pairs) != len(call.shape) or min(shape, default=0) < 0:
        raise call.wrong(f"pad_width {str(widths)[:60]}", f"two integers for each of {len(call.shape)} axes")
    return _like(call, *shape)


def tile(call: Call) -> Types:
    """Repeated along each axis, axes in front included."""
    reps = call.ints("reps")
    rank = max(len(reps), len(call.shape))
    whole = (*(1,) * (rank - len(call.shape)), *call.shape)
    times = (*(1,) * (rank - len(reps)), *reps)
    return _like(call, *(extent * count for extent, count in zip(whole, times, strict=True)))


def repeat(call: Call) -> Types:
    """Each element several times along an axis; without one, of the flattened data."""
    count = call.integer("repeats")
    if call.attributes.get("axis") is None:
        return _like(call, prod(call.shape) * count)
    axis = call.axis(call.integer("axis"), len(call.shape))
    return _like(call, *call.shape[:axis], call.shape[axis] * count, *call.shape[axis + 1 :])


def broadcast_to(call: Call) -> Types:
    """To ``shape``."""
    wanted = call.ints("shape") if len(call.inputs) < 2 else _known(call, 1)
    if broadcast_shapes(call, [call.shape, wanted]) != wanted:
        raise call.wrong(f"shape {wanted[:12]} for {list(call.shape)}", "one that it can be repeated to")
    return _like(call, *wanted)


def cumulative(call: Call) -> Types:
    """Sums or products so far; without an axis of the flattened data."""
    dtype = call.text("dtype", call.dtype)
    shape = call.shape if call.attributes.get("axis") is not None else (prod(call.shape),)
    return (TensorType(shape, call.dtype if dtype == "void" else dtype),)


def meshgrid(call: Call) -> Types:
    """A grid for each of its axes."""
    shape = [prod(kind.shape) for kind in call.inputs]
    if call.text("indexing", "ij") == "xy":
        shape[:2] = reversed(shape[:2])
    return tuple(TensorType(tuple(shape), kind.dtype) for kind in call.inputs)


def layout_transform(call: Call) -> Types:
    """From one layout to another."""
    source, target = (call.text(name, "") for name in ("src_layout", "dst_layout"))
    return _like(call, *change_layout(call.shape, source, target, call.label))


def _spatial(call: Call, sizes: dict[str, int], dtype: str = "", default: str = "NCHW") -> Types:
    layout = parse_layout(call.text("layout", default), call.label)
    extents = layout.extents(call.shape, call.label)
    if not set(sizes) <= set(extents):
        raise call.wrong(f"layout {call.text('layout', default)}", f"one with {sorted(sizes)}")
    extents.update(sizes)
    return (TensorType(layout.shape(extents, call.label), dtype or call.dtype),)


def resize(letters: str) -> Infer:
    """To ``size``."""

    def infer(call: Call) -> Types:
        size = call.ints("size", None)
        if len(size) != len(letters):
            raise call.wrong(f"size {size[:8]}", f"{len(letters)} numbers")
        return _spatial(call, dict(zip(letters, size, strict=True)), call.text("out_dtype", ""), "NC" + letters)

    return infer


def upsampling(letters: str) -> Infer:
    """By a factor an axis."""

    def infer(call: Call) -> Types:
        layout = "NC" + letters
        extents = parse_layout(call.text("layout", layout), call.label).extents(call.shape, call.label)
        factors = {letter: call.number(f"scale_{letter.lower()}", 1.0) for letter in letters}
        if not all(0 < factor < 2**31 for factor in factors.values()):
            raise call.wrong(f"factors {factors}", "positive numbers")
        sizes = {letter: round(extents.get(letter, 0) * factor) for letter, factor in factors.items()}
        return _spatial(call, sizes, "", layout)

    return infer


def depth_to_space(deep: bool) -> Infer:
    """Blocks of channels to or from blocks of an image."""

    def infer(call: Call) -> Types:
        block, layout = call.integer("block_size", 1), call.text("layout", "NCHW")
        extents = parse_layout(layout, call.label).extents(call.shape, call.label)
        if block < 1 or not set("CHW") <= set(extents):
            raise call.wrong(f"block_size {block} and layout {layout}", "a positive number and an image")
        if deep:
            return _spatial(call, {"C": extents["C"] // block**2, "H": extents["H"] * block, "W": extents["W"] * block})
        return _spatial(call, {"C": extents["C"] * block**2, "H": extents["H"] // block, "W": extents["W"] // block})

    return infer


def grid_sample(call: Call) -> Types:
    """data, grid of [batch, 2, height, width]."""
    return _like(call, *call.shape[:2], *call.input(1).shape[2:])


def affine_grid(call: Call) -> Types:
    """Coordinates of ``target_shape``."""
    return _like(call, *call.shape[:1], 2, *call.ints("target_shape", None))


def crop_and_resize(call: Call) -> Types:
    """One image of ``crop_size`` a box."""
    high, wide = (*call.ints("crop_size", None), 0, 0)[:2]
    boxes = call.input(1).shape[0] if call.input(1).shape else 0
    return _spatial(call, {"N": boxes, "H": high, "W": wide}, call.text("out_dtype", ""))


def roi(call: Call) -> Types:
    """One map of ``pooled_size`` a region."""
    high, wide = (call.ints("pooled_size", None) * 2)[:2]
    regions = call.input(1).shape[0] if call.input(1).shape else 0
    return _spatial(call, {"N": regions, "H": high, "W": wide})
