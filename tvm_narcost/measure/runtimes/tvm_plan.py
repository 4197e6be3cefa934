"""The kernels that TVM's default pipeline makes of a Relax module, told in terms of the module's own operators.

The pipeline's first passes are run here as it runs them: LegalizeOps, AnnotateTIROpPattern, FoldConstant, FuseOps. The
way back from FuseOps' groups to high-level operators has two steps. LegalizeOps keeps the variable of each binding, so
that the bindings it writes belong to the first of the old variables that follows. FuseOps renames variables, so that
each call gets a PrimFunc name of its own before it, and these names are found again inside of the groups.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import tvm
from tvm import relax

from relay_frontend.plan import FusionPlan
from relay_frontend.relax.passes import RULES
from relay_frontend.relax.reader import RelaxReading, read_relax
from relay_frontend.relax.rewrite import join_in_kernels
from tvm_narcost.errors import MeasurementError
from tvm_narcost.hook.bindings import bindings_of, is_call_tir
from tvm_narcost.hook.constants import forget_constants
from tvm_narcost.hook.default_groups import tag_calls

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
        outline = forget_constants(annotated)  # FuseOps goes by types only, and computing constants takes seconds
        symbols = [symbol for symbol, _ in _kernels(fuse(outline))]
        tagged, variables = tag_calls(outline)
        groups = [tags for _, tags in _kernels(fuse(tagged))]
    if len(symbols) != len(groups):
        raise MeasurementError(f"FuseOps makes {len(symbols)} and {len(groups)} kernels of {name!r}, expected the same")
    kernels = [tuple(sorted({node for tag in tags for node in owners.get(variables[tag], ())})) for tags in groups]
    return _assemble(reading, kernels, symbols)


def _owners(legal: tvm.IRModule, nodes_of: Mapping[relax.Var, tuple[int, ...]]) -> dict[relax.Var, tuple[int, ...]]:
    """Variable of a legalised binding -> the operators that it computes, or helps to compute."""
    owners: dict[relax.Var, tuple[int, ...]] = {}
    waiting: list[relax.Var] = []
    for binding in bindings_of(legal["main"]):
        if not isinstance(binding.value, tvm.ir.Call):
            continue
        waiting.append(binding.var)
        if binding.var in nodes_of:
            owners.update(dict.fromkeys(waiting, nodes_of[binding.var]))
            waiting.clear()
    return owners


def _kernels(fused: tvm.IRModule) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each call of ``main``, in order: its function's name, and the PrimFuncs that it is made of."""
    for binding in bindings_of(fused["main"]):
        call = binding.value
        if is_call_tir(call):
            yield call.args[0].name_hint, (call.args[0].name_hint,)
        elif isinstance(call, tvm.ir.Call) and isinstance(call.op, tvm.ir.GlobalVar):
            parts = [inner.value for inner in bindings_of(fused[call.op])]
            yield call.op.name_hint, tuple(part.args[0].name_hint for part in parts if is_call_tir(part))
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
