"""The constants among the operands of a module's kernels: found before scheduling, packed after it."""

from collections.abc import Iterator, Mapping
from typing import Any

import tvm
from tvm import relax

from tvm_narcost.hook.bindings import bindings_of, is_call_tir, is_constant
from tvm_narcost.hook.schedules.packing import Packing

__all__ = ["constant_operands", "pack_constants"]


def constant_operands(module: tvm.IRModule) -> dict[str, tuple[int, ...]]:
    """Name of each PrimFunc -> positions of the parameters that are constants wherever it is called."""
    found: dict[str, set[int]] = {}
    for _, function in _relax_functions(module):
        for binding in bindings_of(function):
            if is_call_tir(binding.value):
                operands = binding.value.args[1].fields
                constant = {at for at, operand in enumerate(operands) if is_constant(operand)}
                name = binding.value.args[0].name_hint
                found[name] = found.get(name, constant) & constant
    return {name: tuple(sorted(positions)) for name, positions in found.items()}


def pack_constants(module: tvm.IRModule, packings: Mapping[str, Mapping[int, Packing]]) -> tvm.IRModule:
    """Give kernels their constants packed.

    Args:
        module: is not changed.
        packings: name of a PrimFunc -> position of the parameter -> how it is packed.
    """
    changed = module.clone()
    renewed: dict[str, Any] = {}  # a GlobalVar's type tells the shapes of the parameters, and cannot be changed
    for name in packings:
        renewed[name] = relax.BlockBuilder().add_func(module[name], name)
        del changed[name]
        changed.update_func(renewed[name], module[name])
    done: dict[tuple[Any, Packing], Any] = {}
    for variable, function in _relax_functions(module):
        blocks = []
        for block in function.body.blocks:
            kind = relax.DataflowBlock if isinstance(block, relax.DataflowBlock) else relax.BindingBlock
            blocks.append(kind([_packed(binding, packings, renewed, done) for binding in block.bindings]))
        body = relax.SeqExpr(blocks, function.body.body)
        new = relax.Function(function.params, body, function.ret_ty, function.is_pure, function.attrs)
        changed.update_func(variable, new)
    return relax.transform.Normalize()(changed)


def _relax_functions(module: tvm.IRModule) -> Iterator[tuple[Any, relax.Function]]:
    for variable, function in module.functions_items():
        if isinstance(function, relax.Function):
            yield variable, function


def _packed(
    binding: relax.Binding,
    packings: Mapping[str, Mapping[int, Packing]],
    renewed: Mapping[str, Any],
    done: dict[tuple[Any, Packing], Any],
) -> relax.Binding:
    call = binding.value
    if not is_call_tir(call) or call.args[0].name_hint not in packings:
        return binding
    operands = list(call.args[1].fields)
    for position, packing in packings[call.args[0].name_hint].items():
        constant = operands[position]
        key = constant.value, packing  # one copy of a weight that several kernels read
        if key not in done:
            done[key] = relax.const(packing.apply(constant.value.numpy()))
        operands[position] = done[key]
    arguments = [renewed[call.args[0].name_hint], relax.Tuple(operands), *call.args[2:]]
    return relax.VarBinding(binding.var, tvm.ir.Call(call.op, arguments, call.attrs, call.ty_args, call.span, call.ty))
