"""Bindings of a Relax function: walked over, and emitted again with some of them changed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tvm
from tvm import relax

__all__ = [
    "Emitter",
    "Rule",
    "bindings_of",
    "is_call_of",
    "is_call_tir",
    "is_constant",
    "rewrite_main",
    "substitute",
    "tensors_of",
    "with_bindings",
    "with_main",
]

Rule = Callable[["Emitter", relax.Var, Any], Any]


def bindings_of(function: relax.Function) -> Iterator[relax.Binding]:
    """Every binding, in order; of a function in normal form."""
    for block in function.body.blocks:
        yield from block.bindings


def is_constant(expression: Any) -> bool:
    """Whether it is a tensor of known values."""
    return isinstance(expression, tvm.ir.GenericConst)


def is_call_of(expression: Any, *names: str) -> bool:
    """Whether it calls an operator of one of these names, ``relax.nn.conv2d`` without the ``relax.``."""
    return (
        isinstance(expression, tvm.ir.Call)
        and isinstance(expression.op, tvm.ir.Op)
        and expression.op.name.removeprefix("relax.") in names
    )


def is_call_tir(expression: Any) -> bool:
    """Whether it calls a PrimFunc."""
    return is_call_of(expression, "call_tir")


def substitute(expression: Any, values: Mapping[relax.Var, Any], *, typed: bool = False) -> Any:
    """An argument, a tuple of them or a call, with variables replaced by what ``values`` has for them.

    Args:
        expression: stays as it is.
        values: variable -> what takes its place.
        typed: a call keeps its type; only where what takes the place has the variable's own.
    """
    if isinstance(expression, relax.Var):
        return values.get(expression, expression)
    if isinstance(expression, relax.Tuple):
        return relax.Tuple([substitute(field, values) for field in expression.fields])
    if isinstance(expression, relax.TupleGetItem):
        return relax.TupleGetItem(substitute(expression.tuple_value, values), expression.index)
    if isinstance(expression, tvm.ir.Call):
        arguments = [substitute(argument, values) for argument in expression.args]
        kind = (expression.ty,) if typed else ()
        return tvm.ir.Call(expression.op, arguments, expression.attrs, expression.ty_args, expression.span, *kind)
    return expression


def tensors_of(expression: Any) -> list[Any]:
    """The variables and constants that an expression reads, tuples flattened; as often as it reads them."""
    if isinstance(expression, relax.Var) or is_constant(expression):
        return [expression]
    parts: Sequence[Any] = ()
    if isinstance(expression, tvm.ir.Call):
        parts = expression.args
    elif isinstance(expression, relax.Tuple):
        parts = expression.fields
    elif isinstance(expression, relax.TupleGetItem):
        parts = [expression.tuple_value]
    return [item for part in parts for item in tensors_of(part)]


class Emitter:
    """A function that is being emitted again.

    Attributes:
        builder: takes the bindings.
        values: what stands for each old variable.
        definitions: what each new variable is bound to.
        constant: the new variables that are computed from constants alone.
    """

    def __init__(self) -> None:
        self.builder = relax.BlockBuilder()
        self.values: dict[relax.Var, Any] = {}
        self.definitions: dict[relax.Var, Any] = {}
        self.constant: set[relax.Var] = set()

    def emit(self, expression: Any, name: str = "") -> Any:
        """Bind an expression to a new variable, its type inferred; what is no call or tuple needs no variable."""
        if isinstance(expression, relax.Var) or is_constant(expression):
            return expression
        variable = self.builder.emit(expression, name)
        self.definitions[variable] = expression
        tensors = tensors_of(expression)
        if tensors and all(map(self.is_constant, tensors)):
            self.constant.add(variable)
        return variable

    def is_constant(self, expression: Any) -> bool:
        """Whether it is a tensor of known values, or one that is computed from those alone."""
        return is_constant(expression) or expression in self.constant

    def read(self, expression: Any) -> Any:
        """What an expression of the old function is in the new one."""
        return substitute(expression, self.values)

    def call_behind(self, expression: Any, *names: str) -> Any:
        """The call of an operator of one of these names that a variable is bound to; None if it is something else."""
        found = self.definitions.get(expression) if isinstance(expression, relax.Var) else None
        return found if is_call_of(found, *names) else None


def rewrite_main(module: tvm.IRModule, rule: Rule, result: Callable[[Emitter, Any], Any] | None = None) -> tvm.IRModule:
    """Emit ``main`` again, binding by binding, and drop what nobody reads.

    Args:
        module: its ``main`` has one dataflow block. It is not changed; PrimFuncs that the rule adds are in the result.
        rule: called with the emitter, the old variable and its old value; returns the value to bind in its place, in
            terms of the new function.
        result: called with the emitter and what the old function returns; :meth:`Emitter.read` by default.
    """
    main = module["main"]
    emitter = Emitter()
    builder = emitter.builder
    with builder.function("main", list(main.params)):
        with builder.dataflow():
            for binding in bindings_of(main):
                found = rule(emitter, binding.var, binding.value)
                emitter.values[binding.var] = emitter.emit(found, binding.var.name)
            returned = result(emitter, main.body.body) if result else emitter.read(main.body.body)
            output = builder.emit_output(returned)
        builder.emit_func_output(output)
    made = builder.get()
    function = made["main"]
    if main.attrs is not None:
        function = function.with_attrs(dict(main.attrs.items()))
    changed = with_main(module, function)
    for variable, prim_func in made.functions.items():
        if isinstance(prim_func, tvm.tirx.PrimFunc):
            changed.update_func(variable, prim_func)
    return changed


def with_main(module: tvm.IRModule, function: relax.Function) -> tvm.IRModule:
    """A copy of a module with another ``main``, rid of what nobody reads in it."""
    changed = module.clone()
    changed.update_func(changed.get_global_var("main"), relax.analysis.remove_all_unused(function))
    return changed


def with_bindings(module: tvm.IRModule, bindings: Sequence[relax.Binding], result: Any) -> tvm.IRModule:
    """A copy of a module whose ``main`` has these bindings, one dataflow block of them, and returns ``result``."""
    main = module["main"]
    body = relax.SeqExpr([relax.DataflowBlock(list(bindings))], result)
    return with_main(module, relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs))
