"""Views and data movement."""

from math import prod

from relay_frontend.graph import Edge, TensorType
from relay_frontend.torch_export.call import NOT_MAPPED, Converter, Edges, TorchCall

__all__ = ["CONSTANTS", "MOVEMENT"]


def _reshape(call: TorchCall) -> Edge:
    return call.add("Reshape", (call.tensor("self"),), call.output)


def _flatten(call: TorchCall) -> Edge:
    """Flatten where two dimensions are left, as exporters have it."""
    data = call.tensor("self")
    rank = len(call.type_of(data).shape)
    if not rank:
        return _reshape(call)
    start, end = call.axis("start_dim", 0), call.axis("end_dim", -1)
    if start == 1 and end == rank - 1:
        return call.add("Flatten", (data,), call.output, axis=1)
    if start == 0 and end == rank - 2:
        return call.add("Flatten", (data,), call.output, axis=end + 1)
    return _reshape(call)


def _squeeze(call: TorchCall) -> Edge:
    shape = call.kind("self").shape
    named = call.axes("dim") if call.argument("dim") is not None else range(len(shape))
    axes = tuple(axis for axis in named if axis < len(shape) and shape[axis] == 1)
    return call.add("Squeeze", (call.tensor("self"),), call.output, axes=axes) if axes else call.tensor("self")


def _unsqueeze(call: TorchCall) -> Edge:
    axis = call.axis("dim", None, len(call.output.shape))
    return call.add("Unsqueeze", (call.tensor("self"),), call.output, axes=(axis,))


def _permute(call: TorchCall) -> Edge:
    rank = len(call.kind("self").shape)
    order = tuple(axis % max(rank, 1) for axis in call.integers("dims"))
    if sorted(order) != list(range(rank)):
        raise call.wrong("dims", order, f"each of {rank} axes once")
    return call.transpose(call.tensor("self"), order)


def _transpose(call: TorchCall) -> Edge:
    """Two axes change places; the last two where none is named."""
    rank = len(call.kind("self").shape)
    if rank < 2:
        return call.tensor("self")
    names = next((pair for pair in _AXIS_NAMES if pair[0] in call.call.arguments), None)
    first, second = (call.axis(name) for name in names) if names else (rank - 2, rank - 1)
    order = list(range(rank))
    order[first], order[second] = order[second], order[first]
    return call.transpose(call.tensor("self"), tuple(order))


_AXIS_NAMES = (("dim0", "dim1"), ("axis0", "axis1"))


def _move_axes(call: TorchCall) -> Edge:
    rank = len(call.kind("self").shape)
    sources = [axis % rank for axis in call.integers("source")]
    targets = [axis % rank for axis in call.integers("destination")]
    place = dict(zip(targets, sources, strict=True))
    rest = iter([axis for axis in range(rank) if axis not in sources])
    return call.transpose(
        call.tensor("self"), tuple(place[axis] if axis in place else next(rest) for axis in range(rank))
    )


def _expand(call: TorchCall) -> Edge:
    return call.add("Expand", (call.tensor("self"),), call.output)


def _tile(call: TorchCall) -> Edge:
    data = call.tensor("self")
    repeats = call.integers("repeats" if "repeats" in call.call.arguments else "dims")
    rank, shape = len(call.output.shape), call.type_of(data).shape
    repeats = (1,) * (rank - len(repeats)) + repeats
    if len(shape) < rank:
        data = call.reshape(data, (1,) * (rank - len(shape)) + shape)
    return call.add("Tile", (data,), call.output, repeats=repeats)


def _repeat_interleave(call: TorchCall) -> Edge | None:
    """Each element several times in a row, along an axis."""
    if not isinstance(call.argument("repeats"), int) or call.argument("dim") is None:
        return NOT_MAPPED
    data, times, axis = call.tensor("self"), call.integer("repeats"), call.axis("dim")
    kind = call.type_of(data)
    shape = kind.shape
    apart = call.add("Unsqueeze", (data,), TensorType((*shape[: axis + 1], 1, *shape[axis + 1 :]), kind.dtype),
                     axes=(axis + 1,))  # fmt: skip
    repeats = tuple(times if place == axis + 1 else 1 for place in range(len(shape) + 1))
    wide = call.add("Tile", (apart,), TensorType((*shape[: axis + 1], times, *shape[axis + 1 :]), kind.dtype),
                    repeats=repeats)  # fmt: skip
    return call.reshape(wide, call.output.shape)


