"""What is timed has the size that is said, and ends in ranked plans."""

from bench.rank_speed import NETWORKS, rank_network
from hardware_profiles import load_profile
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from tvm_narcost.models.plan_models import open_plan_models
from tvm_narcost.zoo import generate


def test_a_network_of_two_hundred_operators_has_two_hundred_candidates() -> None:
    graph = canonicalize(from_onnx(generate(*NETWORKS[1])))
    assert len(graph.nodes) > 200
    models = open_plan_models("epyc-zen5.onnxruntime")
    ranked = rank_network(graph, models, load_profile("epyc-zen5.tvm"), 200)
    assert len({plan.plan.kernels for plan in ranked}) == 200
    assert sum(plan.default for plan in ranked) == sum(plan.chosen for plan in ranked) == 1
    assert all(plan.kernel_sum_ms is not None for plan in ranked)
