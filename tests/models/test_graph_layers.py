"""Each layer against the formula of its paper, written with dense matrices."""

import math

import torch
import torch.nn.functional as F

from tests.models.graphs import adjacency, random_graph
from tvm_narcost.models.graph_network import both_ways, collate_graphs
from tvm_narcost.models.narformer_v2 import GraphAidedAttention, GroupedLinear
from tvm_narcost.models.nn_former import HEADS, AdjacencySiblingAttention, GraphFeedForward, relations
from tvm_narcost.models.nnlp import SageLayer

NODES = 25
EDGES = collate_graphs([random_graph(NODES, 7)]).edges
A = adjacency(EDGES, NODES)
DIAMOND = torch.tensor([[0, 0, 1, 2], [1, 2, 3, 3]])  # 0 -> 1, 2 -> 3


def test_sage_is_the_mean_of_the_neighbours_beside_the_node_at_unit_length() -> None:
    torch.manual_seed(0)
    layer, x = SageLayer(6, 8), torch.randn(NODES, 6)
    both = A + A.T
    mean = both @ x / both.sum(dim=1, keepdim=True)
    expected = F.normalize(layer.neighbours(mean) + x @ layer.root.weight.T, dim=1)
    torch.testing.assert_close(layer(x, both_ways(EDGES)), expected)
    torch.testing.assert_close(layer(x, both_ways(EDGES)).norm(dim=1), torch.ones(NODES))


def test_a_node_without_neighbours_has_only_itself() -> None:
    layer, x = SageLayer(6, 8), torch.randn(1, 6)
    nothing = torch.zeros(2, 0, dtype=torch.int64)
    torch.testing.assert_close(layer(x, nothing), F.normalize(layer.neighbours.bias + x @ layer.root.weight.T, dim=1))
    assert GraphAidedAttention(6, 8)(x, nothing).isfinite().all()


def test_graph_aided_attention_is_linear_attention_masked_by_the_edges() -> None:
    torch.manual_seed(1)
    layer, x = GraphAidedAttention(6, 8), torch.randn(NODES, 6)
    both = A + A.T
    enhanced = x * torch.sigmoid(layer.degree(both.sum(dim=1, keepdim=True)))
    q = torch.sigmoid(layer.query_key(enhanced))
    scores = both * (q @ q.T)
    mixed = scores / scores.sum(dim=1, keepdim=True) @ enhanced
    expected = F.normalize(layer.neighbours(mixed) + layer.root(enhanced), dim=1)
    torch.testing.assert_close(layer(x, both_ways(EDGES)), expected, rtol=1e-4, atol=1e-5)


def test_groups_of_channels_do_not_mix() -> None:
    layer, x = GroupedLinear(8, 16, 4), torch.randn(3, 8)
    changed = x.clone()
    changed[:, :2] += torch.tensor([1.0, -2.0])  # the first group
    before, after = layer(x), layer(changed)
    assert before.shape == (3, 16)
    assert (before[:, :4] != after[:, :4]).any()
    assert torch.equal(before[:, 4:], after[:, 4:])


def test_relations_of_a_diamond() -> None:
    query, key = relations(DIAMOND, 4)
    found: list[set[tuple[int, int]]] = [set() for _ in range(HEADS)]
    for q, k in zip(query.tolist(), key.tolist(), strict=True):
        found[q % HEADS] |= {(q // HEADS, k // HEADS)} if q != k else set()
    assert torch.equal(query % HEADS, key % HEADS)
    assert found[0] == {(0, 1), (0, 2), (1, 3), (2, 3)}  # readers
    assert found[1] == {(1, 0), (2, 0), (3, 1), (3, 2)}  # sources
    assert found[2] == {(1, 2), (2, 1)}  # both read by 3
    assert found[3] == {(1, 2), (2, 1)}  # both read 0


def test_relations_are_the_masks_of_the_paper() -> None:
    query, key = relations(EDGES, NODES)
    itself = torch.eye(NODES)
    masks = [A + itself, A.T + itself, A @ A.T + itself, A.T @ A + itself]
    for head, mask in enumerate(masks):
        chosen = query % HEADS == head
        found = torch.zeros(NODES, NODES)
        found.index_put_((query[chosen] // HEADS, key[chosen] // HEADS), torch.tensor(1.0), accumulate=True)
        assert torch.equal(found, (mask > 0).float())  # and no pair twice


def test_attention_over_pairs_is_masked_attention() -> None:
    torch.manual_seed(2)
    layer, x = AdjacencySiblingAttention(16), torch.randn(NODES, 16)
    q, k, v = (part.view(NODES, HEADS, 4).transpose(0, 1) for part in layer.query_key_value(x).chunk(3, dim=1))
    itself = torch.eye(NODES)
    masks = torch.stack([A + itself, A.T + itself, A @ A.T + itself, A.T @ A + itself])
    scores = (q @ k.mT / math.sqrt(4)).masked_fill(masks == 0, -torch.inf)
    expected = layer.out((scores.softmax(dim=-1) @ v).transpose(0, 1).reshape(NODES, 16))
    torch.testing.assert_close(layer(x, relations(EDGES, NODES)), expected, rtol=1e-4, atol=1e-5)


def test_attention_survives_large_scores() -> None:
    layer = AdjacencySiblingAttention(16)
    assert layer(torch.randn(4, 16) * 1e3, relations(DIAMOND, 4)).isfinite().all()


def test_a_sibling_is_seen_without_an_edge_to_it() -> None:
    torch.manual_seed(3)
    layer, x = AdjacencySiblingAttention(16), torch.randn(4, 16)
    pairs, changed = relations(DIAMOND, 4), x.clone()
    changed[2] += 1
    moved = (layer(changed, pairs) - layer(x, pairs)).abs().amax(dim=1) > 1e-4
    assert moved.tolist() == [True, True, True, True]  # 0 reads nothing of 2, but is read by it; 1 is its sibling
    changed = x.clone()
    changed[0] += 1
    moved = (layer(changed, pairs) - layer(x, pairs)).abs().amax(dim=1) > 1e-4
    assert moved.tolist() == [True, True, True, False]  # 3 is two edges away


def test_feed_forward_network_adds_readers_and_sources() -> None:
    torch.manual_seed(4)
    layer, x = GraphFeedForward(6, 10), torch.randn(NODES, 6)
    around = torch.cat([A @ layer.readers(x), A.T @ layer.sources(x)], dim=1)
    expected = layer.out(F.relu(layer.own(x) + around))
    torch.testing.assert_close(layer(x, EDGES), expected, rtol=1e-4, atol=1e-5)
