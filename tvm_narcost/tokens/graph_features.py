"""Features of an operator graph, as graph networks that predict latency read them (NNLQP, ICPP 2022, section 6).

A node is an operator as it stands in the file: one-hot operator, eight attribute slots, four extents of its output.
A network has, beside its nodes and edges, four static features: batch, FLOPs, parameters, memory traffic.

The slots and extents are those of NNLQP, but every quantity is log2(1 + x) / 8 here: NNLQP centres raw values on the
mean of its own data set, and its later users code raw integers as sines. Logarithms need no data set, keep a width of
64 and one of 2,048 equally far from their doubles, and no quantity of 64 bits exceeds 8.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relay_frontend.costs import graph_cost
from relay_frontend.graph import OpGraph
from tvm_narcost.tokens import paper

__all__ = [
    "DOUBLINGS", "NODE_WIDTH", "OPERATORS", "QUANTITIES", "STATIC_WIDTH", "GraphFeatures", "encode_features",
]  # fmt: skip

# NNLQP's 28 operators; behind them what networks of other kinds are written with.
OPERATORS = (
    *paper.OPERATORS,
    "Gather", "Squeeze", "Unsqueeze", "Pad", "Resize", "Expand", "Where", "SpaceToDepth", "DepthToSpace", "Identity",
    "LayerNormalization", "InstanceNormalization", "GroupNormalization", "LRN", "GlobalMaxPool", "ReduceSum",
    "ReduceMax", "ReduceL2", "Sum", "Max", "Min", "Neg", "Abs", "Exp", "Erf", "Gelu", "HardSigmoid", "HardSwish",
    "LeakyRelu", "PRelu", "Elu", "Selu", "Softplus", "Softsign", "ReduceMin", "CumSum", "TopK", "Tile", "Einsum",
    "Reciprocal", "Log", "Less", "Greater",
)  # fmt: skip
QUANTITIES = paper.ATTRIBUTES + paper.EXTENTS
NODE_WIDTH = len(OPERATORS) + QUANTITIES
STATIC_WIDTH = 4
DOUBLINGS = 8.0  # a quantity of 2**8 is coded as 1

_INDEX = {name: position for position, name in enumerate(OPERATORS)}
_MOST = 2.0**64


@dataclass(frozen=True)
class GraphFeatures:
    """What graph networks read of one network.

    Attributes:
        nodes: float32 [nodes, NODE_WIDTH]: one-hot operator (zeros for one outside ``OPERATORS``), then ``QUANTITIES``
            numbers from 0 to 8.
        edges: int64 [2, edges]: from a node to one that reads it; each pair once, no parameters, no graph inputs.
        static: float32 [STATIC_WIDTH]: batch, FLOPs, parameters and bytes of memory traffic, each from 0 to 8.
    """

    nodes: NDArray[np.float32]
    edges: NDArray[np.int64]
    static: NDArray[np.float32]


def encode_features(graph: OpGraph) -> GraphFeatures:
    """Encode a network as read from its file; linear in nodes and edges.

    Raises:
        FrontendError: an operator is not in the operator table or does not fit its types; its costs are unknown.
    """
    nodes = np.zeros((len(graph.nodes), NODE_WIDTH), np.float32)
    raw = np.zeros((len(graph.nodes), QUANTITIES))
    for index, node in enumerate(graph.nodes):
        if node.op in _INDEX:
            nodes[index, _INDEX[node.op]] = 1.0
        attributes = paper.attribute_slots(node)[: paper.ATTRIBUTES]
        raw[index, : len(attributes)] = attributes
        extents = node.outputs[0].shape[: paper.EXTENTS] if node.outputs else ()
        raw[index, paper.ATTRIBUTES : paper.ATTRIBUTES + len(extents)] = extents
    nodes[:, len(OPERATORS) :] = _scaled(raw)
    pairs = [(source, reader) for reader in range(len(graph.nodes)) for source in graph.predecessors(reader)]
    edges = np.array(pairs, np.int64).reshape(-1, 2).T
    return GraphFeatures(nodes, np.ascontiguousarray(edges), _static(graph))


def _scaled(raw: NDArray[np.float64]) -> NDArray[np.float32]:
    """Zero and below, such as a negative pad, are 0."""
    scaled: NDArray[np.float32] = (np.log2(1 + raw.clip(0.0, _MOST - 1)) / DOUBLINGS).astype(np.float32)
    return scaled


def _static(graph: OpGraph) -> NDArray[np.float32]:
    cost = graph_cost(graph)
    shape = graph.inputs[0][1].shape if graph.inputs else ()
    return _scaled(np.array([shape[0] if shape else 1, cost.flops, cost.parameters, cost.memory_bytes], float))
