"""Several modules of one network made one, so that what their plans have in common is scheduled and compiled once."""

from collections.abc import Sequence

import tvm
import tvm_ffi
from tvm import relax

__all__ = ["entry_name", "merge_modules"]


def entry_name(place: int) -> str:
    """Name of the Relax function that ``main`` of the module at ``place`` becomes."""
    return f"main_{place}"


def merge_modules(modules: Sequence[tvm.IRModule]) -> tvm.IRModule:
    """One module with the ``main`` of each; PrimFuncs that are structurally equal are there once.

    Args:
        modules: after FuseTIR, each with one Relax function, ``main``.
    """
    functions: dict[tvm.ir.GlobalVar, tvm.ir.BaseFunc] = {}
    known: dict[int, list[tuple[tvm.ir.BaseFunc, tvm.ir.GlobalVar]]] = {}
    for place, module in enumerate(modules):
        shared = {}
        for variable, function in module.functions.items():
            if isinstance(function, relax.Function):
                continue
            plain = function.without_attr("global_symbol")
            alike = known.setdefault(tvm_ffi.structural_hash(plain), [])
            for other, kept in alike:
                if tvm_ffi.structural_equal(other, plain):
                    shared[variable] = kept
                    break
            else:
                kept = tvm.ir.GlobalVar(f"kernel_{len(functions)}_{variable.name_hint}")
                relax.expr._update_type(kept, variable.ty)
                alike.append((plain, kept))
                functions[kept] = plain
                shared[variable] = kept
        main = _Renamer(shared).visit_expr(module["main"])
        functions[tvm.ir.GlobalVar(entry_name(place))] = main.with_attr("global_symbol", entry_name(place))
    return tvm.IRModule(functions, attrs=modules[0].attrs)


@relax.expr_functor.mutator
class _Renamer(relax.expr_functor.PyExprMutator):  # type: ignore[misc]
    """Calls of one module's functions become calls of the merged one's."""

    def __init__(self, names: dict[tvm.ir.GlobalVar, tvm.ir.GlobalVar]) -> None:
        super().__init__()
        self._names = names

    def visit_global_var_(self, op: tvm.ir.GlobalVar) -> tvm.ir.GlobalVar:
        return self._names.get(op, op)
