"""Every predictor is a LatencyModel: the same promises, whoever predicts."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from relay_frontend.plan import FusionPlan
from tests.training.analytic import PROFILE, examples, member, one_kernel_a_node
from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.constant import ConstantModel
from tvm_narcost.models.flops import FlopsModel, fit_flops
from tvm_narcost.models.flops_bytes import FlopsBytesModel, fit_flops_bytes
from tvm_narcost.models.graph_network import GraphLatency
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.models.narformer_paper import PAPER_NARROW_CONFIG, NarFormerPaper
from tvm_narcost.models.nn_former import NnFormer, NnFormerConfig
from tvm_narcost.models.roofline import RooflineModel
from tvm_narcost.predictor import LatencyModel
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.roofline import roofline
from tvm_narcost.training.evaluate import fit_kernel_sum_to, measured_ms


def fitted_flops() -> FlopsModel:
    measured = examples(("plain", "separable"), 4)
    return fit_flops([example.graph for example in measured], measured_ms(measured))


def fitted_flops_bytes() -> FlopsBytesModel:
    measured = examples(("plain", "separable"), 4)
    return fit_flops_bytes([example.graph for example in measured], measured_ms(measured))


def paper() -> NarFormerPaper:
    torch.manual_seed(0)
    return NarFormerPaper(NarFormer(dataclasses.replace(PAPER_NARROW_CONFIG, model_width=32, heads=2)).eval())


MODELS: dict[str, Callable[[], LatencyModel]] = {
    "constant": lambda: ConstantModel(3.0),
    "flops": fitted_flops,
    "roofline": RooflineModel,
    "kernel_sum": lambda: fit_kernel_sum_to(examples(("plain",), 3), 0),
    "narformer_paper": paper,
    "flops_bytes": fitted_flops_bytes,
    "nn_former": lambda: GraphLatency(NnFormer(NnFormerConfig(width=16)).eval()),
}
WITH_KERNELS = {"constant", "roofline", "kernel_sum", "narformer"}


@pytest.fixture(scope="module", params=[*MODELS, "narformer"])
def named_model(request: pytest.FixtureRequest, narformer: NarFormerLatency) -> tuple[str, LatencyModel]:
    return request.param, narformer if request.param == "narformer" else MODELS[request.param]()


def plans() -> list[FusionPlan]:
    """Networks of different lengths, planned by different planners."""
    return [
        one_kernel_a_node(member("plain", 0), "tvm"),
        one_kernel_a_node(member("mixed", 1), "onnxruntime"),
        FusionPlan(member("separable", 2), (tuple(range(len(member("separable", 2).nodes))),), "rules"),
    ]


def test_one_prediction_a_plan_in_order(named_model: tuple[str, LatencyModel]) -> None:
    name, model = named_model
    predictions = model.predict([plan.graph for plan in plans()], plans(), PROFILE)
    assert [prediction.planner for prediction in predictions] == ["tvm", "onnxruntime", "rules"]
    for prediction in predictions:
        assert np.isfinite(prediction.latency_ms)
        if name != "narformer_paper":  # as published: nothing keeps its output positive
            assert prediction.latency_ms > 0
        low, high = prediction.interval_ms
        assert low <= prediction.latency_ms <= high


def test_kernels_are_all_there_and_sum_to_the_latency(named_model: tuple[str, LatencyModel]) -> None:
    name, model = named_model
    for plan, prediction in zip(plans(), model.predict([p.graph for p in plans()], plans(), PROFILE), strict=True):
        if name in WITH_KERNELS:
            assert len(prediction.kernels_ms) == len(plan.kernels)
            assert sum(prediction.kernels_ms) == pytest.approx(prediction.latency_ms)
        else:
            assert prediction.kernels_ms == ()


def test_company_in_a_batch_does_not_matter(named_model: tuple[str, LatencyModel]) -> None:
    _, model = named_model
    together = model.predict([plan.graph for plan in plans()], plans(), PROFILE)
    for plan, prediction in zip(plans(), together, strict=True):
        (alone,) = model.predict([plan.graph], [plan], PROFILE)
        assert alone.latency_ms == pytest.approx(prediction.latency_ms, rel=1e-4)
        assert alone.kernels_ms == pytest.approx(prediction.kernels_ms, rel=1e-3)


def test_nothing_to_predict(named_model: tuple[str, LatencyModel]) -> None:
    assert named_model[1].predict([], [], PROFILE) == []


def test_flops_fit_by_hand() -> None:
    """Latency = 2 x FLOPs^0.5 is a line in logarithms, and is found."""
    graphs = [member("plain", seed) for seed in range(6)]
    flops = [sum(kernel_facts(one_kernel_a_node(graph)).column("flops")) for graph in graphs]
    model = fit_flops(graphs, [2 * value**0.5 for value in flops])
    assert model.slope == pytest.approx(0.5)
    assert model.intercept == pytest.approx(np.log(2.0))
    (prediction,) = model.predict(graphs[:1], [one_kernel_a_node(graphs[0])], PROFILE)
    assert prediction.latency_ms == pytest.approx(2 * flops[0] ** 0.5)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"intercept": 1}', '{"intercept": 1, "slope": "x"}', '{"intercept": NaN, "slope": 1}',
                '{"intercept": 1e999, "slope": 1}', "[" * 4000, " " * 5000]
)  # fmt: skip
def test_spoiled_flops_file(tmp_path: Path, content: str) -> None:
    FlopsModel(1.0, 0.5).save(tmp_path)
    assert FlopsModel.open(tmp_path) == FlopsModel(1.0, 0.5)
    (tmp_path / "flops.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"flops\.json"):
        FlopsModel.open(tmp_path)


def test_roofline_is_the_sum_of_its_kernels_bounds() -> None:
    plan = one_kernel_a_node(member("bottleneck", 0))
    (prediction,) = RooflineModel().predict([plan.graph], [plan], PROFILE)
    assert prediction.latency_ms == pytest.approx(roofline(kernel_facts(plan), PROFILE).total_us.sum() / 1e3)


def test_paper_model_knows_no_plan() -> None:
    model, graph = paper(), member("bottleneck", 0)
    fused = FusionPlan(graph, (tuple(range(len(graph.nodes))),), "rules")
    one, other = model.predict([graph] * 2, [fused, one_kernel_a_node(graph)], PROFILE)
    assert one.latency_ms == other.latency_ms


def test_constant_splits_its_latency_evenly() -> None:
    plan = one_kernel_a_node(member("plain", 0))
    (prediction,) = ConstantModel(3.0).predict([plan.graph], [plan], PROFILE)
    assert prediction.latency_ms == 3.0
    assert set(prediction.kernels_ms) == {3.0 / len(plan.kernels)}
