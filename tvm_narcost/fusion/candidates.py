"""Candidate plans of a graph: those that rules make, and those drawn at random around and far from them.

All are legal, distinct, and the same for the same arguments. Nothing here asks a cost model; search.py does.
"""

import random
from collections.abc import Sequence

from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.default_plan import default_plan
from tvm_narcost.fusion.legality import FusionSpace, Kernels
from tvm_narcost.fusion.moves import (
    Partition,
    Side,
    cut_edge,
    cut_edges,
    join_edge,
    join_edges,
    no_fusion,
    partition_of,
)
from tvm_narcost.fusion.patterns import Pattern

__all__ = ["DEPTHS", "draw_plans", "rule_plans"]

DEPTHS = (2, 3, 4, 8)
"""Most operators of a kernel, in the plans that TVM makes when it is told so."""

_ATTEMPTS = 12  # for each plan wanted; a small graph has few plans


def rule_plans(space: FusionSpace) -> list[FusionPlan]:
    """The plans that rules make, TVM's own first, then the one without fusion; none twice.

    ``depth-N``: TVM's rule, N operators a kernel at most. ``anchors``: only what TVM fuses to a convolution, matrix
    product or window. ``no-reduction``: TVM's own, with reductions apart. ``greedy``: every join that is legal.
    """
    default = default_plan(space)
    start = no_fusion(space)
    named = [default, start.plan("none")]
    named += [default_plan(space, max_operators=depth, planner=f"depth-{depth}") for depth in DEPTHS]
    named.append(_only_anchors(space, default).plan("anchors"))
    named.append(_reductions_apart(partition_of(space, default)).plan("no-reduction"))
    named.append(join_edges(start, space.edges).plan("greedy"))
    found: dict[Kernels, FusionPlan] = {}
    for plan in named:
        found.setdefault(plan.kernels, plan)
    return list(found.values())


def draw_plans(
    graph: OpGraph, patterns: Sequence[Pattern], count: int, seed: int, *, inseparable: Sequence[tuple[int, ...]] = ()
) -> tuple[FusionPlan, ...]:
    """Draw plans to be measured: TVM's own, the one without fusion, then random ones; fewer where there are no more.

    The random ones are TVM's own with a few edges cut or joined, plans that treat all edges between two kinds of
    operators alike, plans with edges joined at random, and those of rules. The first of ``count`` plans are the same
    whatever ``count``.

    Raises:
        PlanError: not one pattern a node.
    """
    space = FusionSpace(graph, patterns, inseparable)
    rules = rule_plans(space)
    found = {plan.kernels: plan for plan in rules[:2]}
    rest = iter(rules[2:])
    for attempt in range(_ATTEMPTS * count):
        if len(found) >= count:
            break
        random_of = random.Random(f"{seed}/{attempt}")
        kind = attempt % (len(_DRAWS) + 1)
        drawn = _DRAWS[kind](space, rules[0], random_of) if kind < len(_DRAWS) else None
        plan = next(rest, None) if drawn is None else drawn.plan("random")
        if plan is not None:
            found.setdefault(plan.kernels, plan)
    return tuple(found.values())[:count]


def _near_default(space: FusionSpace, default: FusionPlan, random_of: random.Random) -> Partition:
    """A few cuts and joins away from TVM's plan."""
    partition = partition_of(space, default)
    steps = random_of.choice((1, 2, 4, 8, max(8, len(space.edges) // 8)))
    for node, reader in random_of.sample(space.edges, min(steps, len(space.edges))):
        joined = join_edge(partition, node, reader)
        cuts = [] if joined is not None else cut_edge(partition, node, reader)
        partition = joined or (random_of.choice(cuts) if cuts else partition)
    return partition


def _alike(space: FusionSpace, default: FusionPlan, random_of: random.Random) -> Partition:
    """Edges between the same two operators are all fused, or none is; some kinds as TVM does."""
    start = partition_of(space, default) if random_of.random() < 0.5 else no_fusion(space)
    share = random_of.uniform(0.1, 0.9)
    wanted: dict[tuple[str, str], float] = {}
    for edge in space.edges:
        wanted.setdefault(_kind(space, edge), random_of.random())
    cut = [edge for edge in start.edges_inside() if wanted[_kind(space, edge)] >= share]
    return join_edges(
        cut_edges(start, cut, Side.BEFORE), [edge for edge in space.edges if wanted[_kind(space, edge)] < share]
    )


def _anyhow(space: FusionSpace, default: FusionPlan, random_of: random.Random) -> Partition:
    """Edges joined at random, from nothing fused."""
    share = random_of.uniform(0.1, 1.0)
    wanted = [edge for edge in space.edges if random_of.random() < share]
    return join_edges(no_fusion(space), random_of.sample(wanted, len(wanted)))


_DRAWS = (_near_default, _alike, _anyhow)


def _kind(space: FusionSpace, edge: tuple[int, int]) -> tuple[str, str]:
    node, reader = edge
    return space.graph.nodes[node].op, space.graph.nodes[reader].op


def _only_anchors(space: FusionSpace, default: FusionPlan) -> Partition:
    """TVM's plan with the kernels that have no anchor taken apart."""
    kernels: list[tuple[int, ...]] = []
    for members in default.kernels:
        has_anchor = any(space.patterns[index] == Pattern.OUT_EWISE_FUSABLE for index in members)
        kernels += [members] if has_anchor else dict.fromkeys(space.units[index] for index in members)
    return Partition.ordered(space, kernels) or partition_of(space, default)


def _reductions_apart(partition: Partition) -> Partition:
    """Reductions over rows taken out of their kernels."""
    space = partition.space
    return cut_edges(partition, [edge for edge in partition.edges_inside() if {*edge} & space.reductions], Side.BEFORE)
