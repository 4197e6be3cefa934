"""NNLP, the predictor of NNLQP: two GraphSAGE layers, a sum over nodes, static features (Liu et al., ICPP 2022).

A layer is W1 x_i + W2 mean of x_j over the nodes that i reads or is read by, scaled to unit length, then ReLU.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from tvm_narcost.models.graph_network import GraphBatch, GraphNetwork, LatencyHead, both_ways, sum_over
from tvm_narcost.tokens.graph_features import NODE_WIDTH

__all__ = ["Nnlp", "NnlpConfig"]


@dataclass(frozen=True)
class NnlpConfig:
    """Sizes of NNLP.

    Attributes:
        width: of the layers and of the head; the paper's is 512, which a CPU core does not train in minutes.
        layers: GraphSAGE layers.
        dropout: behind every layer.
    """

    width: int = 256
    layers: int = 2
    dropout: float = 0.05


class SageLayer(nn.Module):
    """GraphSAGE with the mean as aggregator and unit length as norm (Hamilton et al., 2017, algorithm 1)."""

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__()
        self.neighbours = nn.Linear(entering, leaving)
        self.root = nn.Linear(entering, leaving, bias=False)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        source, target = edges
        total = sum_over(x.index_select(0, source), target, len(x))  # [N, D]
        degree = x.new_zeros(len(x), 1).index_add(0, target, x.new_ones(len(target), 1))
        mean = total / degree.clamp_min(1)
        return F.normalize(self.neighbours(mean) + self.root(x), dim=1)


class Nnlp(GraphNetwork):
    """Packed graphs -> the logarithm of each network's milliseconds."""

    def __init__(self, config: NnlpConfig) -> None:
        super().__init__()
        self.config = config
        widths = [NODE_WIDTH] + [config.width] * config.layers
        self.layers = nn.ModuleList(SageLayer(entering, leaving) for entering, leaving in pairwise(widths))
        self.dropout = nn.Dropout(config.dropout)
        self.head = LatencyHead(config.width, config.dropout)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Predict each network of the batch, [B]."""
        x, edges = batch.nodes, both_ways(batch.edges)
        for layer in self.layers:
            x = self.dropout(F.relu(layer(x, edges)))  # [N, D]
        out: Tensor = self.head(x, batch.network, batch.static)
        return out
