"""How each operator follows its data into another order of axes.

A rule gets a call of the old function and returns the call that takes its place, with the order of its result; or None
where the operator must have its data as it was.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tvm
from tvm import relax

from tvm_narcost.hook.bindings import Emitter, tensors_of
from tvm_narcost.hook.layout_views import IMAGE, TOKENS, LayoutViews, Order, View, spread

__all__ = ["rule_of"]

Handler = Callable[[LayoutViews, Emitter, Any, relax.Var], View | None]


def _convolution(make: Callable[..., Any], order: Order, old: tuple[str, str], new: tuple[str, str]) -> Handler:
    """A convolution over (data, kernel) layouts ``old`` as one over ``new``, where its weight is constant."""

    def convolution(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
        data, weight = call.args
        attrs = call.attrs
        if (attrs.data_layout, attrs.kernel_layout) != old or not emitter.is_constant(emitter.read(weight)):
            return None
        found = make(
            views.ordered(emitter, data, order),
            emitter.emit(relax.op.permute_dims(emitter.read(weight), [*range(2, len(order)), 1, 0])),
            strides=attrs.strides,
            padding=attrs.padding,
            dilation=attrs.dilation,
            groups=attrs.groups,
            data_layout=new[0],
            kernel_layout=new[1],
            out_dtype=attrs.out_dtype,
        )
        return View(found, order)

    return convolution


def _pool(make: Callable[..., Any]) -> Handler:
    def pool(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
        view, attrs = views.of(emitter, call.args[0]), call.attrs
        if view is None or view.order != IMAGE or attrs.layout != "NCHW":
            return None
        found = make(
            view.value,
            pool_size=attrs.pool_size,
            strides=attrs.strides,
            padding=attrs.padding,
            dilation=attrs.dilation,
            ceil_mode=attrs.ceil_mode,
            count_include_pad=attrs.count_include_pad,
            layout="NHWC",
        )
        return View(found, IMAGE)

    return pool


def _pool_over_channels(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    """What the importer makes of LRN: an image as [N, 1, C, H, W], pooled along C; the window goes where C is."""
    view, attrs = views.of(emitter, call.args[0]), call.attrs
    if view is None or view.plain or view.order[:2] != (0, 1) or attrs.layout != "NCDHW":
        return None
    moved = [axis - 2 for axis in view.order[2:]]
    pads = [int(pad) for pad in attrs.padding]
    found = relax.op.nn.avg_pool3d(
        view.value,
        pool_size=[attrs.pool_size[axis] for axis in moved],
        strides=[attrs.strides[axis] for axis in moved],
        padding=[pads[axis] for axis in moved] + [pads[3 + axis] for axis in moved],
        dilation=[attrs.dilation[axis] for axis in moved],
        ceil_mode=attrs.ceil_mode,
        count_include_pad=attrs.count_include_pad,
    )
    return View(found, view.order)


def _expand_dims(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    """New axes go before all that is moved."""
    view = views.of(emitter, call.args[0])
    rank = variable.ty.ndim
    axes = sorted(int(axis) % rank for axis in call.attrs.axis)
    if view is None or view.plain or max(axes) > min(view.order.index(axis) for axis in view.order if axis):
        return None
    kept = [axis for axis in range(rank) if axis not in axes]
    order = [kept[axis] for axis in view.order]
    for axis in axes:
        order.insert(axis, axis)
    return View(relax.op.expand_dims(view.value, axes), tuple(order))


def _squeeze(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    view = views.of(emitter, call.args[0])
    if view is None or view.plain or call.attrs.axis is None:
        return None
    gone = {int(axis) % len(view.order) for axis in call.attrs.axis}
    left = sorted({*view.order} - gone)
    order = tuple(left.index(axis) for axis in view.order if axis not in gone)
    return View(relax.op.squeeze(view.value, sorted(view.places(sorted(gone)))), order)


def _adaptive_pool(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    view = views.of(emitter, call.args[0])
    if view is None or view.order != IMAGE or call.attrs.layout != "NCHW":
        return None
    found = relax.op.nn.adaptive_avg_pool2d(view.value, call.attrs.output_size, layout="NHWC")
    return View(found, IMAGE)


def _resize(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    view, attrs = views.of(emitter, call.args[0]), call.attrs
    if view is None or view.order != IMAGE or attrs.layout != "NCHW":
        return None
    found = relax.op.image.resize2d(
        view.value,
        call.args[1],
        roi=[float(edge) for edge in attrs.roi],
        layout="NHWC",
        method=attrs.method,
        coordinate_transformation_mode=attrs.coordinate_transformation_mode,
        rounding_method=attrs.rounding_method,
        cubic_alpha=attrs.cubic_alpha,
        cubic_exclude=attrs.cubic_exclude,
        extrapolation_value=attrs.extrapolation_value,
        out_dtype=attrs.out_dtype,
    )
    return View(found, IMAGE)


def _batch_norm(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    view, attrs = views.of(emitter, call.args[0]), call.attrs
    if view is None or view.plain:
        return None
    statistics = [views.plain(emitter, argument) for argument in call.args[1:]]
    found = relax.op.nn.batch_norm(
        view.value,
        *statistics,
        axis=view.places([attrs.axis])[0],
        epsilon=attrs.epsilon,
        center=attrs.center,
        scale=attrs.scale,
        momentum=attrs.momentum,
        training=attrs.training,
    )
    return View(found, view.order)


def _elementwise(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    """In the order of the first operand that has one of its own; operands of lower rank get its rank."""
    rank = variable.ty.ndim
    seen = [views.of(emitter, item) for item in tensors_of(call)]
    orders = [view.order for view in seen if view is not None and not view.plain and len(view.order) == rank]
    if not orders:
        return None
    operands = []
    for argument in call.args:
        kind = getattr(argument, "ty", None)
        if not isinstance(kind, relax.TensorType):
            operands.append(argument)
        elif kind.ndim == rank:
            operands.append(views.ordered(emitter, argument, orders[0]))
        elif all(int(extent) == 1 for extent in kind.shape.values):
            operands.append(views.plain(emitter, argument))
        else:
            extents = [1] * (rank - kind.ndim) + [int(extent) for extent in kind.shape.values]
            wide = emitter.emit(relax.op.reshape(views.plain(emitter, argument), extents))
            operands.append(emitter.emit(relax.op.permute_dims(wide, orders[0])))
    return View(tvm.ir.Call(call.op, operands, call.attrs), orders[0])


def _concat(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    if not isinstance(call.args[0], relax.Tuple):
        return None
    seen = [views.of(emitter, field) for field in call.args[0].fields]
    orders = [view.order for view in seen if view is not None and not view.plain]
    if not orders:
        return None
    axis = View(None, orders[0]).places([call.attrs.axis])[0]
    fields = [views.ordered(emitter, field, orders[0]) for field in call.args[0].fields]
    return View(relax.op.concat(fields, axis), orders[0])


def _split(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    view = views.of(emitter, call.args[0])
    if view is None or view.plain:
        return None
    sections = call.attrs.indices_or_sections
    parts = int(sections) if isinstance(sections, int | tvm.tirx.IntImm) else [int(place) for place in sections]
    return View(relax.op.split(view.value, parts, view.places([call.attrs.axis])[0]), view.order)


def _slice(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    view = views.of(emitter, call.args[0])
    if view is None or view.plain:
        return None
    axes = view.places([int(axis.value) for axis in call.args[1].fields])
    places = relax.Tuple([relax.prim_value(axis) for axis in axes])
    return View(tvm.ir.Call(call.op, [view.value, places, *call.args[2:]], call.attrs), view.order)


def _pad(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    view = views.of(emitter, call.args[0])
    if view is None or view.plain:
        return None
    widths = [int(width) for width in call.attrs.pad_width]
    moved = [width for axis in view.order for width in widths[2 * axis : 2 * axis + 2]]
    return View(relax.op.nn.pad(view.value, moved, call.attrs.pad_mode, call.attrs.pad_value), view.order)


def _softmax(make: Callable[..., Any]) -> Handler:
    def softmax(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
        view = views.of(emitter, call.args[0])
        if view is None or view.plain:
            return None
        return View(make(view.value, view.places([call.attrs.axis])[0]), view.order)

    return softmax


def _reduce(make: Callable[..., Any]) -> Handler:
    def reduce(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
        """Also without its axes if those that are left come in their old order."""
        view, attrs = views.of(emitter, call.args[0]), call.attrs
        if view is None or view.plain or attrs.axis is None:
            return None
        rank = len(view.order)
        gone = {int(axis) % rank for axis in attrs.axis}
        left = [axis for axis in view.order if axis not in gone]
        found = make(view.value, sorted(view.places(sorted(gone))), attrs.keepdims)
        if attrs.keepdims:
            return View(found, view.order)
        return View(found, tuple(range(len(left)))) if left == sorted(left) else None

    return reduce


def _permute(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    """Where the axes end up as they were, or as they are in images, nothing moves."""
    view = views.of(emitter, call.args[0])
    if view is None or call.attrs.axes is None:
        return None
    axes = [int(axis) % len(view.order) for axis in call.attrs.axes]
    order = tuple(axes.index(axis) for axis in view.order)
    if order in (IMAGE, TOKENS, tuple(range(len(order)))):
        return View(view.value, order)
    if view.plain:
        return None
    wanted = spread(len(order))
    moved = relax.op.permute_dims(view.value, View(None, order).places(wanted))
    return View(moved, wanted)


def _reshape(views: LayoutViews, emitter: Emitter, call: Any, variable: relax.Var) -> View | None:
    """Channels that are split or joined stay last; where there is one pixel, the order does not matter."""
    view = views.of(emitter, call.args[0])
    kind = variable.ty
    if view is None or view.plain or not isinstance(kind.shape, relax.ShapeExpr):
        return None
    old = [int(extent) for extent in call.args[0].ty.shape.values]
    new = [int(extent) for extent in kind.shape.values]
    wide = [axis for axis in view.order if old[axis] != 1]
    if wide == sorted(wide):
        return View(relax.op.reshape(view.value, new), tuple(range(len(new))))
    rank = len(old)
    if view.order == TOKENS and len(new) == 4 and new[:2] == old[:2]:
        return View(relax.op.reshape(view.value, [new[axis] for axis in IMAGE]), IMAGE)
    if rank < 4 or view.order != spread(rank):
        return None
    if len(new) >= 4 and [new[0], *new[-2:]] == [old[0], *old[-2:]]:
        order = spread(len(new))
    elif len(new) == 3 and new[0] == old[0] and new[2] == old[-2] * old[-1]:
        order = TOKENS
    else:
        return None
    return View(relax.op.reshape(view.value, [new[axis] for axis in order]), order)


_HANDLERS: Mapping[str, Handler] = {
    "nn.conv1d": _convolution(relax.op.nn.conv1d, TOKENS, ("NCW", "OIW"), ("NWC", "WIO")),
    "nn.conv2d": _convolution(relax.op.nn.conv2d, IMAGE, ("NCHW", "OIHW"), ("NHWC", "HWIO")),
    "nn.max_pool2d": _pool(relax.op.nn.max_pool2d),
    "nn.avg_pool2d": _pool(relax.op.nn.avg_pool2d),
    "nn.avg_pool3d": _pool_over_channels,
    "nn.adaptive_avg_pool2d": _adaptive_pool,
    "nn.batch_norm": _batch_norm,
    "nn.pad": _pad,
    "nn.softmax": _softmax(relax.op.nn.softmax),
    "nn.log_softmax": _softmax(relax.op.nn.log_softmax),
    "image.resize2d": _resize,
    "concat": _concat,
    "split": _split,
    "strided_slice": _slice,
    "permute_dims": _permute,
    "reshape": _reshape,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "mean": _reduce(relax.op.mean),
    "sum": _reduce(relax.op.sum),
    "max": _reduce(relax.op.max),
    "min": _reduce(relax.op.min),
    "prod": _reduce(relax.op.prod),
}

_ELEMENTWISE = frozenset((
    "abs", "acos", "acosh", "add", "asin", "asinh", "astype", "atan", "atanh", "ceil", "clip", "cos", "cosh", "divide",
    "equal", "erf", "exp", "floor", "floor_divide", "floor_mod", "greater", "greater_equal", "isfinite", "isinf",
    "isnan", "less", "less_equal", "log", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum",
    "minimum", "mod", "multiply", "negative", "nn.gelu", "nn.gelu_tanh", "nn.leakyrelu", "nn.relu", "nn.relu6",
    "nn.selu", "nn.silu", "nn.softplus", "not_equal", "power", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh",
    "sqrt", "square", "subtract", "tan", "tanh", "trunc", "where",
))  # fmt: skip


def rule_of(name: str) -> Handler | None:
    """The rule of an operator, ``nn.conv2d`` without ``relax.``; None for one that has none."""
    return _HANDLERS.get(name, _elementwise if name in _ELEMENTWISE else None)
