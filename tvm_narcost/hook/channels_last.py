"""Images with channels last, which vectorise better: convolutions in NHWC, and all that can follow them.

``relax.transform.ConvertLayout`` fails on some operators (a reshape to five axes) and goes back to NCHW at others (a
constant of lower rank). Here each value of the old function has a view: a value of the new one and the order in which
that one has the old one's axes. A permutation of axes changes the view alone, and what knows no order gets the old one.
"""

from typing import Any

import tvm
from tvm import relax

from tvm_narcost.hook.bindings import Emitter, rewrite_main, tensors_of
from tvm_narcost.hook.layout_rules import rule_of
from tvm_narcost.hook.layout_views import LayoutViews, View

__all__ = ["to_channels_last"]


def to_channels_last(module: tvm.IRModule) -> tvm.IRModule:
    """A module whose two-dimensional convolutions of constant weights are in NHWC and HWIO; it computes the same."""
    views = LayoutViews()

    def rule(emitter: Emitter, variable: relax.Var, value: Any) -> Any:
        return _with_channels_last(views, emitter, variable, value)

    return rewrite_main(module, rule, views.plain_all)


def _with_channels_last(views: LayoutViews, emitter: Emitter, variable: relax.Var, value: Any) -> Any:
    """What stands for one binding; its view is remembered."""
    tensors = tensors_of(value)
    if tensors and all(emitter.is_constant(emitter.read(item)) for item in tensors):
        return emitter.read(value)
    if isinstance(value, relax.TupleGetItem) and value.tuple_value in views.fields:
        field = emitter.emit(emitter.read(value), variable.name)
        order = views.fields[value.tuple_value]
        if len(order) == variable.ty.ndim:  # not the statistics of a batch_norm
            views.views[variable] = View(field, order)
        return field
    is_operator = isinstance(value, tvm.ir.Call) and isinstance(value.op, tvm.ir.Op)
    rule = rule_of(value.op.name.removeprefix("relax.")) if is_operator else None
    found = rule(views, emitter, value, variable) if rule is not None else None
    if found is None:
        return views.plain_all(emitter, value)
    whole = emitter.emit(found.value, variable.name)
    if isinstance(variable.ty, relax.TupleType):
        views.fields[variable] = found.order
    elif not found.plain:
        views.views[variable] = View(whole, found.order)
    return whole
