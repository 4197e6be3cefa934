"""NN-Former: attention among neighbours and siblings, a feed-forward network over edges (Xu et al., CVPR 2025).

Each of four heads sees one relation: the nodes that read a node, those that it reads, those that read what it reads
too (A A^T), and those that are read where it is read (A^T A); every node sees itself as well. The mask of the paper is
kept as a list of pairs: a softmax over the pairs of a row is the masked softmax, and nothing is padded.
Tokens are NAR-Former V2's, pooling and head NNLP's.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvm_narcost.models.graph_network import (
    CODED_WIDTH,
    GraphBatch,
    GraphNetwork,
    LatencyHead,
    code_nodes,
    sum_over,
)

__all__ = ["HEADS", "NnFormer", "NnFormerConfig", "relations"]

HEADS = 4  # one a relation


@dataclass(frozen=True)
class NnFormerConfig:
    """Sizes of an NN-Former.

    Attributes:
        width: of the blocks and of the head; the paper's is 512 for latencies, which a CPU core does not train in
            minutes.
        blocks: attention and feed-forward network each.
        feed_forward_ratio: hidden width of the feed-forward network over the width.
        dropout: of what is added to the residual stream, and in the head.
    """

    width: int = 96
    blocks: int = 2
    feed_forward_ratio: int = 4
    dropout: float = 0.05

    def __post_init__(self) -> None:
        if self.width % HEADS:
            raise ValueError(f"width {self.width}, expected a multiple of {HEADS}, the heads")


def relations(edges: Tensor, nodes: int) -> Tensor:
    """Who attends to whom: pairs (query x HEADS + head, key x HEADS + head), int64 [2, P]."""
    source, target = edges
    itself = torch.arange(nodes)
    found = [
        torch.cat([torch.stack([source, target]), itself.expand(2, -1)], dim=1),
        torch.cat([torch.stack([target, source]), itself.expand(2, -1)], dim=1),
        _siblings(target, source, nodes),
        _siblings(source, target, nodes),
    ]
    return torch.cat([pairs * HEADS + head for head, pairs in enumerate(found)], dim=1)


def _siblings(shared: Tensor, member: Tensor, nodes: int) -> Tensor:
    """Pairs of members that have a ``shared`` node in common, and each node with itself; each pair once, [2, P]."""
    order = shared.argsort(stable=True)
    shared, member = shared[order], member[order]
    count = torch.bincount(shared, minlength=nodes)
    first = (count.cumsum(0) - count)[shared]  # where the members of one's group begin
    partners = count[shared]
    within = torch.arange(int(partners.sum())) - (partners.cumsum(0) - partners).repeat_interleave(partners)
    left = member.repeat_interleave(partners)
    right = member[first.repeat_interleave(partners) + within]
    codes = torch.cat([left * nodes + right, torch.arange(nodes) * (nodes + 1)]).unique()
    return torch.stack([codes // nodes, codes % nodes])


class AdjacencySiblingAttention(nn.Module):
    """Multi-head attention, each head masked to its relation (ASMA)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, pairs: Tensor) -> Tensor:
        N, D = x.shape
        q, k, v = (part.reshape(N * HEADS, D // HEADS) for part in self.query_key_value(x).chunk(3, dim=1))
        query, key = pairs
        score = (q.index_select(0, query) * k.index_select(0, key)).sum(dim=1) / math.sqrt(D // HEADS)  # [P]
        highest = score.new_full((N * HEADS,), -torch.inf).scatter_reduce(0, query, score.detach(), "amax")
        weight = (score - highest[query]).exp()
        weight = weight / sum_over(weight, query, N * HEADS)[query]
        y = sum_over(weight[:, None] * v.index_select(0, key), query, N * HEADS)
        out: Tensor = self.out(y.view(N, D))
        return out


class GraphFeedForward(nn.Module):
    """W3 ReLU(W1 x + [A W2 x, A^T W2' x]): a graph isomorphism network in both directions (BGIFFN)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.own = nn.Linear(width, hidden, bias=False)
        self.readers = nn.Linear(width, hidden // 2, bias=False)
        self.sources = nn.Linear(width, hidden - hidden // 2, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        source, target = edges
        forward = sum_over(self.readers(x).index_select(0, target), source, len(x))
        backward = sum_over(self.sources(x).index_select(0, source), target, len(x))
        out: Tensor = self.out(F.relu(self.own(x) + torch.cat([forward, backward], dim=1)))
        return out


class Block(nn.Module):
    """Pre-norm: attention, then the feed-forward network over edges, each on a residual."""

    def __init__(self, config: NnFormerConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width)
        self.attention = AdjacencySiblingAttention(config.width)
        self.feed_forward_norm = nn.LayerNorm(config.width)
        self.feed_forward = GraphFeedForward(config.width, config.feed_forward_ratio * config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, pairs: Tensor, edges: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), pairs))
        out: Tensor = x + self.dropout(self.feed_forward(self.feed_forward_norm(x), edges))
        return out


class NnFormer(GraphNetwork):
    """Packed graphs -> the logarithm of each network's milliseconds."""

    def __init__(self, config: NnFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(CODED_WIDTH, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.head = LatencyHead(config.width, config.dropout)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Predict each network of the batch, [B]."""
        x = self.embed(code_nodes(batch.nodes))  # [N, D]
        pairs = relations(batch.edges, len(x))
        for block in self.blocks:
            x = block(x, pairs, batch.edges)
        out: Tensor = self.head(self.norm(x), batch.network, batch.static)
        return out