def _concat(call: TorchCall) -> Edge:
    parts = [call.cast(edge, call.output.dtype) for edge in call.tensors("tensors")]
    parts = [edge for edge in parts if len(call.type_of(edge).shape) == len(call.output.shape)]  # torch lets [0] pass
    return call.add("Concat", tuple(parts), call.output, axis=call.axis("dim", 0, len(call.output.shape)))


def _stack(call: TorchCall) -> Edge:
    axis = call.axis("dim", 0, len(call.output.shape))
    parts = []
    for edge in call.tensors("tensors"):
        kind = call.type_of(edge)
        made = TensorType((*kind.shape[:axis], 1, *kind.shape[axis:]), kind.dtype)
        parts.append(call.add("Unsqueeze", (edge,), made, axes=(axis,)))
    return call.add("Concat", tuple(parts), call.output, axis=axis)


def _split(call: TorchCall) -> Edges:
    return call.add_all("Split", (call.tensor("self"),), call.outputs, axis=call.axis("dim", 0))


def _unbind(call: TorchCall) -> Edges:
    axis = call.axis("dim", 0)
    parts = [TensorType((*kind.shape[:axis], 1, *kind.shape[axis:]), kind.dtype) for kind in call.outputs]
    slices = call.add_all("Split", (call.tensor("self"),), parts, axis=axis)
    return tuple(call.add("Squeeze", (edge,), call.output, axes=(axis,)) for edge in slices)


def _slice(call: TorchCall) -> Edge:
    axis = call.axis("dim", 0)
    start, end, step = call.integer("start", 0), call.integer("end", 2**63 - 1), call.integer("step", 1)
    return _cut(call, call.tensor("self"), axis, start, end, step)


def _narrow(call: TorchCall) -> Edge:
    start, length = call.integer("start"), call.integer("length")
    return _cut(call, call.tensor("self"), call.axis("dim"), start, start + length)


def _cut(call: TorchCall, edge: Edge, axis: int, start: int, end: int, step: int = 1) -> Edge:
    kind = call.type_of(edge)
    window = range(*slice(start, end, step).indices(kind.shape[axis]))
    extent = len(window) if step > 0 else kind.shape[axis]
    made = TensorType((*kind.shape[:axis], extent, *kind.shape[axis + 1 :]), kind.dtype)
    return call.add("Slice", (edge,), made, axes=(axis,), starts=(start,), ends=(end,), steps=(step,))


def _select(call: TorchCall) -> Edge:
    place = call.tensor("index") if call.has_tensor("index") else call.scalar("int64")
    return call.add("Gather", (call.tensor("self"), place), call.output, axis=call.axis("dim"))


def _flip(call: TorchCall) -> Edge:
    edge = call.tensor("self")
    for axis in call.axes("dims"):
        edge = _cut(call, edge, axis, -1, -(2**63), -1)
    return edge


def _roll(call: TorchCall) -> Edge | None:
    """The end of each axis before its beginning."""
    edge, shifts = call.tensor("self"), call.integers("shifts")
    rank = len(call.output.shape)
    axes = tuple(axis % max(rank, 1) for axis in call.integers("dims", ()))
    if len(axes) != len(shifts):
        return NOT_MAPPED
    for axis, shift in zip(axes, shifts, strict=True):
        extent = call.output.shape[axis]
        place = (extent - shift) % extent if extent else 0
        parts = (_cut(call, edge, axis, place, extent), _cut(call, edge, axis, 0, place))
        edge = call.add("Concat", parts, call.output, axis=axis)
    return edge


def _gather(call: TorchCall) -> Edge:
    inputs = (call.tensor("self"), call.tensor("index"))
    return call.add("GatherElements", inputs, call.output, axis=call.axis("dim"))


def _index_select(call: TorchCall) -> Edge:
    inputs = (call.tensor("self"), call.tensor("index"))
    return call.add("Gather", inputs, call.output, axis=call.axis("dim"))


