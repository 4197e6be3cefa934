"""Micro-graphs: a few operators each, over whose fusion a compiler can win or lose much."""

from tvm_narcost.zoo.micro.elementwise import build_activation, build_broadcast, build_multi_consumer
from tvm_narcost.zoo.micro.images import build_concat, build_epilogue, build_pool_add, build_residual
from tvm_narcost.zoo.micro.layout import build_matmul, build_shuffle, build_transpose_reduce
from tvm_narcost.zoo.micro.rows import build_layer_norm, build_softmax

__all__ = [
    "build_activation", "build_broadcast", "build_concat", "build_epilogue", "build_layer_norm", "build_matmul",
    "build_multi_consumer", "build_pool_add", "build_residual", "build_shuffle", "build_softmax",
    "build_transpose_reduce",
]  # fmt: skip
