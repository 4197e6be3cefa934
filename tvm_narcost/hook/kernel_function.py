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
        results: for each variable of ``main`` that is to be bound, which of the returned tensors it is, or are the
            fields of it where it is a tuple.
    """

    name: str
    function: relax.Function
    arguments: tuple[Any, ...]
    results: tuple[tuple[relax.Var, int | tuple[int, ...]], ...]

    def bind(self, callee: tvm.ir.GlobalVar) -> list[relax.Binding]:
        """The bindings of ``main`` that call the function and take its results apart."""
        call = tvm.ir.Call(callee, list(self.arguments))
        if not isinstance(self.function.ret_ty, relax.TupleType):
            return [relax.VarBinding(self.results[0][0], call)]
        whole = relax.DataflowVar("results", self.function.ret_ty)
        bindings = [relax.VarBinding(whole, call)]
        for variable, place in self.results:
            if isinstance(place, int):
                bindings.append(relax.VarBinding(variable, relax.TupleGetItem(whole, place)))
                continue
            fields = [relax.DataflowVar(f"{variable.name}_{number}", whole.ty.fields[number]) for number in place]
            for field, number in zip(fields, place, strict=True):
                bindings.append(relax.VarBinding(field, relax.TupleGetItem(whole, number)))
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
    returned: list[relax.Var] = []
    places: list[tuple[relax.Var, int | tuple[int, ...]]] = []
    inner: list[relax.Binding] = []
    for binding in bindings:
        variable, value = binding.var, _with_operands(binding.value, values)
        if variable in results and not isinstance(variable.ty, relax.TupleType):
            places.append((variable, len(returned)))
            values[variable] = relax.Var(variable.name, variable.ty)
            returned.append(values[variable])
        else:
            values[variable] = relax.DataflowVar(variable.name, variable.ty)
        inner.append(relax.VarBinding(values[variable], value))
        if variable in results and isinstance(variable.ty, relax.TupleType):
            fields = [relax.Var(f"{variable.name}_{place}", kind) for place, kind in enumerate(variable.ty.fields)]
            places.append((variable, tuple(range(len(returned), len(returned) + len(fields)))))
            for place, field in enumerate(fields):
                inner.append(relax.VarBinding(field, relax.TupleGetItem(values[variable], place)))
            returned += fields
    single = len(returned) == 1
    body = relax.SeqExpr([relax.DataflowBlock(inner)], returned[0] if single else relax.Tuple(returned))
    kind = returned[0].ty if single else relax.TupleType([field.ty for field in returned])
    parameters = [values[argument] for argument in arguments]
    function = relax.Function(parameters, body, kind, True, tvm.ir.make_node("ir.DictAttrs", Primitive=True))
    return KernelFunction(_name(bindings), function, tuple(arguments), tuple(places))


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
