"""A coarse guess at the time of an operator on one CPU core; it only spreads the networks of the zoo over sizes."""

import math

__all__ = ["FREE_OPERATORS", "coarse_cost_us"]

# Fused into the operator before them, or views of their input.
FREE_OPERATORS = frozenset(
    {"BatchNormalization", "Clip", "Dropout", "Flatten", "Identity", "LeakyRelu", "Relu", "Reshape", "Squeeze",
     "Unsqueeze"}
)  # fmt: skip

_FLOPS_PER_US = {"Conv": 140e3, "ConvTranspose": 60e3, "MatMul": 200e3, "Gemm": 200e3}
_CACHED_BYTES_PER_US = 40e3
_STREAMED_BYTES_PER_US = 12e3
_CACHE_BYTES = 8e6
_OVERHEAD_US = 2.0
_ELEMENTS_PER_US = {
    "Erf": 2000.0, "Tanh": 2000.0, "Sigmoid": 1500.0, "Softmax": 1500.0, "Transpose": 1500.0, "LRN": 100.0,
    "Pow": 2000.0, "Resize": 300.0, "Upsample": 300.0, "HardSwish": 600.0, "Gelu": 1000.0, "HardSigmoid": 800.0,
    "LayerNormalization": 1500.0,
}  # fmt: skip


def coarse_cost_us(op_type: str, flops: float, moved_bytes: float, output_elements: int) -> float:
    """Microseconds of one operator: the larger of its arithmetic and its traffic, and a fixed overhead.

    Args:
        op_type: ONNX operator.
        flops: 2 per multiply-accumulate.
        moved_bytes: inputs, weights and outputs.
        output_elements: elements of the outputs.
    """
    if op_type in FREE_OPERATORS:
        return 0.5
    bandwidth = _CACHED_BYTES_PER_US if moved_bytes < _CACHE_BYTES else _STREAMED_BYTES_PER_US
    slow_elements_us = output_elements / _ELEMENTS_PER_US.get(op_type, math.inf)
    return max(flops / _FLOPS_PER_US.get(op_type, 100e3), moved_bytes / bandwidth, slow_elements_us) + _OVERHEAD_US
