"""Schema ``default``: one token a kernel, well conditioned, at most 160 wide.

A token is [operator | category | fused activation | log-scaled quantities | self position | source position].
Topology is coded as in NAR-Former (section 3.2): where the kernel stands, concatenated with the sum over the kernels
that it reads from of where they stand. Unlike the paper's, the frequencies are geometric over a stated range of
positions, so that codes are smooth in float32 and float64 alike.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from tvm_narcost.tokens.facts import COLUMNS, KernelFacts
from tvm_narcost.tokens.roofline import Roofline, roofline
from tvm_narcost.tokens.sequence import TokenSequence

__all__ = [
    "ACTIVATIONS", "CATEGORIES", "NAME", "OPERATORS", "QUANTITIES", "TOPOLOGY_WIDTH", "VERSION", "WIDTH",
    "encode_kernels",
]  # fmt: skip

NAME = "default"
VERSION = 3

OPERATORS = (
    "Conv", "ConvTranspose", "MatMul", "Gemm", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
    "BatchNormalization", "LayerNormalization", "SkipLayerNormalization", "InstanceNormalization",
    "GroupNormalization", "LRN", "Softmax", "ReduceMean", "ReduceSum", "ReduceMax", "Add", "Sub", "Mul", "Div", "Pow",
    "Sum", "Relu", "LeakyRelu", "PRelu", "Elu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Erf", "Exp",
    "Sqrt", "Gelu", "BiasGelu", "FastGelu", "QuickGelu", "Transpose", "Concat", "Split", "Slice", "Gather", "Pad",
    "Expand", "Where", "Reshape", "ReorderInput", "ReorderOutput", "Resize", "Cast", "Attention",
    "SimplifiedLayerNormalization", "LogSoftmax", "CumSum", "TopK", "Softplus", "Log", "Einsum", "GatherND", "Tile",
    "DepthToSpace", "SpaceToDepth",
)  # fmt: skip
CATEGORIES = (
    "convolution", "matmul", "pooling", "normalization", "softmax", "reduction", "elementwise", "activation",
    "data_movement", "view", "layout", "resize", "attention",
)  # fmt: skip
ACTIVATIONS = ("Relu", "Clip", "Sigmoid", "HardSigmoid", "Tanh", "LeakyRelu")

_FLAGS = (
    "single_axis", "broadcast", "blocked", "generic", "fused_sum", "constant_operand", "transposed_operands",
    "from_graph_input",
)  # fmt: skip
_LOGGED = tuple(name for name in COLUMNS if name not in _FLAGS)
_DERIVED = (
    "compute_us", "memory_us", "roofline_us", "intensity", "in_channel_waste", "out_channel_waste",
    "out_channel_waste_4", "out_w_waste_6", "n_waste", "n_waste_2", "m_waste_6", "working_set_l2", "working_set_l3",
    "network_footprint_l3",
)  # fmt: skip
QUANTITIES = (*_LOGGED, *_FLAGS, *_DERIVED)

_POSITIONS = 4096.0  # the range of positions over which the frequencies are spread
_FREQUENCIES = 2 * np.pi / np.geomspace(4.0, 2 * _POSITIONS, 4)
_BLOCK = 16  # channels in a block of a 512-bit vector

# ONNX Runtime's plan says which kernels run on blocked channels. OpenVINO's oneDNN blocks them inside a kernel, and its
# plan has no word for it: told otherwise, a model of the one takes the other's convolutions for slow plain ones.
_BLOCKS_INSIDE = {"openvino": ("convolution", "pooling")}

TOPOLOGY_WIDTH = 4 * len(_FREQUENCIES)
"""The last columns: where the kernel stands, and where its sources stand."""

WIDTH = len(OPERATORS) + len(CATEGORIES) + len(ACTIVATIONS) + len(QUANTITIES) + TOPOLOGY_WIDTH


def encode_kernels(facts: KernelFacts, profile: HardwareProfile, bounds: Roofline | None = None) -> TokenSequence:
    """Encode every kernel of a plan; float32 [kernels, WIDTH], linear in kernels and edges.

    ``bounds`` are those of :func:`roofline`, where the caller has them already.
    """
    bounds = bounds or roofline(facts, profile)
    position = _position_code(np.arange(len(facts)))
    values = np.concatenate(
        [
            _one_hot(facts.ops, OPERATORS),
            _one_hot(facts.categories, CATEGORIES),
            _one_hot(facts.activations, ACTIVATIONS),
            _quantities(facts, bounds, profile),
            position,
            _source_code(facts, position),
        ],
        axis=1,
    )
    return TokenSequence(values.astype(np.float32), NAME, VERSION)


def _one_hot(names: tuple[str, ...], vocabulary: tuple[str, ...]) -> NDArray[np.float64]:
    """[kernels, vocabulary]; a name outside the vocabulary is a row of zeros."""
    index = _vocabulary_index(vocabulary)
    codes = np.array([index.get(name, len(vocabulary)) for name in names], dtype=np.intp)
    return np.eye(len(vocabulary) + 1)[codes, :-1]


@functools.cache
def _vocabulary_index(vocabulary: tuple[str, ...]) -> dict[str, int]:
    return {name: position for position, name in enumerate(vocabulary)}


def _quantities(facts: KernelFacts, bounds: Roofline, profile: HardwareProfile) -> NDArray[np.float64]:
    """[kernels, QUANTITIES]: counts as log2(1 + x), flags as they are."""
    flops, device = facts.column("flops"), profile.device
    last_cache_bytes = device.l3_bytes or device.l2_bytes
    moved = facts.column("input_bytes") + facts.column("parameter_bytes") + facts.column("output_bytes")
    ones = np.ones(len(facts))
    footprint = facts.column("parameter_bytes").sum() + facts.column("output_bytes").max(initial=0.0)
    derived = (
        np.log2(bounds.compute_us + 1e-3),
        np.log2(bounds.memory_us + 1e-3),
        np.log2(bounds.yardstick_us),
        np.log2(1 + flops / np.maximum(moved, 1)),
        _waste(facts.column("in_channels"), _BLOCK),
        _waste(facts.column("out_channels"), _BLOCK),
        _waste(facts.column("out_channels"), 4 * _BLOCK),
        _waste(facts.column("out_w"), 6),
        _waste(facts.column("n"), _BLOCK),
        _waste(facts.column("n"), 2 * _BLOCK),
        _waste(facts.column("m"), 6),
        np.log2(1 + moved / device.l2_bytes),
        np.log2(1 + moved / last_cache_bytes),
        np.log2(1 + footprint / last_cache_bytes) * ones,
    )
    logged = np.log2(1 + np.stack([facts.column(name) for name in _LOGGED], axis=1))
    flags = np.stack([facts.column(name) for name in _FLAGS], axis=1)
    inside = _BLOCKS_INSIDE.get(profile.runtime.name, ())
    blocked = _FLAGS.index("blocked")
    flags[:, blocked] = np.maximum(flags[:, blocked], [category in inside for category in facts.categories])
    return np.concatenate([logged, flags, np.stack(derived, axis=1)], axis=1)


def _waste(extent: NDArray[np.float64], tile: int) -> NDArray[np.float64]:
    """Share of a padded extent that is padding, when the extent is cut into tiles; 0 where it fits.

    The tiles are those of matrix kernels on x86: one, two or four vector blocks of channels, six rows or pixels.
    """
    padded = np.ceil(extent / tile) * tile
    waste: NDArray[np.float64] = 1 - extent / np.maximum(padded, 1)
    return waste


def _position_code(position: NDArray[np.intp]) -> NDArray[np.float64]:
    """[kernels, 2 x frequencies] sines and cosines of where each kernel stands."""
    angle = position[:, None] * _FREQUENCIES
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def _source_code(facts: KernelFacts, position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the position codes of the kernels that each kernel reads from (paper, equation 8)."""
    coded = np.zeros_like(position)
    counts = [len(found) for found in facts.sources]
    if sum(counts):
        reader = np.repeat(np.arange(len(counts)), counts)
        source = np.fromiter((index for found in facts.sources for index in found), np.intp, sum(counts))
        np.add.at(coded, reader, position[source])
    return coded
