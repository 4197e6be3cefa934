"""The kernels that TVM's default pipeline makes of a Relax module, told in terms of the module's own operators.

The pipeline's first passes are run here as it runs them: LegalizeOps, AnnotateTIROpPattern, FoldConstant, FuseOps. The
way back from FuseOps' groups to high-level operators has two steps. LegalizeOps keeps the variable of each binding, so
that the bindings it writes belong to the first of the old variables that follows. FuseOps renames variables, so that
each call gets a PrimFunc name of its own before it, and these names are found again inside of the groups.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax

from relay_frontend.plan import FusionPlan
from relay_frontend.relax.passes import RULES
from relay_frontend.relax.reader import RelaxReading, read_relax
from relay_frontend.relax.rewrite import join_in_kernels
from tvm_narcost.errors import MeasurementError

__all__ = ["RelaxPlan", "plan_module"]


@dataclass(frozen=True, slots=True)
class RelaxPlan:
    """A plan, and how to recognise its kernels in a running network.

    Attributes:
        plan: over the module's operators, put together where that stays inside of one kernel.
        calls: the kernels that the network calls, in order: (name of the compiled function, index of the kernel in
            ``plan``). The index is None for a call that stands for no operator, such as a reshape to the same shape.
    """

    plan: FusionPlan
    calls: tuple[tuple[str, int | None], ...]


def plan_module(module: tvm.IRModule, target: tvm.target.Target, *, name: str) -> RelaxPlan:
    """Plan a module with one high-level function ``main``.

    Raises:
        MeasurementError: the target has another pipeline than the one known here, or an operator is in no kernel.
        FrontendError: the module has operators or shapes that the Relax reader refuses.
    """
    if target.kind.name != "llvm":
        raise MeasurementError(f"TVM target {target} is planned by another pipeline, expected one of kind llvm")
    reading = read_relax(module, name=name)
    with target:
        passes = [relax.backend.DispatchSampling(), relax.backend.DispatchSortScan(), relax.transform.LegalizeOps()]
        legal = tvm.transform.Sequential(passes)(module)
        owners = _owners(legal, reading.nodes_of)
        annotated = relax.transform.AnnotateTIROpPattern()(legal)
        fuse = relax.transform.FuseOps()
        symbols = [symbol for symbol, _ in _kernels(fuse(_fold_and_tag(annotated, tag=False)[0]))]
        tagged, variables = _fold_and_tag(annotated, tag=True)
        groups = [tags for _, tags in _kernels(fuse(tagged))]
    if len(symbols) != len(groups):
        raise MeasurementError(f"FuseOps makes {len(symbols)} and {len(groups)} kernels of {name!r}, expected the same")
    kernels = [tuple(sorted({node for tag in tags for node in owners.get(variables[tag], ())})) for tags in groups]
    return _assemble(reading, kernels, symbols)


def _bindings(module: tvm.IRModule, function: str = "main") -> Iterator[relax.Binding]:
    for block in module[function].body.blocks:
        yield from block.bindings


def _owners(legal: tvm.IRModule, nodes_of: Mapping[relax.Var, tuple[int, ...]]) -> dict[relax.Var, tuple[int, ...]]:
    """Variable of a legalised binding -> the operators that it computes, or helps to compute."""
    owners: dict[relax.Var, tuple[int, ...]] = {}
    waiting: list[relax.Var] = []
    for binding in _bindings(legal):
        if not isinstance(binding.value, tvm.ir.Call):
            continue
        waiting.append(binding.var)
        if binding.var in nodes_of:
            owners.update(dict.fromkeys(waiting, nodes_of[binding.var]))
            waiting.clear()
    return owners


def _fold_and_tag(module: tvm.IRModule, *, tag: bool) -> tuple[tvm.IRModule, dict[str, relax.Var]]:
    """Fold calls on constants alone as FoldConstant would, and give each other call a PrimFunc of its own name.

    Folding leaves the values out: what FuseOps does depends on types only, and computing them takes seconds (a
    transposed 400 MB weight is compiled for, written and thrown away).

    Returns:
        The module, and PrimFunc name -> variable, empty without ``tag``.
    """
    changed = module.clone()
    variables: dict[str, relax.Var] = {}
    constants: dict[relax.Var, tvm.ir.GenericConst] = {}
    blocks = []
    for block in module["main"].body.blocks:
        bindings = []
        for binding in block.bindings:
            call = binding.value
            if not _is_call_tir(call):
                bindings.append(binding)
                continue
            function, arguments = call.args[0], [constants.get(item, item) for item in call.args[1].fields]
            if all(isinstance(item, tvm.ir.GenericConst) for item in arguments) and _is_static_tensor(binding.var.ty):
                constants[binding.var] = _unset_constant(binding.var.ty)
                continue
            if tag:
                function = tvm.ir.GlobalVar(f"narcost_call_{len(variables)}")
                relax.expr._update_type(function, call.args[0].ty)
                changed.update_func(function, module[call.args[0]])
                variables[function.name_hint] = binding.var
            operands = [function, relax.Tuple(arguments), *call.args[2:]]
            call = tvm.ir.Call(call.op, operands, call.attrs, call.ty_args, call.span, call.ty)
            bindings.append(relax.VarBinding(binding.var, call))
        kind = relax.DataflowBlock if isinstance(block, relax.DataflowBlock) else relax.BindingBlock
        blocks.append(kind(bindings))
    main = module["main"]
    body = relax.SeqExpr(blocks, main.body.body)
    # FoldConstant drops what nobody reads as well: without, the unread outputs of a batch_norm keep it from fusing.
    function = relax.analysis.remove_all_unused(
        relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    )
    changed.update_func(changed.get_global_var("main"), function)
    # Types of what was built by hand are filled in here, not under FuseOps' feet, which hashes the function.
    return relax.transform.Normalize()(changed), variables


def _is_static_tensor(kind: relax.Type) -> bool:
    return isinstance(kind, relax.TensorType) and isinstance(kind.shape, relax.ShapeExpr)


def _unset_constant(kind: relax.TensorType) -> tvm.ir.GenericConst:
    return relax.const(tvm.runtime.empty([int(extent) for extent in kind.shape.values], str(kind.dtype.dtype)))


def _is_call_tir(expression: Any) -> bool:
    return (
        isinstance(expression, tvm.ir.Call)
        and isinstance(expression.op, tvm.ir.Op)
        and expression.op.name == "relax.call_tir"
    )


def _kernels(fused: tvm.IRModule) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each call of ``main``, in order: its function's name, and the PrimFuncs that it is made of."""
    for binding in _bindings(fused):
        call = binding.value
        if _is_call_tir(call):
            yield call.args[0].name_hint, (call.args[0].name_hint,)
        elif isinstance(call, tvm.ir.Call) and isinstance(call.op, tvm.ir.GlobalVar):
            parts = [inner.value for inner in _bindings(fused, call.op.name_hint)]
            yield call.op.name_hint, tuple(part.args[0].name_hint for part in parts if _is_call_tir(part))
        elif isinstance(call, tvm.ir.Call):
            raise MeasurementError(
                f"TVM's pipeline leaves {call.op} in the network, expected only calls of compiled functions: narcost "
                "cannot plan networks with this operator for TVM"
            )


def _assemble(reading: RelaxReading, kernels: list[tuple[int, ...]], symbols: list[str]) -> RelaxPlan:
    """Put operators together inside of kernels, and number the kernels that are left."""
    graph = reading.graph
    planned = {node for nodes in kernels for node in nodes}
    missing = [node.name for index, node in enumerate(graph.nodes) if index not in planned]
    if missing:
        raise MeasurementError(
            f"{len(missing)} operators of {graph.name!r} are in no kernel of TVM's: {', '.join(missing[:5])}; expected "
            "each in one: give the network an output that depends on them"
        )
    graph, left_of = join_in_kernels(RULES, graph, reading.scalars, kernels)
    numbered: list[tuple[int, ...]] = []
    calls: list[tuple[str, int | None]] = []
    for symbol, left in zip(symbols, left_of, strict=True):
        calls.append((symbol, len(numbered) if left else None))
        if left:
            numbered.append(left)
    return RelaxPlan(FusionPlan(graph, tuple(numbered), "tvm"), tuple(calls))
