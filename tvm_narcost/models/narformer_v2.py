"""NAR-Former V2: transformer blocks whose attention follows the edges (Yi et al., NeurIPS 2023).

A block is the graph-aided attention, in which a node attends to those that it reads or is read by, then a grouped
feed-forward network on a residual that starts near zero. Tokens are one-hot operators and sine codes of attributes
and extents; pooling and head are NNLP's.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvm_narcost.models.graph_network import (
    CODED_WIDTH,
    GraphBatch,
    GraphNetwork,
    LatencyHead,
    both_ways,
    code_nodes,
    sum_over,
)

__all__ = ["NarFormerV2", "NarFormerV2Config"]


@dataclass(frozen=True)
class NarFormerV2Config:
    """Sizes of a NAR-Former V2.

    Attributes:
        width: of the blocks and of the head; the paper's is 512, which a CPU core does not train in minutes.
        blocks: graph-aided blocks.
        groups: of channels in the feed-forward network, each mixed by itself.
        feed_forward_ratio: hidden width of the feed-forward network over the width.
        dropout: behind every layer.
        residual_scale: what the scale of the feed-forward network's output starts at.
    """

    width: int = 128
    blocks: int = 2
    groups: int = 8
    feed_forward_ratio: int = 4
    dropout: float = 0.05
    residual_scale: float = 1e-4

    def __post_init__(self) -> None:
        if self.width % self.groups:
            raise ValueError(f"width {self.width}, expected a multiple of groups {self.groups}")


class GraphAidedAttention(nn.Module):
    """Linear attention over the edges: no softmax, and one projection for queries and keys."""

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__()
        self.degree = nn.Linear(1, entering)
        self.query_key = nn.Linear(entering, entering)
        self.neighbours = nn.Linear(entering, leaving)
        self.root = nn.Linear(entering, leaving, bias=False)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        source, target = edges
        degree = x.new_zeros(len(x), 1).index_add(0, target, x.new_ones(len(target), 1))
        x = x * torch.sigmoid(self.degree(degree))  # type-aware enhancement: how many neighbours tells kinds apart
        q = torch.sigmoid(self.query_key(x))  # [N, D]
        score = (q.index_select(0, target) * q.index_select(0, source)).mean(dim=1, keepdim=True)  # [E, 1], above 0
        total = sum_over(score * x.index_select(0, source), target, len(x))
        mixed = total / (sum_over(score, target, len(x)) + 1e-6)  # rows of the attention matrix sum to 1
        return F.normalize(self.neighbours(mixed) + self.root(x), dim=1)


class GroupedLinear(nn.Module):
    """A linear layer whose matrix is block-diagonal, each block's output normalised by itself."""

    def __init__(self, entering: int, leaving: int, groups: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, entering // groups, leaving // groups))
        self.bias = nn.Parameter(torch.zeros(groups, leaving // groups))
        self.norm = nn.LayerNorm(leaving // groups)
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        groups = len(self.weight)
        y = torch.einsum("ngi,gio->ngo", x.view(len(x), groups, -1), self.weight) + self.bias
        out: Tensor = self.norm(y)
        return out.flatten(1)


class Block(nn.Module):
    """Graph-aided attention and grouped feed-forward network; only the latter has a residual."""

    def __init__(self, config: NarFormerV2Config, entering: int) -> None:
        super().__init__()
        width, hidden = config.width, config.feed_forward_ratio * config.width
        self.attention = GraphAidedAttention(entering, width)
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            GroupedLinear(width, hidden, config.groups), nn.ReLU(), nn.Dropout(config.dropout),
            GroupedLinear(hidden, width, config.groups), nn.Dropout(config.dropout),
        )  # fmt: skip
        self.scale = nn.Parameter(torch.full((width,), config.residual_scale))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x = self.dropout(F.relu(self.attention(x, edges)))
        out: Tensor = x + self.scale * self.feed_forward(x)
        return out


class NarFormerV2(GraphNetwork):
    """Packed graphs -> the logarithm of each network's milliseconds."""

    def __init__(self, config: NarFormerV2Config) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(
            Block(config, config.width if index else CODED_WIDTH) for index in range(config.blocks)
        )
        self.head = LatencyHead(config.width, config.dropout)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Predict each network of the batch, [B]."""
        x, edges = code_nodes(batch.nodes), both_ways(batch.edges)
        for block in self.blocks:
            x = block(x, edges)  # [N, D]
        out: Tensor = self.head(x, batch.network, batch.static)
        return out
