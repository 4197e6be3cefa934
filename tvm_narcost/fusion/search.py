"""Local search over plans: edges are cut and joined, one or all that are alike at a time, guided by a cost model.

A beam of the best plans is widened by their neighbours until no more predictions are allowed, or no plan is new. A
network repeats its blocks, so that what pays at one place pays at all of them: edges between equal kernels are moved
together first. What pays by itself is then tried together, as the parts of a network hardly touch each other.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.candidates import rule_plans
from tvm_narcost.fusion.legality import FusionSpace, Kernels
from tvm_narcost.fusion.moves import Partition, Side, cut_edges, join_edges, partition_of
from tvm_narcost.fusion.oracle import PlanOracle
from tvm_narcost.predictor import Prediction

__all__ = ["SearchSettings", "search_plans"]

_FEW = 16  # of the predictions left; more are not all spent on the neighbours of one plan
_TOGETHER = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # how many of the best moves are tried together


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How far to search.

    Attributes:
        candidates: most plans that are predicted, those of rules among them.
        beam: plans whose neighbours are looked at in a round.
        seed: of the order in which single edges are tried, once edges that are alike have been.
    """

    candidates: int = 256
    beam: int = 3
    seed: int = 0


def search_plans(space: FusionSpace, oracle: PlanOracle, settings: SearchSettings | None = None) -> list[FusionPlan]:
    """Find plans that are predicted to be fast; TVM's own and the one without fusion are always among them.

    Args:
        space: what is legal.
        oracle: of the same graph.
        settings: how far to search.

    Returns:
        All plans that were predicted, none twice: those of rules first, then as they were found.
    """
    search = _Search(space, oracle, settings or SearchSettings())
    search.add([(partition_of(space, plan), plan.planner) for plan in rule_plans(space)])
    search.run(_moves_alike, beam=search.settings.beam)
    search.run(search.single_moves, beam=None)
    return [found.plan for found in search.found.values()]


@dataclass(frozen=True, slots=True)
class _Move:
    """Edges that are joined, or cut on one side."""

    edges: tuple[tuple[int, int], ...]
    side: Side | None

    def apply(self, partition: Partition) -> Partition:
        if self.side is None:
            return join_edges(partition, self.edges)
        return cut_edges(partition, self.edges, self.side)


@dataclass(frozen=True, eq=False, slots=True)
class _Found:
    partition: Partition
    plan: FusionPlan
    prediction: Prediction


class _Search:
    """The plans found so far."""

    def __init__(self, space: FusionSpace, oracle: PlanOracle, settings: SearchSettings) -> None:
        self._oracle = oracle
        self.settings = settings
        self._random = Random(settings.seed)
        self._space = space
        self.found: dict[Kernels, _Found] = {}

    @property
    def left(self) -> int:
        """How many more plans may be predicted."""
        return self.settings.candidates - len(self.found)

    def run(self, moves_of: Callable[[_Found], list[_Move]], *, beam: int | None) -> None:
        """Look at the neighbours of the best plans, of ``beam`` at a time, until all of these were looked at.

        Of plans that are predicted alike, those found first are the better ones. Without a beam all plans are looked
        at, the best first.
        """
        expanded: set[Kernels] = set()
        while self.left > 0:
            best = sorted(self.found.values(), key=lambda found: found.prediction.latency_ms)[:beam]
            start = next((found for found in best if found.partition.kernels not in expanded), None)
            if start is None:
                return
            expanded.add(start.partition.kernels)
            self.expand(start, moves_of(start))

    def add(self, partitions: Iterable[tuple[Partition, str]]) -> None:
        """Predict what is new, as far as that is allowed."""
        new: dict[Kernels, tuple[Partition, FusionPlan]] = {}
        for partition, planner in partitions:
            if len(new) < max(self.left, 0) and partition.kernels not in self.found:
                new.setdefault(partition.kernels, (partition, partition.plan(planner)))
        predictions = self._oracle.predict([plan for _, plan in new.values()])
        for (kernels, (partition, plan)), prediction in zip(new.items(), predictions, strict=True):
            self.found[kernels] = _Found(partition, plan, prediction)

    def expand(self, start: _Found, moves: Sequence[_Move]) -> None:
        """Try each move by itself, and those that pay together."""
        changed: list[tuple[_Move, Partition]] = []
        new, allowed = 0, max(self.left // 2, min(self.left, _FEW))
        for move in moves:
            if new >= allowed:
                break
            partition = move.apply(start.partition)
            if partition.kernels != start.partition.kernels:
                changed.append((move, partition))
                new += partition.kernels not in self.found
        self.add((partition, "search") for _, partition in changed)
        gains = [
            (start.prediction.latency_ms - self.found[partition.kernels].prediction.latency_ms, -place)
            for place, (_, partition) in enumerate(changed)
            if partition.kernels in self.found
        ]
        paying = [changed[-place][0] for gain, place in sorted(gains, reverse=True) if gain > 0]
        self.add((partition, "search") for partition in _together(start.partition, paying))

    def single_moves(self, start: _Found) -> list[_Move]:
        """Every edge by itself."""
        edges = self._random.sample(self._space.edges, len(self._space.edges))
        owner = start.partition.owner
        moves = []
        for node, reader in edges:
            sides = (None,) if owner[node] != owner[reader] else tuple(Side)
            moves += [_Move(((node, reader),), side) for side in sides]
        return moves


def _together(partition: Partition, paying: Sequence[_Move]) -> Iterable[Partition]:
    """The best moves one after the other; what some of them make of the plan is handed out."""
    for count, move in enumerate(paying, start=1):
        partition = move.apply(partition)
        if count in _TOGETHER or count == len(paying):
            yield partition


def _moves_alike(start: _Found) -> list[_Move]:
    """Edges at the same place of equal kernels are moved together; those of the slowest kernels come first."""
    partition, kernels_ms = start.partition, start.prediction.kernels_ms
    kinds = [tuple(_kind(partition.space, index) for index in members) for members in partition.kernels]
    groups: dict[Hashable, list[tuple[int, int]]] = {}
    weight_ms: dict[Hashable, float] = {}
    for node, reader in partition.space.edges:
        first, second = partition.owner[node], partition.owner[reader]
        places = partition.kernels[first].index(node), partition.kernels[second].index(reader)
        key: Hashable = (first == second, kinds[first], kinds[second], places)
        groups.setdefault(key, []).append((node, reader))
        if kernels_ms:
            weight_ms[key] = weight_ms.get(key, 0.0) + sum(kernels_ms[kernel] for kernel in {first, second})
    moves = []
    for key in sorted(groups, key=lambda key: -weight_ms.get(key, 0.0)):
        inside = partition.owner[groups[key][0][0]] == partition.owner[groups[key][0][1]]
        sides = tuple(Side) if inside else (None,)
        moves += [_Move(tuple(groups[key]), side) for side in sides]
    return moves


def _kind(space: FusionSpace, index: int) -> Hashable:
    node = space.graph.nodes[index]
    return node.op, node.outputs