def _embedding(call: TorchCall) -> Edge:
    return call.add("Gather", (call.tensor("weight"), call.tensor("indices")), call.output, axis=0)


def _index(call: TorchCall) -> Edge | None:
    """One tensor of indices is a Gather; several at the front are a GatherND of all of them side by side."""
    data, indices = call.tensor("self"), call.optional_tensors("indices")
    given = [(axis, edge) for axis, edge in enumerate(indices) if edge is not None]
    if not given or any(call.type_of(edge).dtype == "bool" for _, edge in given):
        return NOT_MAPPED  # as many results as are true
    if len(given) == 1:
        return call.add("Gather", (data, given[0][1]), call.output, axis=given[0][0])
    if [axis for axis, _ in given] != list(range(len(given))):
        return NOT_MAPPED
    return call.add("GatherND", (data, _side_by_side(call, [edge for _, edge in given])), call.output)


def _side_by_side(call: TorchCall, indices: list[Edge]) -> Edge:
    """Index tensors of one shape, or broadcast to it, as the last axis of one."""
    kinds = [call.type_of(edge) for edge in indices]
    rank = max(len(kind.shape) for kind in kinds)
    padded = [(1,) * (rank - len(kind.shape)) + kind.shape for kind in kinds]
    whole = tuple(max(extents) for extents in zip(*padded, strict=True))
    parts = []
    for edge, kind in zip(indices, kinds, strict=True):
        if kind.shape != whole:
            edge = call.add("Expand", (edge,), TensorType(whole, kind.dtype))
        parts.append(call.add("Unsqueeze", (edge,), TensorType((*whole, 1), kind.dtype), axes=(rank,)))
    if len(parts) == 1:
        return parts[0]
    return call.add("Concat", tuple(parts), TensorType((*whole, len(parts)), kinds[0].dtype), axis=rank)


def _index_put(call: TorchCall) -> Edge | None:
    data, indices = call.tensor("self"), call.optional_tensors("indices")
    known = [edge for edge in indices if edge is not None]
    if len(known) != len(indices) or not known or any(call.type_of(edge).dtype == "bool" for edge in known):
        return NOT_MAPPED
    place = _side_by_side(call, known)
    wanted = (*call.type_of(place).shape[:-1], *call.output.shape[len(known) :])
    values = call.tensor("values")
    if call.type_of(values).shape != wanted:
        values = call.add("Expand", (values,), TensorType(wanted, call.output.dtype))
    reduction = "add" if call.flag("accumulate") else "none"
    return call.add("ScatterND", (data, place, values), call.output, reduction=reduction)


def _scatter(reduction: str | None = "none") -> Converter:
    def convert(call: TorchCall) -> Edge:
        place = call.tensor("index")
        shape = call.type_of(place).shape
        values = call.tensor("src") if call.has_tensor("src") else call.scalar(call.output.dtype, shape)
        how = reduction or _SCATTERED[call.text("reduce")]
        return call.add("ScatterElements", (call.tensor("self"), place, values), call.output, axis=call.axis("dim"),
                        reduction=how)  # fmt: skip

    return convert


_SCATTERED = {"sum": "add", "prod": "mul", "amax": "max", "amin": "min", "mean": "add"}


def _replace_slice(call: TorchCall) -> Edge | None:
    """A part of an axis replaced: what is before, the part, what is after."""
    data, axis = call.tensor("self"), call.axis("dim", 0)
    extent = call.output.shape[axis]
    source = call.cast(call.tensor("src"), call.output.dtype)
    if call.argument("index") is not None:
        low = call.integer("index") % max(extent, 1)
        high = low + 1
        kind = call.type_of(source)
        made = TensorType((*kind.shape[:axis], 1, *kind.shape[axis:]), kind.dtype)
        source = call.add("Unsqueeze", (source,), made, axes=(axis,))
    elif call.integer("step", 1) != 1:
        return NOT_MAPPED
    else:
        low, high, _ = slice(call.integer("start", 0), call.integer("end", 2**63 - 1)).indices(extent)
    parts = [_cut(call, data, axis, 0, low)] if low > 0 else []
    parts.append(source)
    parts += [_cut(call, data, axis, high, extent)] if high < extent else []
    return call.add("Concat", tuple(parts), call.output, axis=axis) if len(parts) > 1 else source


