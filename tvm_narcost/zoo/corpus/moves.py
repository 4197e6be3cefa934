"""Random data movement: permutations, joins, cuts, lookups, padding, resizing."""

import math
from typing import Any

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.builder import FLOAT, Value
from tvm_narcost.zoo.corpus.draws import factorised, log_uniform, tensor_shape
from tvm_narcost.zoo.corpus.pool import Pool
from tvm_narcost.zoo.corpus.sample import Sample

__all__ = ["MOVES"]

_CAST_TO = ((10, "float16"), (11, "float64"), (6, "int32"), (7, "int64"))  # ONNX's numbers


def _arithmetic(p: Pool, x: Value) -> Value:
    """A cheap operator now and then, as movement rarely follows movement in a network."""
    how = p.rng.random()
    if how < 0.12:
        return ops.unary(p.b, p.rng.choice(["Relu", "Sigmoid", "Tanh", "Neg"]), x)
    if how < 0.2:
        return ops.add(p.b, x, p.like(x))
    return x


def _transposed(p: Pool) -> Value:
    b, rng = p.b, p.rng
    x = p.anything((2, 3, 3, 4, 4, 4, 5))
    rank = len(x.shape)
    usual: dict[int, list[tuple[int, ...]]] = {
        2: [(1, 0)], 3: [(0, 2, 1), (1, 0, 2)], 4: [(0, 2, 1, 3), (0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)],
    }  # fmt: skip
    order = tuple(rng.sample(range(rank), rank))
    if rank in usual and rng.random() < 0.5:
        order = rng.choice(usual[rank])
    if order == tuple(range(rank)):
        order = order[::-1]
    y = ops.transpose(b, x, order)
    return _arithmetic(p, y) if rng.random() < 0.6 else ops.unary(b, rng.choice(["Abs", "Sigmoid", "Exp"]), y, 1.5)


def _without(x: Value, axis: int) -> tuple[int, ...]:
    return x.shape[:axis] + x.shape[axis + 1 :]


def _joined(p: Pool) -> Value:
    """Concat of two or many values along any axis."""
    b, rng = p.b, p.rng
    x = p.anything((1, 2, 3, 3, 4, 4))
    axis = rng.randrange(len(x.shape))
    parts, left = [x], p.most_elements - x.elements
    for _ in range(rng.choice([1, 1, 2, 3, 5, 10])):
        other = p.beside(parts, lambda v: len(v.shape) > axis and _without(v, axis) == _without(x, axis))
        if other is None:
            extent = log_uniform(rng, 1, max(1, 2 * x.shape[axis]))
            other = p.fresh((*x.shape[:axis], extent, *x.shape[axis + 1 :]))
        left -= other.elements
        if left < 0:
            break
        parts.append(other)
    if len(parts) == 1:
        parts.append(x)
    rng.shuffle(parts)
    return _arithmetic(p, ops.concat(b, parts, axis))


