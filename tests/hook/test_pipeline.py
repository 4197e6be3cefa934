"""The pipeline as a TVM user calls it: what it computes, what it chooses, what it refuses."""

import contextlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

pytest.importorskip("tvm")

import tvm
from tvm import relax

import tvm_narcost
from hardware_profiles import HardwareProfile
from hardware_profiles.errors import ProfileError
from relay_frontend.errors import DynamicShapeError
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tests.hook.modules import build, numbers, profile, reference, separable
from tvm_narcost.errors import ArtifactError, CompileError
from tvm_narcost.hook import Variant, rank_variants, register
from tvm_narcost.hook import pipeline as hook_pipeline
from tvm_narcost.hook.default_groups import tvm_plan
from tvm_narcost.hook.prepare import prepare
from tvm_narcost.predictor import Prediction

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
MODULE = build(separable, (1, 3, 16, 16))


def pipeline(**options: Any) -> Any:
    register()
    return relax.get_pipeline("narcost", **{"profile": profile(), "plan": "default", **options})


def compiled(module: tvm.IRModule, inputs: Sequence[Any], **options: Any) -> Any:
    executable = tvm.compile(module, tvm.target.Target("llvm"), relax_pipeline=pipeline(**options))
    return relax.VirtualMachine(executable, tvm.cpu())["main"](*map(tvm.runtime.tensor, inputs)).numpy()


def test_registering_twice_changes_nothing() -> None:
    register()
    first = relax.pipeline.PIPELINE_MAP["narcost"]
    register()
    assert relax.pipeline.PIPELINE_MAP["narcost"] is first


def test_compile_takes_it_as_it_takes_its_own() -> None:
    data = numbers(1, 3, 16, 16)
    before = tvm.ir.save_json(MODULE)
    (expected,) = reference(MODULE, [data])
    np.testing.assert_allclose(compiled(MODULE, [data]), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert tvm.ir.save_json(MODULE) == before


class Members:
    """A model to which every kernel costs a millisecond, and a convolution that is with others a hundred."""

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        return [Prediction.of_point(self._cost(plan), plan.planner) for plan in plans]

    def _cost(self, plan: FusionPlan) -> float:
        ops = [{plan.graph.nodes[node].op for node in kernel} for kernel in plan.kernels]
        return float(sum(100 if "Conv" in kernel and len(kernel) > 1 else 1 for kernel in ops))


def test_what_the_model_likes_best_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    models = SimpleNamespace(narformer=Members(), kernel_sum=Members(), flops=Members(), costs=None)
    monkeypatch.setattr(hook_pipeline, "open_plan_models", lambda profile: models)
    ranked = tvm_narcost.rank_fusions(MODULE, "llvm", profile())
    (chosen,) = (candidate for candidate in ranked if candidate.chosen)
    (default,) = (candidate for candidate in ranked if candidate.default)
    costs = [candidate.predicted_ms for candidate in ranked]
    assert costs == sorted(costs)
    assert default.predicted_ms > 100 > chosen.predicted_ms
    with tvm.target.Target("llvm"):
        lowered = pipeline(plan="best")(MODULE)
    names = [variable.name_hint for variable in lowered.get_global_vars()]
    assert [name for name in names if "conv2d" in name and name.startswith("fused")] == []


class LikesChannelsLast(Members):
    """As Members, and a transposition, which only the other layout has, saves half of all."""

    def _cost(self, plan: FusionPlan) -> float:
        return super()._cost(plan) / (2 if any(node.op == "Transpose" for node in plan.graph.nodes) else 1)


def test_the_best_variant_is_compiled_where_it_is_surely_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for model in (Members(), LikesChannelsLast()):
        models = SimpleNamespace(narformer=model, kernel_sum=model, flops=model, costs=None)
        monkeypatch.setattr(hook_pipeline, "open_plan_models", lambda profile, models=models: models)
        ranked = rank_variants(MODULE, "llvm", profile())
        assert [variant.variant.layout for variant in ranked[:2]] == ["NCHW", "NHWC"]
        assert len({variant.prepared.graph.structural_hash() for variant in ranked}) == len(ranked)
        (chosen,) = (variant for variant in ranked if variant.chosen)
        with tvm.target.Target("llvm"):
            lowered = pipeline(plan="best", variant="best")(MODULE)
        transposed = any("transpose" in variable.name_hint for variable in lowered.get_global_vars())
        found[type(model)] = chosen.variant.layout, transposed
    assert found == {Members: ("NCHW", False), LikesChannelsLast: ("NHWC", True)}
    with pytest.raises(CompileError, match="variants is empty"):
        rank_variants(MODULE, "llvm", profile(), [])
    with pytest.raises(CompileError, match="variant is 'best' with plan 'default', expected a Variant"):
        pipeline(plan="default", variant="best")


def test_a_plan_of_ones_own_is_compiled_as_it_is() -> None:
    prepared = prepare(MODULE, profile())
    data = numbers(1, 3, 16, 16)
    (expected,) = reference(MODULE, [data])
    found = compiled(MODULE, [data], plan=tvm_plan(prepared))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def light_squeezenet() -> tvm.IRModule:
    """Without its softmax, which would hide what the logits are, and with random weights in place of equal ones."""
    model = onnx.load(LIGHT / "light_squeezenet.onnx")
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = []
    for number, node in enumerate(model.graph.node):
        if node.op_type == "ConstantOfShape":
            shape = tuple(int(extent) for extent in shapes[node.input[0]])
            values = numbers(*shape, seed=number) / np.sqrt(np.prod(shape[1:])).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), node.output[0]))
        elif node.op_type != "Softmax":
            nodes.append(node)
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(nodes)
    model.graph.output.append(helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, None))
    from tvm.relax.frontend.onnx import from_onnx

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)
        return from_onnx(model)


