"""Schema ``paper``: NAR-Former's 960-wide token of one operator, as published for whole networks (section 4.6).

A token is [operator | 8 attributes | 4 output extents | source position | self position], 64 values each; every scalar
p is coded as sin(b p pi), cos(b p pi) over 32 frequencies b (equation 3). Token 0 stands for the network's input.

The frequencies are linspace(1, 2**31, 32): linear, not powers of two (equation 4). In float64 they repeat with period
62 and different integers share a code; in float32 rounding acts as a hash that gives every integer from 0 to 245 a
code of its own. So this schema is computed in float32, on purpose, and a test states both facts.

The paper leaves the depth token's frequencies open at this width: 480 of them up to 2**479 do not exist in float32.
Here they are 480 from 1 to 2**31.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relay_frontend.costs import graph_cost
from relay_frontend.graph import OpGraph, OpNode
from tvm_narcost.tokens.sequence import TokenSequence

__all__ = [
    "ATTRIBUTES", "END", "EXTENTS", "NAME", "OPERATORS", "STATIC_WIDTH", "VERSION", "WIDTH", "PaperTokens",
    "attribute_slots", "code", "encode_graph",
]  # fmt: skip

NAME = "paper"
VERSION = 1

OPERATORS = (
    "Conv", "Relu", "Add", "Sigmoid", "Reshape", "MaxPool", "Split", "GlobalAveragePool", "Gemm", "Transpose",
    "Upsample", "BatchNormalization", "Mul", "Concat", "Flatten", "AveragePool", "Cast", "MatMul", "ReduceMean", "Pow",
    "Slice", "Div", "Sub", "Sqrt", "Clip", "Softmax", "Tanh", "ConvTranspose",
)  # fmt: skip
END = 1e5  # what every field of the end token codes

ATTRIBUTES, EXTENTS = 8, 4  # slots of an operator

_CODE = 64
_FIELDS = 1 + ATTRIBUTES + EXTENTS  # the scalars of an operator; source and self position follow
WIDTH = (_FIELDS + 2) * _CODE
STATIC_WIDTH = 4 * _CODE

_FREQUENCIES = np.linspace(1.0, 2.0**31, _CODE // 2).astype(np.float32)
_DEPTH_FREQUENCIES = np.linspace(1.0, 2.0**31, WIDTH // 2).astype(np.float32)
_OPERATOR_INDEX = {name: position + 1 for position, name in enumerate(OPERATORS)}


@dataclass(frozen=True)
class PaperTokens:
    """What the paper's model reads of one network.

    Attributes:
        sequence: input, operators and end token, float32 [nodes + 2, 960].
        depth_code: the coded node count, float32 [960]; the model appends it as the depth token.
        static: coded batch, FLOPs, parameters and memory, the last three in 1e9, float32 [256].
    """

    sequence: TokenSequence
    depth_code: NDArray[np.float32]
    static: NDArray[np.float32]


def code(values: NDArray[np.float32], frequencies: NDArray[np.float32] = _FREQUENCIES) -> NDArray[np.float32]:
    """Code scalars [...] as [..., 2 x frequencies], sine and cosine of each frequency side by side."""
    angle = (values.astype(np.float32)[..., None] * frequencies) * np.float32(np.pi)
    pairs = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    return pairs.reshape(*values.shape, 2 * len(frequencies))


def encode_graph(graph: OpGraph) -> PaperTokens:
    """Encode a network as read from its file; linear in nodes and edges."""
    nodes = len(graph.nodes) + 1  # with the input
    scalars = np.zeros((nodes, _FIELDS), np.float32)
    if graph.inputs:
        scalars[0, 1 + ATTRIBUTES :] = _extents(graph.inputs[0][1].shape)
    for index, node in enumerate(graph.nodes):
        scalars[index + 1] = _scalars(node)
    coded = _code_unique(scalars)  # [nodes, fields, 64]
    coded[scalars[:, 0] == 0, 0] = 0.0  # an operator outside the table has no code
    position = code(np.arange(nodes, dtype=np.float32))
    values = np.empty((nodes + 1, WIDTH), np.float32)
    values[:nodes, : _FIELDS * _CODE] = coded.reshape(nodes, -1)
    values[:nodes, _FIELDS * _CODE : -_CODE] = _source_code(graph, position)
    values[:nodes, -_CODE:] = position
    values[nodes] = np.tile(code(np.array([END], np.float32))[0], WIDTH // _CODE)
    depth_code = code(np.array([nodes], np.float32), _DEPTH_FREQUENCIES)[0]
    return PaperTokens(TokenSequence(values, NAME, VERSION), depth_code, _static(graph))


def _code_unique(scalars: NDArray[np.float32]) -> NDArray[np.float32]:
    """Code each distinct value once: a network repeats few kernel sizes and widths many times."""
    distinct, where = np.unique(scalars, return_inverse=True)
    return code(distinct)[where.reshape(scalars.shape)]


def _scalars(node: OpNode) -> NDArray[np.float32]:
    row = np.zeros(_FIELDS, np.float32)
    row[0] = _OPERATOR_INDEX.get(node.op, 0)
    found = attribute_slots(node)[:ATTRIBUTES]
    row[1 : 1 + len(found)] = found
    if node.outputs:
        row[1 + ATTRIBUTES :] = _extents(node.outputs[0].shape)
    return row


def attribute_slots(node: OpNode) -> tuple[float, ...]:
    """Attributes of an operator, raw; of a tuple only the first element, but for a permutation. NNLQP's table."""
    attributes = node.attribute_map

    def first(name: str, default: int) -> float:
        value = attributes.get(name, default)
        value = (value[0] if value else default) if isinstance(value, tuple) else value
        return float(value) if isinstance(value, int | float) else float(default)

    has_bias = float(len(node.inputs) > 2)
    if node.op in ("Conv", "ConvTranspose"):
        window = (first("kernel_shape", 1), first("strides", 1), first("pads", 0))
        return (*window, first("dilations", 1), first("group", 1), has_bias)
    if node.op in ("MaxPool", "AveragePool"):
        return (first("kernel_shape", 1), first("strides", 1), first("pads", 0))
    if node.op == "Gemm":
        return (has_bias,)
    if node.op == "Transpose":
        permutation = attributes.get("perm", ())
        return tuple(float(axis) for axis in permutation) if isinstance(permutation, tuple) else ()
    return ()


def _extents(shape: tuple[int, ...]) -> NDArray[np.float32]:
    row = np.zeros(EXTENTS, np.float32)
    row[: min(len(shape), EXTENTS)] = shape[:EXTENTS]
    return row


def _source_code(graph: OpGraph, position: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum of the position codes of what each node reads (equation 8); -1 for the input, 0 for its first readers."""
    coded = np.zeros_like(position)
    coded[0] = code(np.array([-1], np.float32))[0]
    readers, sources = [], []
    for index, node in enumerate(graph.nodes):
        found = {edge.source + 1 for edge in node.inputs if edge.source >= -1} or {0}
        readers += [index + 1] * len(found)
        sources += sorted(found)
    np.add.at(coded, np.array(readers, np.intp), position[np.array(sources, np.intp)])
    return coded


def _static(graph: OpGraph) -> NDArray[np.float32]:
    cost = graph_cost(graph)
    shape = graph.inputs[0][1].shape if graph.inputs else ()
    batch = shape[0] if shape else 1
    facts = np.array([batch, cost.flops / 1e9, cost.parameters / 1e9, cost.memory_bytes / 1e9], np.float32)
    return code(facts).reshape(-1)
