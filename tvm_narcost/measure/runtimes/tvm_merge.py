"""Several modules of one network made one, so that what their plans have in common is scheduled and compiled once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import tvm
import tvm_ffi
from tvm import relax

__all__ = ["MergedModule", "merge_modules"]


@dataclass(frozen=True, eq=False)
class MergedModule:
    """One module for several.

    Attributes:
        module: the ``main`` of each, and PrimFuncs that are structurally equal once.
        entries: what ``main`` of each is called here.
        names: for each, its PrimFuncs' names -> what they are called here.
    """

    module: tvm.IRModule = field(repr=False)
    entries: tuple[str, ...]
    names: tuple[Mapping[str, str], ...]


def merge_modules(modules: Sequence[tvm.IRModule]) -> MergedModule:
    """Make one module of several.

    Args:
        modules: after FuseTIR, each with one Relax function, ``main``.
    """
    functions: dict[tvm.ir.GlobalVar, tvm.ir.BaseFunc] = {}
    known: dict[int, list[tuple[tvm.ir.BaseFunc, tvm.ir.GlobalVar]]] = {}
    names = []
    for place, module in enumerate(modules):
        shared = {
            variable: _kept(variable, function.without_attr("global_symbol"), known, functions)
            for variable, function in module.functions.items()
            if not isinstance(function, relax.Function)
        }
        entry = tvm.ir.GlobalVar(_entry(place))
        functions[entry] = _Renamer(shared).visit_expr(module["main"]).with_attr("global_symbol", entry.name_hint)
        names.append({variable.name_hint: kept.name_hint for variable, kept in shared.items()})
    merged = tvm.IRModule(functions, attrs=modules[0].attrs)
    return MergedModule(merged, tuple(_entry(place) for place in range(len(modules))), tuple(names))


def _entry(place: int) -> str:
    return f"main_{place}"


def _kept(
    variable: tvm.ir.GlobalVar,
    function: tvm.ir.BaseFunc,
    known: dict[int, list[tuple[tvm.ir.BaseFunc, tvm.ir.GlobalVar]]],
    functions: dict[tvm.ir.GlobalVar, tvm.ir.BaseFunc],
) -> tvm.ir.GlobalVar:
    """The variable of an equal function that is there already, else one of its own, which is added."""
    alike = known.setdefault(tvm_ffi.structural_hash(function), [])
    for other, kept in alike:
        if tvm_ffi.structural_equal(other, function):
            return kept
    kept = tvm.ir.GlobalVar(f"{variable.name_hint}_{len(functions)}")
    relax.expr._update_type(kept, variable.ty)
    alike.append((function, kept))
    functions[kept] = function
    return kept


@relax.expr_functor.mutator
class _Renamer(relax.expr_functor.PyExprMutator):  # type: ignore[misc]  # TVM is untyped
    """Calls of one module's functions become calls of the merged one's."""

    def __init__(self, names: Mapping[tvm.ir.GlobalVar, tvm.ir.GlobalVar]) -> None:
        super().__init__()
        self._names = names

    def visit_global_var_(self, op: tvm.ir.GlobalVar) -> tvm.ir.GlobalVar:
        return self._names.get(op, op)
