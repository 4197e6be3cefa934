"""Candidates to rank, and a builder and a runner that say how fast each is without building or running it."""

from typing import Any

import tvm
from tvm import te
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule.builder import BuilderResult, PyBuilder
from tvm.s_tir.meta_schedule.runner import PyRunner, PyRunnerFuture, RunnerResult

from tvm_narcost.hook.metaschedule.intrinsics import import_intrinsics
from tvm_narcost.hook.metaschedule.nests import read_stores

TARGET = tvm.target.Target({"kind": "llvm", "mcpu": "znver5", "num-cores": 1})


def matmul(size: int) -> tvm.IRModule:
    """C[i, j] = sum over k of A[i, k] * B[k, j]."""
    a, b = te.placeholder((size, size), name="A"), te.placeholder((size, size), name="B")
    k = te.reduce_axis((0, size), name="k")
    c = te.compute((size, size), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    return tvm.IRModule({"main": te.create_prim_func([a, b, c]).with_attr("global_symbol", "main")})


def context_of(module: tvm.IRModule, seed: int = 1) -> ms.TuneContext:
    import_intrinsics()
    return ms.TuneContext(
        mod=module, target=TARGET, space_generator="post-order-apply", search_strategy="replay-trace",
        rand_state=seed, num_threads=1,
    )  # fmt: skip


def random_candidates(context: ms.TuneContext, count: int) -> list[Any]:
    """Candidates of a workload at random."""
    spaces = context.generate_design_space()
    model, database = ms.cost_model.RandomModel(), ms.database.MemoryDatabase()
    context.search_strategy.pre_tuning(10_000, count, spaces, database, model)
    return list(context.search_strategy.generate_measure_candidates())


def seconds_of(module: tvm.IRModule) -> float:
    """A made-up time: wide vectors are fast, and so is unrolling."""
    (stores,), _ = read_stores([module["main"]])
    slow = 1.0
    for store in stores:
        lanes = max([loop.extent for loop in store.loops if loop.kind == "vectorized"], default=1)
        slow += 64.0 / min(lanes, 64) + (store.unroll_limit < 64)
    return 1e-4 * slow


def results_of(candidates: list[Any]) -> list[RunnerResult]:
    return [RunnerResult([seconds_of(candidate.sch.mod)], None) for candidate in candidates]


@derived_object
class TellingBuilder(PyBuilder):  # type: ignore[misc]
    """Says in the place of the artifact how long the candidate takes."""

    def build(self, build_inputs: list[Any]) -> list[BuilderResult]:
        return [BuilderResult(str(seconds_of(given.mod)), None) for given in build_inputs]


@derived_object
class _Told(PyRunnerFuture):  # type: ignore[misc]
    def __init__(self, result: RunnerResult) -> None:
        super().__init__()
        self.told = result

    def done(self) -> bool:
        return True

    def result(self) -> RunnerResult:
        return self.told


@derived_object
class ToldRunner(PyRunner):  # type: ignore[misc]
    """Takes the time that :class:`TellingBuilder` wrote; every fourth candidate crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def run(self, runner_inputs: list[Any]) -> list[_Told]:
        told = []
        for given in runner_inputs:
            self.runs += 1
            crashed = self.runs % 4 == 0
            told.append(
                _Told(RunnerResult(None, "crashed") if crashed else RunnerResult([float(given.artifact_path)], None))
            )
        return told
