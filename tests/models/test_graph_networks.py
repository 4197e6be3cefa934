"""What holds of all three graph networks, and of the batches and the head that they share."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.models.graphs import graph_of, random_graph, renumbered
from tests.tokens.sketch import Sketch, unit_plan
from tests.training.analytic import PROFILE
from tvm_narcost.models.graph_network import (
    GraphLatency,
    GraphNetwork,
    LatencyHead,
    code_quantities,
    collate_graphs,
)
from tvm_narcost.models.narformer_v2 import NarFormerV2, NarFormerV2Config
from tvm_narcost.models.nn_former import NnFormer, NnFormerConfig
from tvm_narcost.models.nnlp import Nnlp, NnlpConfig
from tvm_narcost.predictor import LatencyModel
from tvm_narcost.tokens.graph_features import GraphFeatures, encode_features

BUILDERS: dict[str, Callable[[], GraphNetwork]] = {
    "nnlp": lambda: Nnlp(NnlpConfig(width=32)),
    # The feed-forward network starts near zero; here it must show.
    "narformer_v2": lambda: NarFormerV2(NarFormerV2Config(width=32, residual_scale=1.0)),
    "nn_former": lambda: NnFormer(NnFormerConfig(width=32)),
}


@pytest.fixture(params=BUILDERS)
def network(request: pytest.FixtureRequest) -> GraphNetwork:
    torch.manual_seed(0)
    return BUILDERS[request.param]().eval()


def predict(network: GraphNetwork, *graphs: GraphFeatures) -> np.ndarray:
    with torch.inference_mode():
        values: np.ndarray = network(collate_graphs(graphs)).numpy()
    return values


def test_batch_numbers_the_nodes_of_all_networks_one_behind_the_other() -> None:
    batch = collate_graphs([graph_of(3, [(0, 2), (1, 2)], 0), graph_of(1, [], 1), graph_of(2, [(0, 1)], 2)])
    assert batch.nodes.shape[0] == 6
    assert batch.edges.tolist() == [[0, 1, 4], [2, 2, 5]]
    assert batch.network.tolist() == [0, 0, 0, 1, 2, 2]
    assert batch.static.shape[0] == 3


def test_order_of_the_nodes_does_not_matter(network: GraphNetwork) -> None:
    graph = random_graph(30, 3)
    again = predict(network, renumbered(graph, 4))
    np.testing.assert_allclose(again, predict(network, graph), rtol=1e-4, atol=1e-5)


def test_networks_of_a_batch_do_not_see_each_other(network: GraphNetwork) -> None:
    graphs = [random_graph(12, 0), random_graph(40, 1), graph_of(1, [], 2)]
    alone = [predict(network, graph)[0] for graph in graphs]
    np.testing.assert_allclose(predict(network, *graphs), alone, rtol=1e-4, atol=1e-5)


def test_edges_operators_extents_and_static_features_matter(network: GraphNetwork) -> None:
    graph = graph_of(6, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)])
    nodes = graph.nodes.copy()
    nodes[2, -1] += 0.5
    operators = graph.nodes.copy()
    operators[2] = np.roll(operators[2], 1)
    changed = [
        dataclasses.replace(graph, edges=np.array([[0, 1, 1, 3, 4], [1, 2, 3, 4, 5]])),
        dataclasses.replace(graph, nodes=nodes),
        dataclasses.replace(graph, nodes=operators),
        dataclasses.replace(graph, static=graph.static + np.float32(0.3)),
    ]
    before = predict(network, graph)[0]
    assert (np.abs(predict(network, *changed) - before) > 1e-5).all()


@pytest.mark.parametrize(("name", "directed"), [("nnlp", False), ("narformer_v2", False), ("nn_former", True)])
def test_only_nn_former_knows_the_direction_of_an_edge(name: str, directed: bool) -> None:
    torch.manual_seed(1)
    network = BUILDERS[name]().eval()
    graph = random_graph(20, 5)
    flipped = dataclasses.replace(graph, edges=graph.edges[::-1].copy())
    same = np.allclose(predict(network, graph), predict(network, flipped), rtol=1e-5, atol=1e-6)
    assert same is not directed


def test_every_weight_learns(network: GraphNetwork) -> None:
    network.train()
    network(collate_graphs([random_graph(30, seed) for seed in range(4)])).square().sum().backward()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == []


def test_the_head_starts_at_the_mean() -> None:
    head = LatencyHead(4, 0.0)
    torch.nn.init.zeros_(head.out.weight)
    seen = torch.randn(9, 4)
    head.start_at(seen, torch.tensor([1.0, 2.0]))
    assert head(torch.randn(5, 4), torch.tensor([0, 0, 0, 1, 1]), seen[:2]).tolist() == [1.5, 1.5]


def test_the_head_adds_over_nodes_and_standardises_static_features() -> None:
    torch.manual_seed(0)
    head, plain = LatencyHead(4, 0.0), LatencyHead(4, 0.0)
    plain.load_state_dict(head.state_dict())
    seen = torch.cat([3 + 2 * torch.randn(9, 3), torch.ones(9, 1)], dim=1)  # the last is the same for all
    head.start_at(seen, head.out.bias.detach())
    scale = torch.cat([seen[:, :3].std(dim=0, correction=0), torch.ones(1)])
    x = torch.randn(5, 4)
    pooled = torch.stack([x[:3].sum(dim=0), x[3:].sum(dim=0)])  # sinh(asinh(sum)) is the sum
    expected = plain(pooled, torch.tensor([0, 1]), (seen[:2] - seen.mean(dim=0)) / scale)
    torch.testing.assert_close(head(x, torch.tensor([0, 0, 0, 1, 1]), seen[:2]), expected)


def test_codes_are_bounded_and_tell_neighbouring_widths_apart() -> None:
    widths = torch.log2(1 + torch.arange(2049)) / 8
    codes = code_quantities(widths[:, None])
    assert codes.shape == (2049, 10)
    assert codes.abs().max() <= 1
    assert (codes[1:] - codes[:-1]).norm(dim=1).min() > 1e-3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NarFormerV2Config(width=20), "width 20, expected a multiple of groups 8"),
        (lambda: NnFormerConfig(width=30), "width 30, expected a multiple of 4"),
    ],
)
def test_widths_that_cannot_be_divided(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_a_trained_network_is_a_latency_model(network: GraphNetwork) -> None:
    sketch = Sketch((1, 8, 14, 14))
    sketch.node("Relu", sketch.conv(sketch.input(), 16, 3))
    graph = sketch.done()
    model: LatencyModel = GraphLatency(network)
    (prediction,) = model.predict([graph], [unit_plan(graph)], PROFILE)
    expected = math.exp(predict(network, encode_features(graph))[0])
    assert prediction.latency_ms == pytest.approx(expected, rel=1e-5)
    assert prediction.planner == "rules"


def test_many_networks_are_predicted_in_order(network: GraphNetwork) -> None:
    graphs = [random_graph(5, seed) for seed in range(70)]
    expected = np.exp(predict(network, *graphs).astype(float))
    np.testing.assert_allclose(GraphLatency(network).latencies_ms(graphs), expected, rtol=1e-4)
    assert GraphLatency(network).latencies_ms([]) == []
