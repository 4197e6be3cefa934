"""Random directed acyclic graphs as features, and dense matrices of their edges."""

import numpy as np
import torch
from torch import Tensor

from tvm_narcost.tokens.graph_features import NODE_WIDTH, OPERATORS, QUANTITIES, STATIC_WIDTH, GraphFeatures

__all__ = ["adjacency", "graph_of", "random_graph", "renumbered"]


def graph_of(nodes: int, pairs: list[tuple[int, int]], seed: int = 0) -> GraphFeatures:
    """Random operators and quantities on the given edges."""
    draw = np.random.default_rng(seed)
    one_hot = np.eye(len(OPERATORS))[draw.integers(0, len(OPERATORS), nodes)]
    values = np.concatenate([one_hot, draw.uniform(0, 2, (nodes, QUANTITIES))], axis=1).astype(np.float32)
    edges = np.array(pairs, np.int64).reshape(-1, 2).T.copy()
    assert values.shape == (nodes, NODE_WIDTH)
    return GraphFeatures(values, edges, draw.uniform(0, 4, STATIC_WIDTH).astype(np.float32))


def random_graph(nodes: int, seed: int) -> GraphFeatures:
    """Each node reads from one to three before it."""
    draw = np.random.default_rng(seed)
    pairs = [
        (int(source), reader)
        for reader in range(1, nodes)
        for source in draw.choice(reader, min(reader, int(draw.integers(1, 4))), replace=False)
    ]
    return graph_of(nodes, pairs, seed)


def renumbered(graph: GraphFeatures, seed: int) -> GraphFeatures:
    """The same graph, its nodes and its edges listed in another order."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(graph.nodes))  # place -> old number
    place = np.argsort(order)
    edges = place[graph.edges][:, draw.permutation(graph.edges.shape[1])]
    return GraphFeatures(graph.nodes[order], edges, graph.static)


def adjacency(edges: Tensor, nodes: int) -> Tensor:
    """[nodes, nodes], 1 where the row's node is read by the column's."""
    dense = torch.zeros(nodes, nodes)
    dense[edges[0], edges[1]] = 1
    return dense
