"""What each kernel of a plan does, in quantities whose times add up: calls, bytes by where they lie, work by operator.

A kernel that takes in another operator keeps all of its own work, so that two plans of one network differ in just
those quantities in which their kernels differ. That is what makes small differences between plans visible, which
errors of predictions of whole kernels hide.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.costs import operator_cost
from relay_frontend.graph import OpGraph, OpNode
from relay_frontend.ops import operator_category
from relay_frontend.plan import FusionPlan
from tvm_narcost.tokens.facts import KernelDescriber, KernelFacts
from tvm_narcost.tokens.inlining import inline, inlines
from tvm_narcost.tokens.roofline import LEVELS, cache_level

__all__ = ["HEAVY_CATEGORIES", "WORK", "PlanWork", "work_of_plans"]

_KINDS = (
    "convolution", "depthwise", "pointwise", "matmul", "pooling", "normalization", "softmax", "reduction",
    "elementwise", "activation", "data_movement", "view", "layout", "resize", "attention",
)  # fmt: skip
HEAVY_CATEGORIES = frozenset({"convolution", "matmul", "pooling", "normalization", "softmax", "reduction"})
"""Categories of operators whose loops do more than go over the output once."""

_MOVED = ("input", "output", "parameter")

WORK = (
    "calls",
    *(f"{moved}_bytes_{level}" for moved in _MOVED for level in LEVELS),
    *(f"flops_{kind}" for kind in _KINDS),
    *(f"elements_{kind}" for kind in _KINDS),
    "kept_bytes",
    "taken_in",
    "heavy_taken_in",
    "turned_elements",
    "joined_elements",
)
"""Names of the quantities: bytes, FLOPs, elements; what is kept inside of a kernel; operators that another takes in;
elements that are read across rows, and those that are chosen from several operators' results."""

_PLACE: Mapping[str, int] = {name: place for place, name in enumerate(WORK)}
_STATIC = _PLACE[f"flops_{_KINDS[0]}"]  # from here on a quantity depends on the kernel's own operators alone


def work_of_plans(plans: Sequence[FusionPlan], profile: HardwareProfile) -> NDArray[np.float64]:
    """The quantities of whole plans, float64 [plans, len(WORK)]; those over one graph object share a description."""
    describers: dict[int, PlanWork] = {}
    found = np.zeros((len(plans), len(WORK)))
    for row, plan in enumerate(plans):
        if id(plan.graph) not in describers:
            describers[id(plan.graph)] = PlanWork(plan.graph, profile)
        found[row] = describers[id(plan.graph)].of(plan).sum(axis=0)
    return found


class PlanWork:
    """Describes plans of one graph; what depends on a kernel's own operators is computed once for all plans."""

    def __init__(self, graph: OpGraph, profile: HardwareProfile) -> None:
        """Nothing is computed yet."""
        self._graph = graph
        self._profile = profile
        self._describer = KernelDescriber(graph, inlining=inlines(profile))
        self._known: dict[tuple[int, ...], NDArray[np.float64]] = {}

    def of(self, plan: FusionPlan) -> NDArray[np.float64]:
        """The quantities of each kernel, float64 [kernels, len(WORK)]."""
        facts = self._describer.facts(plan)
        found = np.zeros((len(facts), len(WORK)))
        found[:, _PLACE["calls"]] = 1
        self._fill_bytes(facts, found)
        for kernel, members in enumerate(plan.kernels):
            if members not in self._known:
                self._known[members] = _own_work(self._graph, members)
            found[kernel, _STATIC:] = self._known[members]
        return found

    def _fill_bytes(self, facts: KernelFacts, found: NDArray[np.float64]) -> None:
        read, written = facts.column("input_bytes"), facts.column("output_bytes")
        weights = facts.column("parameter_bytes")
        footprint = weights.sum() + written.max(initial=0.0)
        working_sets = (
            facts.column("oldest_age_bytes") + read + written,
            read + written,
            np.full(len(facts), footprint),
        )
        rows = np.arange(len(facts))
        for name, moved, working_set in zip(_MOVED, (read, written, weights), working_sets, strict=True):
            first = _PLACE[f"{name}_bytes_{LEVELS[0]}"]
            found[rows, first + cache_level(working_set, self._profile)] = moved


def _own_work(graph: OpGraph, members: tuple[int, ...]) -> NDArray[np.float64]:
    """The quantities from ``_STATIC`` on."""
    found = np.zeros(len(WORK))
    inlined = inline(graph, members, [operator_cost(graph, index) for index in members])
    heavy = 0
    for index, flops in zip(members, inlined.flops, strict=True):
        node = graph.nodes[index]
        kind = _kind(node)
        found[_PLACE[f"flops_{kind}"]] += flops
        found[_PLACE[f"elements_{kind}"]] += sum(output.elements for output in node.outputs)
        heavy += operator_category(node.op) in HEAVY_CATEGORIES
    found[_PLACE["kept_bytes"]] = inlined.kept_bytes
    found[_PLACE["taken_in"]] = len(members) - 1
    found[_PLACE["heavy_taken_in"]] = max(heavy - 1, 0)
    found[_PLACE["turned_elements"]] = _turned_elements(graph, members)
    found[_PLACE["joined_elements"]] = _joined_elements(graph, members)
    return found[_STATIC:]


def _turned_elements(graph: OpGraph, members: Sequence[int]) -> int:
    """Elements that a transpose hands to a heavy operator of the same kernel, which reads them one by one."""
    inside = set(members)
    feeding: set[int] = set()  # members whose result goes, through others or at once, into a heavy one
    turned = 0
    for index in reversed(members):
        readers = [reader for reader in graph.consumers[index] if reader in inside]
        if any(
            reader in feeding or operator_category(graph.nodes[reader].op) in HEAVY_CATEGORIES for reader in readers
        ):
            feeding.add(index)
            turned += graph.nodes[index].outputs[0].elements if graph.nodes[index].op == "Transpose" else 0
    return turned


def _joined_elements(graph: OpGraph, members: Sequence[int]) -> int:
    """Elements of concatenations that compute what they join, a branch for each."""
    inside = set(members)
    return sum(
        graph.nodes[index].outputs[0].elements
        for index in members
        if graph.nodes[index].op == "Concat"
        and any(
            edge.source in inside and operator_category(graph.nodes[edge.source].op) in ("elementwise", "activation")
            for edge in graph.nodes[index].inputs
        )
    )


def _kind(node: OpNode) -> str:
    category = operator_category(node.op)
    if category != "convolution":
        return category if category in _KINDS else "elementwise"
    attributes = node.attribute_map
    if attributes.get("group", 1) != 1:
        return "depthwise"
    taps = attributes.get("kernel_shape", ())
    return "pointwise" if isinstance(taps, tuple) and set(taps) == {1} else "convolution"