def _cut(p: Pool) -> list[Value]:
    """Split into equal or unequal parts."""
    b, rng = p.b, p.rng
    x = p.anything((2, 3, 3, 4, 4))
    axis = rng.choice([a for a in range(len(x.shape)) if x.shape[a] > 1] or [0])
    size = x.shape[axis]
    if size == 1:
        return [_arithmetic(p, ops.transpose(b, x, tuple(range(len(x.shape)))[::-1]))]
    count = min(size, rng.choice([2, 2, 2, 3, 4, 8]))
    if size % count == 0 and rng.random() < 0.7:
        parts = [size // count] * count
    else:
        borders = sorted(rng.sample(range(1, size), count - 1))
        parts = [high - low for low, high in zip([0, *borders], [*borders, size], strict=True)]
    made = ops.split(b, x, parts, axis)
    if len(made) > 2 and rng.random() < 0.5:
        return [ops.concat(b, [made[1], made[0], *made[2:]], axis)]
    if len({part.shape for part in made}) == 1 and rng.random() < 0.4:
        return [b.node("Sum", made, made[0].shape, x.level * len(made))]
    return made


def _sliced(p: Pool) -> Value:
    """A window of one or several axes, with steps forwards and backwards."""
    b, rng = p.b, p.rng
    x = p.anything((1, 2, 3, 4, 4, 5))
    axes = sorted(rng.sample(range(len(x.shape)), rng.randint(1, min(2, len(x.shape)))))
    starts, ends, steps, shape = [], [], [], list(x.shape)
    for axis in axes:
        size = x.shape[axis]
        start = rng.choice([0, 0, size // 2, rng.randrange(size)])
        end = rng.choice([size, size, rng.randint(start + 1, size)])
        step = rng.choice([1, 1, 1, 2, 2, 3])
        if rng.random() < 0.12:  # backwards over all of it
            start, end, step = size - 1, -size - 1, -rng.choice([1, 2])
        shape[axis] = len(range(*slice(start, None if end < 0 else end, step).indices(size)))
        starts.append(start)
        ends.append(end)
        steps.append(step)
    if tuple(shape) == x.shape and set(steps) == {1}:  # would be removed
        return _arithmetic(p, b.node("Neg", [x], x.shape))
    bounds = [b.constant(bound) for bound in (starts, ends, axes, steps)]
    return _arithmetic(p, b.node("Slice", [x, *bounds], shape))


def _patches(p: Pool) -> Value:
    """The four interleaved quarters of an image joined on channels, as YOLO's Focus and Swin's merging do."""
    b = p.b
    x = p.image(2, lambda v: v.shape[2] % 2 == 0 and v.shape[3] % 2 == 0)
    parts = [
        ops.slice_axis(b, ops.slice_axis(b, x, 2, row, x.shape[2], 2), 3, column, x.shape[3], 2)
        for row in (0, 1)
        for column in (0, 1)
    ]
    return ops.concat(b, parts, 1)


def _gathered(p: Pool) -> Value:
    """Gather with constant or computed indices, of any rank, along any axis."""
    b, rng = p.b, p.rng
    x = p.anything((1, 2, 3, 4))
    axis = rng.randrange(len(x.shape))
    rest = x.elements // x.shape[axis]
    most = max(1, min(p.most_elements // rest, 4096))
    kind = rng.choice(["one", "few", "input", "table"])
    if kind == "one":
        index = b.constant([rng.randrange(x.shape[axis])], ())
    elif kind == "few" or x.shape[axis] < 2:
        count = log_uniform(rng, 1, min(most, 512))
        index = b.constant([rng.randrange(x.shape[axis]) for _ in range(count)])
    else:
        count = log_uniform(rng, 1, most)
        index = p.indices((count,) if kind == "input" else tensor_shape(rng, count, 2))
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return _arithmetic(p, b.node("Gather", [x, index], shape, axis=axis))


def _embedded(p: Pool) -> Value:
    """Rows of a table."""
    b, rng = p.b, p.rng
    size = log_uniform(rng, 4, 2048)
    rows = log_uniform(rng, 2, max(2, min(200_000, 40_000_000 // size)))
    count = log_uniform(rng, 1, max(1, min(8192, p.most_elements // size)))
    return _arithmetic(p, ops.gather_rows(b, rows, size, p.indices((rng.choice([1, 1, 2]), count))))


def _gathered_elements(p: Pool) -> Value:
    """GatherElements or GatherND, with indices from an input."""
    b, rng = p.b, p.rng
    if rng.random() < 0.5:
        x = p.tensor(rng.choice([2, 3]), lambda v: v.shape[-1] > 1 and v.elements <= 4_000_000)
        axis = len(x.shape) - 1
        count = log_uniform(rng, 1, max(1, min(2 * x.shape[axis], p.most_elements * x.shape[axis] // x.elements)))
        index = p.indices((*x.shape[:axis], count))
        return b.node("GatherElements", [x, index], index.shape, axis=axis)
    x = p.tensor(rng.choice([2, 3, 4]), lambda v: v.shape[0] > 1 and v.shape[1] > 1)
    depth = rng.choice([1, 2])
    tail = x.shape[depth:]
    count = log_uniform(rng, 1, max(1, min(4096, p.most_elements // math.prod(tail))))
    return b.node("GatherND", [x, p.indices((count, depth))], (count, *tail))


def _scattered(p: Pool) -> Value:
    """ScatterND or ScatterElements of updates into a value."""
    b, rng = p.b, p.rng
    x = p.tensor(rng.choice([2, 3]), lambda v: v.shape[0] > 1 and v.elements <= 4_000_000)
    if rng.random() < 0.5:
        count = log_uniform(rng, 1, min(x.shape[0], 2048))
        index = b.constant(rng.sample(range(x.shape[0]), count), (count, 1))
        return b.node("ScatterND", [x, index, p.fresh((count, *x.shape[1:]))], x.shape)
    count = log_uniform(rng, 1, min(x.shape[0], 64))
    update = p.fresh((count, *x.shape[1:]))
    index = p.indices(update.shape)
    return b.node("ScatterElements", [x, index, update], x.shape, axis=0)


def _padded(p: Pool) -> Value:
    """Pad of any axes in all modes."""
    b, rng = p.b, p.rng
    x = p.anything((2, 3, 4, 4, 4))
    rank = len(x.shape)
    mode = rng.choice(["constant", "constant", "reflect", "edge"])
    axes = range(2, rank) if rank == 4 and rng.random() < 0.7 else rng.sample(range(rank), rng.randint(1, rank))
    amounts = [0] * (2 * rank)
    for axis in axes:
        most = min(x.shape[axis] - 1, 8) if mode == "reflect" else min(2 * x.shape[axis], 16)
        amounts[axis], amounts[rank + axis] = rng.randint(0, most), rng.randint(0, most)
    if not any(amounts):
        mode, amounts[-1] = "constant", 1
    y = ops.pad(b, x, amounts, mode)
    return _arithmetic(p, y)


def _repeated(p: Pool) -> Value:
    """Tile, or Expand of axes of extent 1."""
    b, rng = p.b, p.rng
    x = p.tensor(rng.choice([2, 3, 4]), lambda v: v.elements * 2 <= p.most_elements)
    most = max(2, min(64, p.most_elements // x.elements))
    if rng.random() < 0.5:
        repeats = [1] * len(x.shape)
        repeats[rng.randrange(len(x.shape))] = log_uniform(rng, 2, most)
        shape = [extent * count for extent, count in zip(x.shape, repeats, strict=True)]
        return _arithmetic(p, b.node("Tile", [x, b.constant(repeats)], shape))
    axis = rng.randint(0, len(x.shape))
    x = ops.unsqueeze(b, x, (axis,))
    shape = list(x.shape)
    shape[axis] = log_uniform(rng, 2, most)
    return _arithmetic(p, b.node("Expand", [x, b.constant(shape)], shape))


def _chosen(p: Pool) -> Value:
    """Where: elements of one value or another, by a comparison."""
    b, rng = p.b, p.rng
    x = p.part("Where", p.anything((1, 2, 3, 4)))
    shape = list(x.shape)
    if rng.random() < 0.4:
        shape = [extent if rng.random() < 0.6 else 1 for extent in shape]
    gate = p.pick(lambda v: v.shape == tuple(shape) and v.name != x.name) or p.fresh(shape)
    mask = b.node(rng.choice(["Greater", "Less"]), [gate, b.scalar(0.5)], shape, dtype="bool")
    other = rng.choice([b.scalar(0.25), p.like(x)])
    return b.node("Where", [mask, x, other] if rng.random() < 0.5 else [mask, other, x], x.shape, x.level, dtype=FLOAT)


def _resized(p: Pool) -> Value:
    """Resize up and down, by whole and broken factors, in all modes."""
    b, rng = p.b, p.rng
    x = p.image(2, lambda v: p.quick("Resize", v))
    n, c, h, w = x.shape
    mode = rng.choice(["nearest", "nearest", "linear", "linear", "cubic"])
    factor = rng.choice([2.0, 2.0, 2.0, 4.0, 3.0, 0.5, 0.5, 0.25, 1.5, rng.uniform(0.3, 3.0)])
    sides = [max(1, math.floor(side * factor)) for side in (h, w)]
    if not p.quick("Resize", Value("", (n, c, *sides))) or sides == [h, w]:
        sides = [max(1, h // 2), max(1, w // 2)] if h * w > 1 else [2, 2]
    ways = ["asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"]
    extra: dict[str, Any] = {"coordinate_transformation_mode": rng.choice(ways)}
    if mode == "nearest":
        extra["nearest_mode"] = rng.choice(["floor", "round_prefer_floor"])
    if mode == "cubic":
        extra["cubic_coeff_a"] = rng.choice([-0.75, -0.5])
    sizes = b.constant((n, c, *sides))
    return _arithmetic(p, b.node("Resize", [x, None, None, sizes], (n, c, *sides), mode=mode, **extra))


def _space(p: Pool) -> Value:
    """DepthToSpace in both modes, or SpaceToDepth."""
    b, rng = p.b, p.rng
    size = rng.choice([2, 2, 2, 3, 4])
    if rng.random() < 0.5:
        x = p.image(2, lambda v: v.shape[1] % (size * size) == 0)
        n, c, h, w = x.shape
        shape = (n, c // size**2, h * size, w * size)
        return _arithmetic(p, b.node("DepthToSpace", [x], shape, blocksize=size, mode=rng.choice(["DCR", "CRD"])))
    x = p.image(2, lambda v: v.shape[2] % size == 0 and v.shape[3] % size == 0)
    n, c, h, w = x.shape
    return _arithmetic(p, b.node("SpaceToDepth", [x], (n, c * size**2, h // size, w // size), blocksize=size))


def _cast(p: Pool) -> Value:
    """To another dtype, some work there, and back."""
    b, rng = p.b, p.rng
    x = p.anything()
    number, dtype = rng.choice(_CAST_TO)
    y = b.node("Cast", [x], x.shape, dtype=dtype, to=number)
    if rng.random() < 0.5 and len(x.shape) > 1:
        y = ops.transpose(b, y, (*range(1, len(x.shape)), 0))
    elif dtype == "int64":
        y = b.node("Add", [y, b.constant([rng.randint(1, 9)])], y.shape, 5.0)
    y = b.node("Cast", [y], y.shape, dtype=FLOAT, to=1)
    return ops.add(b, y, b.scalar(0.5))


def _views(p: Pool) -> Value:
    """Views between kernels: reshapes, flattened and squeezed axes; then a permutation of what they made."""
    b, rng = p.b, p.rng
    x = p.anything((2, 3, 4))
    kind = rng.choice(["reshape", "flatten", "unsqueeze"])
    if kind == "flatten":
        axis = rng.randrange(len(x.shape))
        x = b.node("Flatten", [x], (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])), axis=axis)
    elif kind == "unsqueeze":
        x = ops.unsqueeze(b, x, (rng.randint(0, len(x.shape)),))
    else:
        shape = factorised(rng, x.elements, rng.choice([2, 3, 4, 5])) or (x.elements,)
        x = b.node("Reshape", [x, b.constant(shape)], shape)
    if len(x.shape) == 1 or rng.random() < 0.3:
        return ops.unary(b, rng.choice(["Relu", "Abs", "Tanh"]), x)
    return ops.transpose(b, x, (*range(1, len(x.shape)), 0))


def _shuffled(p: Pool) -> Value:
    """ShuffleNet's channel shuffle, and window partition as in Swin."""
    b, rng = p.b, p.rng
    if rng.random() < 0.6:
        x = p.image(2, lambda v: v.shape[1] > 3 and any(v.shape[1] % g == 0 for g in (2, 3, 4)))
        n, c, h, w = x.shape
        groups = rng.choice([g for g in (2, 3, 4, 8) if c % g == 0])
        y = b.node("Reshape", [x, b.constant((n, groups, c // groups, h, w))], (n, groups, c // groups, h, w))
        return b.node("Reshape", [ops.transpose(b, y, (0, 2, 1, 3, 4)), b.constant(x.shape)], x.shape)
    window = rng.choice([2, 4, 7, 8])
    x = p.image(2, lambda v: v.shape[1] % window == 0 and v.shape[2] % window == 0)
    n, h, w, c = x.shape
    cells = (n, h // window, window, w // window, window, c)
    y = ops.transpose(b, b.node("Reshape", [x, b.constant(cells)], cells), (0, 1, 3, 2, 4, 5))
    flat = (n * (h // window) * (w // window), window * window, c)
    return b.node("Reshape", [y, b.constant(flat)], flat)


MOVES: tuple[Sample, ...] = (
    Sample(4.0, _transposed), Sample(3.0, _joined), Sample(2.0, _cut), Sample(2.5, _sliced), Sample(0.8, _patches),
    Sample(1.5, _gathered), Sample(1.2, _embedded), Sample(1.0, _gathered_elements), Sample(0.8, _scattered),
    Sample(1.5, _padded), Sample(1.5, _repeated), Sample(1.2, _chosen), Sample(2.0, _resized), Sample(1.0, _space),
    Sample(1.0, _cast), Sample(1.0, _views), Sample(1.0, _shuffled),
)  # fmt: skip
