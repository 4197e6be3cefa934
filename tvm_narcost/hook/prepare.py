"""A Relax module made ready for any plan: its operators legalised, and known by the nodes of an OpGraph.

What a plan is about is the graph of the module's operators as the Relax reader gives them. LegalizeOps keeps the
variable of each binding, so that the calls which it writes belong to the first of the old variables that follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import tvm
from tvm import relax

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.relax.reader import read_relax
from tvm_narcost.errors import CompileError
from tvm_narcost.fusion.legality import FusionSpace
from tvm_narcost.fusion.patterns import Pattern
from tvm_narcost.hook.bindings import bindings_of, is_call_tir
from tvm_narcost.hook.channels_last import to_channels_last
from tvm_narcost.hook.constants import fold_constants, forget_constants
from tvm_narcost.hook.mend import mend
from tvm_narcost.hook.rewrites import apply_rewrites
from tvm_narcost.hook.target import target_of
from tvm_narcost.hook.variant import Variant

__all__ = ["PreparedModule", "prepare"]


@dataclass(frozen=True, eq=False)
class PreparedModule:
    """A module whose calls can be grouped.

    Attributes:
        source: the module in its variant, of high-level operators; nothing computed from constants is computed yet.
        outline: legalised and annotated. Its constants have no values, so that it can be planned and not run.
        variant: how it is written.
        target: what it is compiled for.
        graph: its operators; a plan is over these.
        calls_of: for each node the variables of the calls that compute it, in order.
        patterns: for each node how TVM lets it be fused.
        inseparable: nodes that one call computes together, more than one; a plan that parts them cannot be lowered.
    """

    source: tvm.IRModule = field(repr=False)
    outline: tvm.IRModule = field(repr=False)
    variant: Variant
    target: tvm.target.Target
    graph: OpGraph
    calls_of: tuple[tuple[relax.Var, ...], ...] = field(repr=False)
    patterns: tuple[Pattern, ...] = field(repr=False)
    inseparable: tuple[tuple[int, ...], ...] = ()

    @property
    def space(self) -> FusionSpace:
        """Its operators, and what can be fused."""
        return FusionSpace(self.graph, self.patterns, self.inseparable)

    @cached_property
    def module(self) -> tvm.IRModule:
        """What :attr:`outline` is, with the values of its constants; computed when it is first asked for."""
        with self.target:
            return relax.transform.FoldConstant()(_legalize(fold_constants(self.source)))

    @cached_property
    def nodes_of(self) -> Mapping[relax.Var, tuple[int, ...]]:
        """The nodes that a call computes, ascending; a call that is not there stands for no operator."""
        found: dict[relax.Var, tuple[int, ...]] = {}
        for node, calls in enumerate(self.calls_of):
            for call in calls:
                found[call] = (*found.get(call, ()), node)
        return found


def prepare(
    module: tvm.IRModule, profile: HardwareProfile, *, variant: Variant | None = None, name: str = "main"
) -> PreparedModule:
    """Make a module ready for any plan; no constant is computed, nothing compiled.

    Args:
        module: high-level Relax with one function ``main`` of static shapes, as TVM's importers write it. It is not
            changed.
        profile: names the target.
        variant: how to write it; as it is by default.
        name: of the graph.

    Raises:
        CompileError: the module has no such function, or is fused or lowered already; the profile has no llvm target.
        FrontendError: the module has operators or shapes that the Relax reader refuses.
    """
    target = target_of(profile)
    variant = variant or Variant()
    source = mend(_checked(module, name))
    source = apply_rewrites(source, variant.rewrites)
    if variant.layout == "NHWC":
        source = to_channels_last(source)
    reading = read_relax(source, name=name)
    with target:
        outline = forget_constants(_legalize(forget_constants(source)))
    known = {binding.var for binding in bindings_of(source["main"])}
    calls_of, together = _owned_calls(outline, known, reading.nodes_of, len(reading.graph.nodes))
    patterns = _patterns(outline, calls_of)
    return PreparedModule(source, outline, variant, target, reading.graph, calls_of, patterns, together)


def _checked(module: tvm.IRModule, name: str) -> tvm.IRModule:
    """The module in the form that the passes here expect.

    Raises:
        CompileError: it cannot be had.
    """
    functions = {variable.name_hint: function for variable, function in module.functions.items()}
    networks = [found for found, function in functions.items() if isinstance(function, relax.Function)]
    if networks != ["main"]:
        raise CompileError(
            f"module {name!r} has Relax functions {', '.join(sorted(networks)) or 'none'}, expected main alone: give "
            "it before its operators are fused, and inline private functions (relax.transform.InlinePrivateFunctions)"
        )
    if any(isinstance(function, tvm.tirx.PrimFunc) and _is_lowered(function) for function in functions.values()):
        raise CompileError(f"module {name!r} is scheduled or lowered already, expected high-level Relax")
    passes = [
        relax.transform.Normalize(),
        relax.transform.CanonicalizeBindings(),
        relax.transform.ConvertToDataflow(min_size=1),
    ]
    module = tvm.transform.Sequential(passes)(module)
    blocks = module["main"].body.blocks
    if len(blocks) != 1 or not isinstance(blocks[0], relax.DataflowBlock):
        raise CompileError(
            f"main of module {name!r} has {len(blocks)} blocks of bindings, not all without side effects, expected one "
            "dataflow block: control flow and impure calls cannot be planned"
        )
    return module


def _is_lowered(function: tvm.tirx.PrimFunc) -> bool:
    return bool(function.attrs) and bool(function.attrs.get("tirx.is_scheduled", False))


def _legalize(module: tvm.IRModule) -> tvm.IRModule:
    passes = [
        relax.backend.DispatchSampling(),
        relax.backend.DispatchSortScan(),
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
    ]
    return tvm.transform.Sequential(passes)(module)


def _owned_calls(
    outline: tvm.IRModule, known: set[relax.Var], nodes_of: Mapping[relax.Var, tuple[int, ...]], count: int
) -> tuple[tuple[tuple[relax.Var, ...], ...], tuple[tuple[int, ...], ...]]:
    """The calls of each node, and which nodes share theirs."""
    calls_of: list[tuple[relax.Var, ...]] = [()] * count
    together: list[tuple[int, ...]] = []
    waiting: list[relax.Var] = []
    for binding in bindings_of(outline["main"]):
        if isinstance(binding.value, tvm.ir.Call):
            waiting.append(binding.var)
        if binding.var in known:
            nodes = nodes_of.get(binding.var, ())
            for node in nodes:
                calls_of[node] = tuple(waiting)
            if len(nodes) > 1:
                together.append(nodes)
            waiting = []
    return tuple(calls_of), tuple(together)


def _patterns(outline: tvm.IRModule, calls_of: tuple[tuple[relax.Var, ...], ...]) -> tuple[Pattern, ...]:
    """For each node the least fusible pattern of its calls; what calls no PrimFunc is opaque."""
    pattern_of = {}
    for binding in bindings_of(outline["main"]):
        if is_call_tir(binding.value):
            function = outline[binding.value.args[0]]
            pattern_of[binding.var] = Pattern(int(function.attrs.get("op_pattern", Pattern.OPAQUE)))
    return tuple(max((pattern_of.get(call, Pattern.OPAQUE) for call in calls), default=Pattern.OPAQUE)
                 for calls in calls_of)  # fmt: skip
