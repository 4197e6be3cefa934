"""NarFormerLatency: kernels sum to the latency, the interval, and what is unlike training."""

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from relay_frontend.plan import FusionPlan
from tests.models.untrained import INTERVAL
from tests.training.analytic import PROFILE, examples, member, one_kernel_a_node
from tvm_narcost.models.estimate import estimate_networks
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.models.training_kernels import TrainingKernels, fit_training_kernels
from tvm_narcost.predictor import Prediction
from tvm_narcost.tokens.default import encode_kernels
from tvm_narcost.tokens.encoded import encode_plan
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.training.ensemble import ensemble_us


def predict(model: NarFormerLatency, *plans: FusionPlan) -> list[Prediction]:
    return model.predict([plan.graph for plan in plans], plans, PROFILE)


def chain(op: str, shape: tuple[int, ...] = (1, 8, 14, 14)) -> OpGraph:
    kind = TensorType(shape, "float32")
    nodes = (OpNode(op, (Edge(GRAPH_INPUT),), (kind,)), OpNode("Relu", (Edge(0),), (kind,)))
    return OpGraph("chain", nodes, (("x", kind),), (), (Edge(1),))


def test_kernels_sum_to_the_latency(narformer: NarFormerLatency) -> None:
    plan = one_kernel_a_node(member("mixed", 1))
    (prediction,) = predict(narformer, plan)
    assert len(prediction.kernels_ms) == len(plan.kernels)
    assert sum(prediction.kernels_ms) == pytest.approx(prediction.latency_ms)
    assert min(prediction.kernels_ms) > 0


def test_interval_is_what_the_model_expects_to_err_by(narformer: NarFormerLatency) -> None:
    (example,) = examples(("plain",), 1)
    (prediction,) = predict(narformer, example.plan)
    (estimate,) = estimate_networks(narformer.ensemble, narformer.training_kernels, [example])
    factor = math.exp(INTERVAL.log_ratio(estimate.signs))
    assert factor > 1.01
    low, high = prediction.interval_ms
    assert high / prediction.latency_ms == pytest.approx(factor)
    assert prediction.latency_ms / low == pytest.approx(factor)


def test_interval_is_wider_where_kernels_are_unlike_training(narformer: NarFormerLatency) -> None:
    known, unknown = chain("Relu", (1, 64, 28, 28)), chain("Softmax", (1, 64, 28, 28))
    ratios = [
        high / low
        for low, high in (found.interval_ms for found in predict(narformer, *map(one_kernel_a_node, (known, unknown))))
    ]
    assert ratios[1] > ratios[0]


def test_interval_of_an_operator_outside_the_table_is_the_widest(narformer: NarFormerLatency) -> None:
    (prediction,) = predict(narformer, one_kernel_a_node(chain("example.com.Splat")))
    assert prediction.unknown_operators == ("example.com.Splat",)
    assert prediction.out_of_distribution
    low, high = prediction.interval_ms
    assert math.log(high / low) == pytest.approx(2 * INTERVAL.quantile * INTERVAL.error_range[1])


def test_members_agree_on_their_mean_logarithm(narformer: NarFormerLatency) -> None:
    plan = one_kernel_a_node(member("plain", 0))
    alone = [
        predict(dataclasses.replace(narformer, ensemble=KernelEnsemble((network,), None)), plan)[0].kernels_ms
        for network in narformer.ensemble.networks
    ]
    (both,) = predict(narformer, plan)
    np.testing.assert_allclose(both.kernels_ms, np.sqrt(np.prod(alone, axis=0)), rtol=1e-4)


def test_members_are_asked_one_by_one(narformer: NarFormerLatency) -> None:
    encoded = [encode_plan(one_kernel_a_node(member("mixed", seed)), PROFILE) for seed in (1, 2)]
    latency_ms = narformer.member_latency_ms(encoded)
    assert latency_ms.shape == (2, 2)
    for place, network in enumerate(narformer.ensemble.networks):
        alone = dataclasses.replace(narformer, ensemble=KernelEnsemble((network,), None))
        expected = [found.latency_ms for found in alone.predict_encoded(encoded)]
        assert latency_ms[place] == pytest.approx(expected)
    assert narformer.member_latency_ms([]).shape == (2, 0)


