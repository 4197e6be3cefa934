"""Candidates of a workload: drawn from MetaSchedule's design space, at random or by evolution, never the same twice."""

from collections.abc import Sequence
from typing import Any

import tvm
from tvm.s_tir import meta_schedule as ms

from tvm_narcost.hook.metaschedule.intrinsics import import_intrinsics

__all__ = ["Evolution", "Space", "trace_key"]

_UNLIMITED = 1 << 30
_DRAWS_A_BATCH = 4


class Space:
    """The design space of one workload, and what was drawn from it so far.

    Args:
        module: with one function ``main``.
        target: TVM's.
        seed: draws repeat with it.

    Attributes:
        context: MetaSchedule's, as cost models take it.
        module: as MetaSchedule has normalised it.
        designs: what it makes of the module, one a structure of loops; a draw decides sizes and places.
    """

    def __init__(self, module: tvm.IRModule, target: tvm.target.Target, seed: int) -> None:
        import_intrinsics()
        self.context = self._make_context(module, target, ms.search_strategy.ReplayTrace(), seed)
        self.module: tvm.IRModule = self.context.mod
        self.target = target
        self.designs: list[Any] = list(self.context.generate_design_space())
        self._seed = seed
        self._seen: set[str] = set()
        self._is_ready = False

    def know(self, traces: Sequence[Any]) -> None:
        """Draw none of these any more."""
        self._seen.update(map(trace_key, traces))

    def draw(self, count: int) -> list[ms.MeasureCandidate]:
        """At random, ``count`` that are new; fewer if few are left."""
        if not self._is_ready:
            self.context.pre_tuning(_UNLIMITED, count, self.designs)
            self._is_ready = True
        found: list[ms.MeasureCandidate] = []
        for _ in range(_DRAWS_A_BATCH):
            found += self.new(self.context.generate_measure_candidates() or [])
            if len(found) >= count:
                break
        return found[:count]

    def new(self, candidates: Sequence[ms.MeasureCandidate]) -> list[ms.MeasureCandidate]:
        """Those never seen before; from now on they are."""
        found = []
        for candidate in candidates:
            key = trace_key(candidate.sch.trace)
            if key not in self._seen:
                self._seen.add(key)
                found.append(candidate)
        return found

    def evolution(self, database: ms.Database, cost_model: Any, search: ms.SearchStrategy, batch: int) -> "Evolution":
        """Evolution of what ``database`` has of this workload, led by ``cost_model``."""
        context = self._make_context(self.module, self.target, search, self._seed + 1)
        context.pre_tuning(_UNLIMITED, batch, self.designs, database, cost_model)
        return Evolution(self, context)

    def _make_context(
        self, module: tvm.IRModule, target: tvm.target.Target, search: ms.SearchStrategy, seed: int
    ) -> ms.TuneContext:
        return ms.TuneContext(
            mod=module,
            target=target,
            space_generator="post-order-apply",
            search_strategy=search,
            rand_state=seed % (1 << 30) + 1,
            num_threads=1,
        ).clone()


class Evolution:
    """MetaSchedule's evolutionary search over a space; see :meth:`Space.evolution`."""

    def __init__(self, space: Space, context: ms.TuneContext) -> None:
        self._space = space
        self._context = context

    def draw(self) -> list[ms.MeasureCandidate]:
        """The next batch, without what the space has drawn before."""
        return self._space.new(self._context.generate_measure_candidates() or [])

    def notify(self, candidates: Sequence[ms.MeasureCandidate], results: Sequence[ms.runner.RunnerResult]) -> None:
        """Tell the search what came of a batch: it counts them, and its cost model is not touched."""
        self._context.notify_runner_results(list(candidates), list(results))


def trace_key(trace: Any) -> str:
    """Equal for traces of the same instructions and decisions."""
    return str(trace)
