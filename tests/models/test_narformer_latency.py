"""NarFormerLatency: kernels sum to the latency, the interval, and what is unlike training."""

import dataclasses
import math

import numpy as np
import pytest

from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from relay_frontend.plan import FusionPlan
from tests.training.analytic import PROFILE, examples, member, one_kernel_a_node
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.predictor import Prediction
from tvm_narcost.training.loop import predict_us


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


def test_interval_is_the_factor_that_held_out_families_were_off_by(narformer: NarFormerLatency) -> None:
    (prediction,) = predict(narformer, one_kernel_a_node(member("plain", 0)))
    low, high = prediction.interval_ms
    assert high / prediction.latency_ms == pytest.approx(math.exp(0.2))
    assert prediction.latency_ms / low == pytest.approx(math.exp(0.2))


def test_members_agree_on_their_mean_logarithm(narformer: NarFormerLatency) -> None:
    plan = one_kernel_a_node(member("plain", 0))
    alone = [
        predict(NarFormerLatency((network,), narformer.facts), plan)[0].kernels_ms for network in narformer.networks
    ]
    (both,) = predict(narformer, plan)
    np.testing.assert_allclose(both.kernels_ms, np.sqrt(np.prod(alone, axis=0)), rtol=1e-4)


def test_training_and_prediction_compute_the_same(narformer: NarFormerLatency) -> None:
    measured = examples(("mixed",), 2)
    for kernels_us, prediction in zip(
        predict_us(narformer.networks, measured),
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


def test_foreign_kernel_that_takes_no_time_does_not_flag_the_network(narformer: NarFormerLatency) -> None:
    """One odd kernel in a long network: its share decides, not its presence."""
    plan = one_kernel_a_node(member("plain", 0))
    kernels = len(plan.kernels)
    shares = np.array(predict(narformer, plan)[0].kernels_ms)
    shares /= shares.sum()
    least = int(np.argmin(shares))
    assert shares[least] < 0.05, "the network must have a kernel that hardly counts"
    foreign = np.zeros(kernels, dtype=bool)
    foreign[least] = True

    class OneOdd(NarFormerLatency):
        def _foreign(self, *_: object) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
            return foreign

    model = OneOdd(narformer.networks, narformer.facts)
    assert not predict(model, plan)[0].out_of_distribution
    foreign[:] = True
    assert predict(model, plan)[0].out_of_distribution


def test_network_without_nodes_takes_no_time(narformer: NarFormerLatency) -> None:
    kind = TensorType((1, 3), "float32")
    empty = FusionPlan(OpGraph("empty", (), (("x", kind),), (), (Edge(GRAPH_INPUT),)), (), "rules")
    full = one_kernel_a_node(member("plain", 0))
    nothing, something = predict(narformer, empty, full)
    assert (nothing.latency_ms, nothing.kernels_ms, nothing.interval_ms) == (0.0, (), (0.0, 0.0))
    assert something.latency_ms == pytest.approx(predict(narformer, full)[0].latency_ms, rel=1e-4)
    assert predict(narformer, empty) == [nothing]


def test_facts_decide_what_is_unknown(narformer: NarFormerLatency) -> None:
    knows_all = dataclasses.replace(narformer.facts, operators_seen=("Conv", "Relu", "Softmax"))
    (prediction,) = predict(NarFormerLatency(narformer.networks, knows_all), one_kernel_a_node(chain("Softmax")))
    assert prediction.unknown_operators == ()
