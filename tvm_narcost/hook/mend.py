"""What importers leave behind is mended: every rule changes a module to one that computes the same.

dropout(x) is x; a sum (max, min) over stack(broadcast(x), broadcast(y), ...) is x + y + ...; a PrimFunc that the
importer writes in place of maximum, minimum or pad is that operator again, so that layouts can follow.
"""

import functools
from collections.abc import Callable
from typing import Any

import tvm
from tvm import relax

from tvm_narcost.hook.bindings import Emitter, is_call_of, rewrite_main
from tvm_narcost.hook.prim_operators import PrimOperators

__all__ = ["mend"]

_PAIRWISE: dict[str, Callable[[Any, Any], Any]] = {
    "sum": relax.op.add,
    "max": relax.op.maximum,
    "min": relax.op.minimum,
}


def mend(module: tvm.IRModule) -> tvm.IRModule:
    """Apply every rule above; the module is not changed."""
    operators = PrimOperators(module)

    def rule(emitter: Emitter, variable: relax.Var, value: Any) -> Any:
        value = emitter.read(value)
        for mended in (_drop_dropout(emitter, value), _spell_out_sum(emitter, value), operators.behind(value)):
            if mended is not None:
                return mended
        return value

    return rewrite_main(module, rule)


def _drop_dropout(emitter: Emitter, value: Any) -> Any:
    if not isinstance(value, relax.TupleGetItem) or value.index != 0:
        return None
    dropout = emitter.call_behind(value.tuple_value, "nn.dropout")
    return None if dropout is None else dropout.args[0]


def _spell_out_sum(emitter: Emitter, value: Any) -> Any:
    """The importer broadcasts the operands of Sum, stacks them along a new axis and reduces that axis."""
    if not is_call_of(value, *_PAIRWISE) or value.attrs.keepdims or list(value.attrs.axis or ()) != [0]:
        return None
    stack = emitter.call_behind(value.args[0], "stack")
    if stack is None or stack.attrs.axis != 0 or not isinstance(stack.args[0], relax.Tuple):
        return None
    shape = list(value.args[0].ty.shape.values)[1:]
    operands = [_without_broadcast(emitter, operand) for operand in stack.args[0].fields]
    pairwise = _PAIRWISE[value.op.name.removeprefix("relax.")]
    total = functools.reduce(lambda left, right: emitter.emit(pairwise(left, right)), operands)
    # Of operands that were all narrower than the result, the sum is still to be widened.
    return total if list(total.ty.shape.values) == shape else relax.op.broadcast_to(total, shape)


def _without_broadcast(emitter: Emitter, operand: Any) -> Any:
    broadcast = emitter.call_behind(operand, "broadcast_to")
    return operand if broadcast is None else broadcast.args[0]