def _triangle(upper: int) -> Converter:
    return lambda call: call.add(
        "Trilu", (call.tensor("self"),), call.output, k=call.integer("diagonal", 0), upper=upper
    )


def _one_hot(call: TorchCall) -> Edge:
    inputs = (call.tensor("self"), call.scalar(call.output.dtype, (2,)))
    return call.add("OneHot", inputs, call.output, axis=-1, depth=call.output.shape[-1])


def _unfold(call: TorchCall) -> Edge:
    """Windows of one axis become an axis of their own."""
    return call.add("UnfoldTensor", (call.tensor("self"),), call.output, dim=call.axis("dimension"),
                    size=call.integer("size"), step=call.integer("step"))  # fmt: skip


def _meshgrid(call: TorchCall) -> Edges:
    rank = len(call.outputs)
    first_two = call.text("indexing", "ij") == "xy" and rank > 1
    made = []
    for place, edge in enumerate(call.tensors("tensors")):
        axis = 1 - place if first_two and place < 2 else place
        extent = prod(call.type_of(edge).shape)
        shape = tuple(extent if position == axis else 1 for position in range(rank))
        made.append(call.add("Expand", (call.reshape(edge, shape),), call.output))
    return tuple(made)


def _random(op: str) -> Converter:
    return lambda call: call.builder.add_node(op, (), call.outputs[:1], {}, call.call.name)


MOVEMENT: dict[str, Converter] = {
    **dict.fromkeys(
        ("view", "reshape", "_unsafe_view", "_reshape_alias", "view_copy", "unflatten", "ravel", "view_as",
         "reshape_as"),
        _reshape,
    ),
    "flatten": _flatten, "squeeze": _squeeze, "squeeze_copy": _squeeze, "unsqueeze": _unsqueeze,
    "unsqueeze_copy": _unsqueeze, "permute": _permute, "permute_copy": _permute, "movedim": _move_axes,
    "moveaxis": _move_axes,
    **dict.fromkeys(
        ("transpose", "transpose_copy", "t", "t_copy", "swapaxes", "swapdims", "numpy_T", "mT", "matrix_H"), _transpose
    ),
    **dict.fromkeys(("expand", "expand_as", "expand_copy", "broadcast_to"), _expand), "repeat": _tile, "tile": _tile,
    "repeat_interleave": _repeat_interleave,
    **dict.fromkeys(("cat", "concat", "concatenate"), _concat), "stack": _stack,
    **dict.fromkeys(("split", "split_with_sizes", "split_with_sizes_copy", "chunk", "tensor_split"), _split),
    "unbind": _unbind, "slice": _slice, "slice_copy": _slice, "narrow": _narrow, "select": _select,
    "select_copy": _select, "flip": _flip, "roll": _roll, "gather": _gather, "index_select": _index_select,
    "embedding": _embedding, "index": _index, "_unsafe_index": _index, "index_put": _index_put,
    "_unsafe_index_put": _index_put, "scatter": _scatter(), "scatter_add": _scatter("add"),
    "scatter_reduce": _scatter(None), "slice_scatter": _replace_slice, "select_scatter": _replace_slice,
    "tril": _triangle(0), "triu": _triangle(1), "one_hot": _one_hot, "unfold": _unfold, "unfold_copy": _unfold,
    "meshgrid": _meshgrid, "rand": _random("RandomUniform"), "randn": _random("RandomNormal"),
    "rand_like": _random("RandomUniformLike"), "randn_like": _random("RandomNormalLike"),
}  # fmt: skip

# What makes a tensor out of numbers: constants, since every shape is known.
_CONSTANTS = """arange empty empty_like empty_permuted empty_strided eye fill full full_like linspace logspace
    new_empty new_full new_ones new_zeros ones ones_like randperm scalar_tensor tril_indices triu_indices zero zeros
    zeros_like"""
CONSTANTS = frozenset(_CONSTANTS.split())
