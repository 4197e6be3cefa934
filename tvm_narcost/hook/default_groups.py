"""TVM's own groups: what its FuseOps makes of a prepared module, told in nodes of the module's graph."""

from collections.abc import Iterator

import tvm
from tvm import relax

from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import CompileError
from tvm_narcost.hook.bindings import bindings_of, is_call_tir, with_bindings
from tvm_narcost.hook.prepare import PreparedModule

__all__ = ["tag_calls", "tvm_plan"]


def tvm_plan(prepared: PreparedModule) -> FusionPlan:
    """The plan that TVM's default pipeline has for a module; nothing is compiled, no constant computed.

    FuseOps renames variables, so that each call gets a PrimFunc name of its own before it, and these names are found
    again inside of the groups.

    Raises:
        CompileError: an operator is in no group, because nothing is left of it once it is legalised.
    """
    tagged, calls = tag_calls(prepared.outline)
    with prepared.target:
        fused = relax.transform.FuseOps()(tagged)
    kernels: list[set[int]] = []
    for group in _groups(fused, calls):
        nodes = {node for call in group for node in prepared.nodes_of.get(call, ())}
        # A node whose calls FuseOps parts is in one kernel all the same.
        for kernel in [kernel for kernel in kernels if kernel & nodes]:
            kernels.remove(kernel)
            nodes |= kernel
        if nodes:
            kernels.append(nodes)
    graph = prepared.graph
    missing = sorted({*range(len(graph.nodes))} - {node for kernel in kernels for node in kernel})
    if missing:
        names = ", ".join(graph.nodes[node].name for node in missing[:5])
        raise CompileError(
            f"{len(missing)} operators of {graph.name!r} are in no kernel of TVM's: {names}; expected each in one: "
            "give the network an output that depends on them"
        )
    return FusionPlan(graph, tuple(tuple(sorted(kernel)) for kernel in kernels), "tvm")


def tag_calls(outline: tvm.IRModule) -> tuple[tvm.IRModule, dict[str, relax.Var]]:
    """Each call of a PrimFunc calls a copy of its own; returns the copies' names and who calls them."""
    changed = outline.clone()
    calls: dict[str, relax.Var] = {}
    bindings = []
    for binding in bindings_of(outline["main"]):
        call = binding.value
        if is_call_tir(call):
            function = tvm.ir.GlobalVar(f"narcost_call_{len(calls)}")
            relax.expr._update_type(function, call.args[0].ty)
            changed.update_func(function, outline[call.args[0]])
            calls[function.name_hint] = binding.var
            call = tvm.ir.Call(call.op, [function, *call.args[1:]], call.attrs, call.ty_args, call.span, call.ty)
        bindings.append(relax.VarBinding(binding.var, call))
    return with_bindings(changed, bindings, outline["main"].body.body), calls


def _groups(fused: tvm.IRModule, calls: dict[str, relax.Var]) -> Iterator[list[relax.Var]]:
    """The calls of each kernel of ``main``, in the order in which it runs them."""
    for binding in bindings_of(fused["main"]):
        call = binding.value
        if is_call_tir(call):
            yield [calls[call.args[0].name_hint]]
        elif isinstance(call, tvm.ir.Call) and isinstance(call.op, tvm.ir.GlobalVar):
            parts = [part.value for part in bindings_of(fused[call.op])]
            yield [calls[part.args[0].name_hint] for part in parts if is_call_tir(part)]
        elif isinstance(call, tvm.ir.Call):
            raise CompileError(
                f"TVM leaves {call.op} in the network, expected only calls of compiled functions: narcost cannot plan "
                "networks with this operator for TVM"
            )
