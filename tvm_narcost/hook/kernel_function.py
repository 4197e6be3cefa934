"""One kernel as a Relax function with attribute ``Primitive``, as FuseOps writes them and FuseTIR takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax

from tvm_narcost.hook.bindings import is_call_tir, substitute

__all__ = ["KernelFunction", "build_function"]

_NAME_LENGTH = 80  # a function of many calls is not called after all of them


@dataclass(frozen=True, eq=False)
class KernelFunction:
    """A function, and how ``main`` calls it.

    Attributes:
        name: after what it calls; functions of one name are told apart by who adds them.
        function: private; it returns one tensor, or a tuple of them.
        arguments: variables and constants of ``main``, one a parameter.
        results: for each variable of ``main`` that is to be bound, which of the returned tensors it is; several where
            it is a tuple of them.
    """

    name: str
    function: relax.Function
    arguments: tuple[Any, ...]
    results: tuple[tuple[relax.Var, tuple[int, ...]], ...]

    def bind(self, callee: tvm.ir.GlobalVar) -> list[relax.Binding]:
        """The bindings of ``main`` that call the function and take its results apart."""
        whole, bindings = relax.DataflowVar("results", self.function.ret_ty), []
        single = not isinstance(whole.ty, relax.TupleType)
        if single and not isinstance(self.results[0][0].ty, relax.TupleType):
            whole = self.results[0][0]
        bindings.append(relax.VarBinding(whole, tvm.ir.Call(callee, list(self.arguments))))
        for variable, places in self.results:
            if variable.same_as(whole):
                continue
            if not isinstance(variable.ty, relax.TupleType):
                bindings.append(relax.VarBinding(variable, whole if single else relax.TupleGetItem(whole, places[0])))
                continue
            fields = [
                relax.DataflowVar(f"{variable.name}_{place}", kind) for place, kind in enumerate(variable.ty.fields)
            ]
            for field, place in zip(fields, places, strict=True):
                bindings.append(relax.VarBinding(field, whole if single else relax.TupleGetItem(whole, place)))
            bindings.append(relax.VarBinding(variable, relax.Tuple(fields)))
        return bindings


def build_function(bindings: Sequence[relax.Binding], results: Sequence[relax.Var]) -> KernelFunction:
    """Put calls of PrimFuncs, and what takes their results apart, into a function.

    Args:
        bindings: of ``main``, in order.
        results: those of their variables that are read elsewhere.
    """
    inside = {binding.var for binding in bindings}
    values: dict[Any, Any] = {}
    arguments: list[Any] = []
    for binding in bindings:
        for operand in binding.value.args[1].fields if is_call_tir(binding.value) else ():
            if operand not in inside and operand not in values:
                values[operand] = relax.Var(f"p{len(arguments)}", operand.ty)
                arguments.append(operand)
    parameters = list(values.values())
    slots_of = {variable: _slots(variable, bindings) for variable in results}
    slots = list(dict.fromkeys(slot for found in slots_of.values() for slot in found))  # one that is read twice once
    inner: list[relax.Binding] = []
    for binding in bindings:
        variable = binding.var
        kind = relax.Var if (variable, None) in slots else relax.DataflowVar
        value = _with_operands(binding.value, values)
        values[variable] = kind(variable.name, variable.ty)
        inner.append(relax.VarBinding(values[variable], value))
    returned: list[relax.Var] = []
    for variable, field in slots:
        if field is None:
            returned.append(values[variable])
            continue
        returned.append(relax.Var(f"{variable.name}_{field}", variable.ty.fields[field]))
        inner.append(relax.VarBinding(returned[-1], relax.TupleGetItem(values[variable], field)))
    single = len(returned) == 1
    body = relax.SeqExpr([relax.DataflowBlock(inner)], returned[0] if single else relax.Tuple(returned))
    returns = returned[0].ty if single else relax.TupleType([result.ty for result in returned])
    function = relax.Function(parameters, body, returns, True, tvm.ir.make_node("ir.DictAttrs", Primitive=True))
    places = tuple((variable, tuple(map(slots.index, found))) for variable, found in slots_of.items())
    return KernelFunction(_name(bindings), function, tuple(arguments), places)


def _slots(variable: relax.Var, bindings: Sequence[relax.Binding]) -> list[tuple[relax.Var, int | None]]:
    """The tensors that a result is made of: itself, the field of a tuple that it is, or the fields that it has."""
    value = next(binding.value for binding in bindings if binding.var.same_as(variable))
    if isinstance(variable.ty, relax.TupleType):
        return [(variable, field) for field in range(len(variable.ty.fields))]
    return [(value.tuple_value, int(value.index))] if isinstance(value, relax.TupleGetItem) else [(variable, None)]


def _with_operands(value: Any, values: dict[Any, Any]) -> Any:
    """A call of a PrimFunc, or a field of a tuple, that reads what ``values`` has; constants are parameters too."""
    if not is_call_tir(value):
        return substitute(value, values)
    operands = relax.Tuple([values.get(operand, operand) for operand in value.args[1].fields])
    arguments = [value.args[0], operands, *value.args[2:]]
    return tvm.ir.Call(value.op, arguments, value.attrs, value.ty_args, value.span, value.ty)


def _name(bindings: Sequence[relax.Binding]) -> str:
    names = [binding.value.args[0].name_hint for binding in bindings if is_call_tir(binding.value)]
    return "_".join(["fused", *(name.rstrip("0123456789") for name in names)])[:_NAME_LENGTH].rstrip("_")
