"""Tuning a whole network: what is found is what the pipeline asks for, and no candidate ends it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tvm")

import numpy as np
import onnx
import tvm
from onnx import TensorProto, helper
from tvm import te, tirx
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.errors import CompileError
from tvm_narcost.hook.importing import import_onnx
from tvm_narcost.hook.metaschedule import tune as tuning
from tvm_narcost.hook.metaschedule.measuring import MeasureSettings, Measuring, measuring
from tvm_narcost.hook.metaschedule.tune import TuneSettings, fused_module, new_cost_model, tune
from tvm_narcost.hook.metaschedule.tuning_database import open_tuning_database
from tvm_narcost.hook.schedules import schedule

PROFILE = load_profile("epyc-zen5.tvm")
HERE = replace(PROFILE, runtime=replace(PROFILE.runtime, tvm_target='{"kind":"llvm","num-cores":1}'))
QUICK = TuneSettings(
    population=8,
    generations=1,
    sample=8,
    limits=MeasureSettings(run_timeout_s=1.0, memory_bytes=1 << 30, budget_s=0.005),
)


_KERNELS = 4  # of the network, whose own schedules are measured before the first candidate


def network() -> onnx.ModelProto:
    """A convolution with its activation, and a softmax: two kernels and the transposes of NHWC."""
    weights = (np.arange(4 * 4 * 3 * 3, dtype=np.float32) % 7 - 3).reshape(4, 4, 3, 3)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Softmax", ["b"], ["y"], axis=-1),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, 8, 8))],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture(scope="module")
def module() -> tvm.IRModule:
    return fused_module(import_onnx(network()), HERE)


def kernels(module: tvm.IRModule) -> dict[str, tirx.PrimFunc]:
    return {name.name_hint: one for name, one in module.functions_items() if isinstance(one, tirx.PrimFunc)}


def test_each_kernel_has_a_record_that_the_schedules_find(module: tvm.IRModule, tmp_path: Path) -> None:
    told: list[int] = []
    model = new_cost_model("random", HERE, 0)
    report = tune(module, HERE, tmp_path, trials=6, cost_model=model, settings=QUICK, progress=told.append)
    assert report.measured == 6
    assert sum(told) == 6
    assert {one.name for one in report.kernels} == set(kernels(module))
    assert all(one.best_us is not None and one.measured for one in report.kernels)
    database = open_tuning_database(tmp_path)
    tuned = kernels(schedule(module, HERE, database=database))
    for name, function in tuned.items():
        best = database.query_ir_module(
            _normalized(kernels(module)[name]), tvm.target.Target(HERE.runtime.tvm_target), name
        )
        tvm.ir.assert_structural_equal(function.body, best["main"].body)
    again = tune(module, HERE, tmp_path, trials=8, cost_model=model, settings=QUICK, progress=told.append)
    assert (again.found, again.measured) == (6, 2)


def test_prediction_alone_gives_each_kernel_a_schedule_and_measured_ones_replace_it(
    module: tvm.IRModule, tmp_path: Path
) -> None:
    model = new_cost_model("random", HERE, 3)
    report = tune(module, HERE, tmp_path, trials=0, cost_model=model, settings=QUICK)
    assert (report.measured, report.times.built) == (0, 0)
    assert all(one.best_us is None for one in report.kernels)
    database = open_tuning_database(tmp_path)
    assert len(database) == len(kernels(module))
    for name, function in kernels(module).items():
        assert (
            database.query_schedule(_normalized(function), tvm.target.Target(HERE.runtime.tvm_target), name) is not None
        )
    tune(module, HERE, tmp_path, trials=0, cost_model=model, settings=QUICK)
    assert len(open_tuning_database(tmp_path)) == len(kernels(module))
    measured = tune(module, HERE, tmp_path, trials=4, cost_model=model, settings=QUICK)
    assert (measured.found, measured.measured) == (0, 4)
    assert any(one.best_us is not None for one in measured.kernels)


@pytest.mark.parametrize(
    ("call", "arguments"), [("abort", ()), ("sleep", (60,)), ("", ())], ids=["crash", "hang", "out of memory"]
)
def test_a_candidate_that_breaks_leaves_the_tuning_running(
    module: tvm.IRModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, arguments: tuple[int, ...]
) -> None:
    monkeypatch.setattr(tuning, "measuring", sabotaged(_breaking(call, *arguments)))
    model = new_cost_model("random", HERE, 0)
    report = tune(module, HERE, tmp_path, trials=6, cost_model=model, settings=QUICK)
    assert report.measured == 6
    assert report.times.failed == 1
    assert len(open_tuning_database(tmp_path)) == 6
    assert [one.own_us for one in report.kernels].count(None) == 1


def _breaking(call: str, *arguments: int) -> tirx.PrimFunc:
    """A kernel that calls a function of the C library, or that works in 8 GiB where there is none to call."""
    given = te.placeholder((16,), name="given")
    if call:
        body = tirx.Evaluate(tirx.call_extern("int32", call, *arguments))
        return te.create_prim_func([given, te.extern((16,), [given], lambda ins, outs: body, name="broken")])
    large = te.compute((1 << 31,), lambda i: given[i % 16] + 1.0, name="large")
    return te.create_prim_func([given, te.compute((16,), lambda i: large[i] + large[(1 << 31) - 16 + i], name="last")])


def sabotaged(function: tirx.PrimFunc) -> Any:
    """``measuring``, in which the second own schedule that is built is ``function``, and the second candidate."""

    @derived_object
    class Saboteur(ms.builder.PyBuilder):  # type: ignore[misc]
        def __init__(self, builder: Any) -> None:
            super().__init__()
            self.builder, self.built = builder, 0

        def build(self, build_inputs: list[Any]) -> list[Any]:
            results = []
            for one in build_inputs:
                self.built += 1
                module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
                wanted = ms.builder.BuilderInput(module, one.target) if self.built in (2, _KERNELS + 2) else one
                results += self.builder.build([wanted])
            return results

    @contextmanager
    def replaced(profile: HardwareProfile, folder: Path, limits: MeasureSettings) -> Iterator[Measuring]:
        with measuring(profile, folder, limits) as found:
            yield Measuring(Saboteur(found.builder), found.runner, found.times)

    return replaced


def test_what_was_measured_before_is_shown_to_the_cost_model(module: tvm.IRModule, tmp_path: Path) -> None:
    @derived_object
    class Remembering(ms.cost_model.PyCostModel):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        def predict(self, context: Any, candidates: Any) -> Any:
            return np.ones(len(candidates))

        def update(self, context: Any, candidates: Any, results: Any) -> None:
            self.seen.append(len(candidates))

    tune(module, HERE, tmp_path, trials=4, cost_model=new_cost_model("random", HERE, 0), settings=QUICK)
    model = Remembering()
    tune(module, HERE, tmp_path, trials=5, cost_model=model, settings=QUICK)
    assert sum(model.seen) == 5


def test_nothing_to_tune_is_an_error(module: tvm.IRModule, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="no kernels to tune"):
        tune(tvm.IRModule({}), HERE, tmp_path, trials=1, cost_model=None)


def test_a_network_that_tvm_cannot_import_is_an_error() -> None:
    model = network()
    model.graph.node[1].op_type = "Det"
    with pytest.raises(CompileError, match="TVM cannot import 'net'"):
        import_onnx(model)


def _normalized(function: tirx.PrimFunc) -> tvm.IRModule:
    return tvm.get_global_func("tvm.s_tir.meta_schedule.normalize_mod")(function.without_attr("global_symbol"))
