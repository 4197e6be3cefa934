"""What the graph networks share: packed batches, aggregation over edges, NNLQP's head, and the LatencyModel.

The nodes of all networks of a batch stand one behind the other and nothing is padded: edges never cross from one
network to another, and an index says which network a node is of.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.predictor import Prediction
from tvm_narcost.tokens.graph_features import (
    DOUBLINGS,
    OPERATORS,
    QUANTITIES,
    STATIC_WIDTH,
    GraphFeatures,
    encode_features,
)

__all__ = [
    "CODE", "CODED_WIDTH", "GraphBatch", "GraphLatency", "GraphNetwork", "LatencyHead", "both_ways", "code_nodes",
    "code_quantities", "collate_graphs", "sum_over",
]  # fmt: skip

# Sines of these periods, in doublings: a finer one tells neighbouring widths apart, the longest is monotonous over all.
_PERIODS = (4.0, 8.0, 16.0, 32.0, 64.0)
CODE = 2 * len(_PERIODS)  # width of a coded quantity
CODED_WIDTH = len(OPERATORS) + QUANTITIES * CODE

_BATCH = 32  # networks that are predicted together


@dataclass(frozen=True)
class GraphBatch:
    """Several networks: nodes float32 [N, NODE_WIDTH], edges int64 [2, E], network int64 [N], static [B, 4]."""

    nodes: Tensor
    edges: Tensor
    network: Tensor
    static: Tensor


def collate_graphs(features: Sequence[GraphFeatures]) -> GraphBatch:
    """Pack several networks into one batch."""
    sizes = np.array([len(graph.nodes) for graph in features])
    first = np.concatenate([[0], sizes.cumsum()[:-1]])
    return GraphBatch(
        torch.from_numpy(np.concatenate([graph.nodes for graph in features])),
        torch.from_numpy(np.concatenate([graph.edges + at for graph, at in zip(features, first, strict=True)], axis=1)),
        torch.from_numpy(np.repeat(np.arange(len(features)), sizes)),
        torch.from_numpy(np.stack([graph.static for graph in features])),
    )


def both_ways(edges: Tensor) -> Tensor:
    """Edges [2, E] and their reverse, [2, 2E]: NNLQP and NAR-Former V2 forget the direction."""
    return torch.cat([edges, edges.flip(0)], dim=1)


def sum_over(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum the rows [R, D] that share an index, [size, D]."""
    return values.new_zeros(size, *values.shape[1:]).index_add(0, index, values)


def code_quantities(values: Tensor) -> Tensor:
    """Sines and cosines of log-scaled quantities [..., Q], [..., Q x CODE]."""
    periods = torch.tensor(_PERIODS, dtype=values.dtype) / DOUBLINGS
    angle = values[..., None] * (2 * torch.pi / periods)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def code_nodes(nodes: Tensor) -> Tensor:
    """Tokens of NAR-Former V2: one-hot operator as it is, attributes and extents coded; [N, CODED_WIDTH]."""
    one_hot, quantities = nodes.split([len(OPERATORS), QUANTITIES], dim=1)
    return torch.cat([one_hot, code_quantities(quantities)], dim=1)


class LatencyHead(nn.Module):
    """NNLP's head: sum over the nodes, beside it the static features; three layers to one number a network.

    The sum goes through asinh, which is the identity near zero and a logarithm far from it. NNLP's head gives
    milliseconds, of which a sum over nodes is a fair picture; this one gives their logarithm.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(STATIC_WIDTH))
        self.register_buffer("scale", torch.ones(STATIC_WIDTH))
        self.static = nn.Sequential(nn.Linear(STATIC_WIDTH, width), nn.Dropout(dropout), nn.ReLU())
        self.layers = nn.Sequential(
            nn.Linear(2 * width, width), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout),
        )  # fmt: skip
        self.out = nn.Linear(width, 1)

    def start_at(self, static: Tensor, logs: Tensor) -> None:
        """Before training: standardise by static features [n, STATIC_WIDTH], predict about the mean of logs [n]."""
        deviation = static.std(dim=0, correction=0)
        self.mean.copy_(static.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 1e-4, deviation, torch.ones_like(deviation)))
        nn.init.constant_(self.out.bias, float(logs.mean()))

    def forward(self, x: Tensor, network: Tensor, static: Tensor) -> Tensor:
        """Nodes [N, width], network of each [N], static features [B, STATIC_WIDTH] -> [B]."""
        pooled = sum_over(x, network, len(static)).asinh()  # [B, width]
        known = self.static((static - self.mean) / self.scale)
        out: Tensor = self.out(self.layers(torch.cat([pooled, known], dim=1)))
        return out[:, 0]


class GraphNetwork(nn.Module):
    """Packed graphs -> the logarithm of each network's milliseconds, [B]; the base of the three."""

    head: LatencyHead


@dataclass(frozen=True)
class GraphLatency:
    """A trained graph network; it knows neither plan nor kernels."""

    network: GraphNetwork

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        """See :class:`tvm_narcost.predictor.LatencyModel`; the profile is the one that it was trained on."""
        latencies_ms = self.latencies_ms([encode_features(graph) for graph in graphs])
        return [
            Prediction.of_point(latency_ms, plan.planner) for latency_ms, plan in zip(latencies_ms, plans, strict=True)
        ]

    def latencies_ms(self, features: Sequence[GraphFeatures]) -> list[float]:
        """Predicted latency of each encoded network."""
        logs: list[float] = []
        with torch.inference_mode():
            for first in range(0, len(features), _BATCH):
                logs += self.network(collate_graphs(features[first : first + _BATCH])).double().tolist()
        return [math.exp(log) for log in logs]