def test_training_and_prediction_compute_the_same(narformer: NarFormerLatency) -> None:
    measured = examples(("mixed",), 2)
    for kernels_us, prediction in zip(
        ensemble_us(narformer.ensemble, measured),
        predict(narformer, *(example.plan for example in measured)),
        strict=True,
    ):
        np.testing.assert_allclose(prediction.kernels_ms, kernels_us / 1e3, rtol=1e-4)


def test_network_like_those_in_training_is_not_flagged(narformer: NarFormerLatency) -> None:
    (prediction,) = predict(narformer, one_kernel_a_node(member("plain", 0)))
    assert not prediction.out_of_distribution
    assert prediction.unknown_operators == ()


def test_operator_that_training_never_met_is_named(narformer: NarFormerLatency) -> None:
    (prediction,) = predict(narformer, one_kernel_a_node(chain("Softmax")))
    assert prediction.unknown_operators == ("Softmax",)
    assert prediction.out_of_distribution


def test_network_larger_than_any_in_training_is_flagged(narformer: NarFormerLatency) -> None:
    (prediction,) = predict(narformer, one_kernel_a_node(chain("Relu", (1, 4096, 112, 112))))
    assert prediction.unknown_operators == ()
    assert prediction.out_of_distribution


def test_kernels_unlike_training_are_pointed_out(narformer: NarFormerLatency) -> None:
    (prediction,) = predict(narformer, one_kernel_a_node(chain("Softmax")))
    assert prediction.kernels_out_of_distribution == (True, False)
    (ordinary,) = predict(narformer, one_kernel_a_node(member("plain", 0)))
    assert not any(ordinary.kernels_out_of_distribution)
    assert len(ordinary.kernels_out_of_distribution) == len(ordinary.kernels_ms)


def test_far_kernel_that_takes_no_time_does_not_flag_the_network(narformer: NarFormerLatency) -> None:
    """One odd kernel in a long network: its share decides, not its presence."""
    plan = one_kernel_a_node(member("plain", 0))
    shares = np.array(predict(narformer, plan)[0].kernels_ms)
    shares /= shares.sum()
    least = int(np.argmin(shares))
    assert shares[least] < 0.05, "the network must have a kernel that hardly counts"
    distance = np.zeros(len(plan.kernels))
    distance[least] = 2.0

    class OneOdd(TrainingKernels):
        def distance(self, *_: object) -> NDArray[np.float64]:
            return distance

    kernels = OneOdd(narformer.training_kernels.points, narformer.training_kernels.limits)
    model = dataclasses.replace(narformer, training_kernels=kernels)
    (prediction,) = predict(model, plan)
    assert prediction.kernels_out_of_distribution == tuple((distance > 1).tolist())
    assert not prediction.out_of_distribution
    distance[:] = 2.0
    assert predict(model, plan)[0].out_of_distribution


def test_network_without_nodes_takes_no_time(narformer: NarFormerLatency) -> None:
    kind = TensorType((1, 3), "float32")
    empty = FusionPlan(OpGraph("empty", (), (("x", kind),), (), (Edge(GRAPH_INPUT),)), (), "rules")
    full = one_kernel_a_node(member("plain", 0))
    nothing, something = predict(narformer, empty, full)
    assert (nothing.latency_ms, nothing.kernels_ms, nothing.interval_ms) == (0.0, (), (0.0, 0.0))
    assert something.latency_ms == pytest.approx(predict(narformer, full)[0].latency_ms, rel=1e-4)
    assert predict(narformer, empty) == [nothing]


def test_training_decides_what_is_unknown(narformer: NarFormerLatency) -> None:
    graph = chain("Softmax")
    facts = kernel_facts(one_kernel_a_node(graph))
    kernels = fit_training_kernels([(facts.ops, encode_kernels(facts, PROFILE).values)])
    model = dataclasses.replace(narformer, training_kernels=kernels)
    (prediction,) = predict(model, one_kernel_a_node(graph))
    assert prediction.unknown_operators == ()
    assert not prediction.out_of_distribution