def test_light_squeezenet_has_the_logits_of_tvms_own_pipeline_and_every_kernel_is_scheduled() -> None:
    module = light_squeezenet()
    data = numbers(1, 3, 224, 224)
    (expected,) = reference(module, [data])
    assert len(np.unique(expected)) > 500  # before the last relu cut half of them off they were 1000
    options = {"variant": Variant("NHWC", ("fold_batch_norm",))}
    found = compiled(module, [data], **options)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    lowered = pipeline(**options)(module)
    kernels = {
        variable.name_hint: bool(function.attrs.get("tirx.is_scheduled", False))
        for variable, function in lowered.functions.items()
        if isinstance(function, tvm.tirx.PrimFunc)
    }
    assert len(kernels) > 20
    assert [name for name, scheduled in kernels.items() if not scheduled] == []


def test_a_profile_without_an_artifact_says_how_to_get_one() -> None:
    with pytest.raises(ArtifactError, match=r"narcost profile --plans .* --profile here.tvm.*narcost train.*default"):
        pipeline(plan="best")
    with pytest.raises(ArtifactError, match="nothing was trained for it"):
        tvm_narcost.rank_fusions(MODULE, "llvm", profile())


def test_what_is_asked_for_must_be_there() -> None:
    with pytest.raises(ProfileError, match="nowhere"):
        pipeline(profile="nowhere.tvm")
    with pytest.raises(CompileError, match="plan is 'fastest', expected best, default or a FusionPlan"):
        pipeline(plan="fastest")
    with pytest.raises(CompileError, match="layout 'NCWH' and rewrites none, expected layout NCHW or NHWC"):
        Variant("NCWH")
    with pytest.raises(CompileError, match="has tvm_target ''"):
        pipeline(profile=profile(""))(MODULE)


def test_other_kinds_of_target_are_refused() -> None:
    cuda = {"kind": "cuda", "arch": "sm_80"}
    with pytest.raises(CompileError, match="is of kind cuda, expected llvm"), tvm.target.Target(cuda):
        pipeline()(MODULE)
    with pytest.raises(CompileError, match="is of kind cuda, expected llvm"):
        tvm_narcost.rank_fusions(MODULE, cuda, profile())


def dynamic() -> tvm.IRModule:
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((tvm.tirx.Var("n", "int64"), 4), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            found = builder.emit_output(builder.emit(relax.op.exp(x)))
        builder.emit_func_output(found)
    return builder.get()


def test_modules_that_cannot_be_planned_are_refused_with_the_reason() -> None:
    with pytest.raises(DynamicShapeError, match="n unbound"):
        pipeline()(dynamic())
    with pytest.raises(CompileError, match="has Relax functions none, expected main alone"):
        pipeline()(tvm.IRModule())
    with tvm.target.Target("llvm"):
        fused = relax.transform.FuseOps()(prepare(MODULE, profile()).module)
    with pytest.raises(CompileError, match="expected main alone: give it before its operators are fused"):
        pipeline()(fused)
    lowered = pipeline()(MODULE)
    with pytest.raises(CompileError, match="scheduled or lowered already"):
        pipeline()(lowered)
