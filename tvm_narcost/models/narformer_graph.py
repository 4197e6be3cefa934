"""A trained NAR-Former of output ``kernels`` as an ONNX graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tvm_narcost.models.narformer_config import FARTHEST, NarFormerConfig

__all__ = ["OPSETS", "narformer_graph"]

ONNX_RUNTIME = "com.microsoft"  # domain of its own operators

OPSETS = (("", 20), (ONNX_RUNTIME, 1))
"""What the operators of the graph are of; 20 is the first with Gelu."""

_NONE = -1e4  # the logarithm of no token: no share of any query's attention


def narformer_graph(config: NarFormerConfig, weights: Mapping[str, NDArray[np.float32]]) -> onnx.GraphProto:
    """From ``tokens`` float32 [B, T, token_width] and ``weight`` float32 [B, T] to ``values`` float32 [B, T].

    Args:
        config: of the network.
        weights: its parameters and buffers by the names that they have in :class:`~tvm_narcost.models.narformer`.
    """
    return _Graph(config, weights).whole()


class _Graph:
    """The operators of one network, made in the order in which :mod:`~tvm_narcost.models.narformer` has them.

    Every method adds operators and returns the name of what the last one gives.
    """

    def __init__(self, config: NarFormerConfig, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.config = config
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def whole(self) -> onnx.GraphProto:
        standard = self.op("Div", self.op("Sub", "tokens", self.known("mean")), self.known("scale"))
        clipped = self.op("Clip", standard, self.constant(np.float32(-FARTHEST)), self.constant(np.float32(FARTHEST)))
        x = embedded = self.linear("embed", self.with_topology(clipped))
        keep = self.keep()
        for index in range(self.config.encoder_blocks):
            x = self.block(f"blocks.{index}", x, keep)
        self.head(embedded, x, keep)
        ends: dict[str, list[str | int]] = {
            "tokens": ["B", "T", self.config.token_width],
            "weight": ["B", "T"],
            "values": ["B", "T"],
        }
        *entering, leaving = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ends[name]) for name in ends]
        return helper.make_graph(self.nodes, "narformer", entering, [leaving], self.constants)

    def with_topology(self, tokens: str) -> str:
        """What of each token is embedded."""
        coded = self.config.topology_width
        if self.config.topology == "concat" or not coded:
            return tokens
        rest = self.config.token_width - coded
        if self.config.topology == "none":
            return self.columns(tokens, 0, rest)
        first = self.op("Add", self.columns(tokens, 0, coded), self.columns(tokens, rest, rest + coded))
        return self.op("Concat", first, self.columns(tokens, coded, rest), axis=-1)

    def head(self, embedded: str, x: str, keep: str) -> None:
        """The values; what stands for the whole network is multiplied once, not once a token."""
        width = self.config.model_width
        weight = self.weights["head.0.weight"].T  # [parts of width, width]
        hidden = self.product(self.op("Concat", embedded, x, axis=-1), weight[: 2 * width])
        if self.config.pooling != "none":
            hidden = self.op("Add", hidden, self.product(self.pool(x, keep), weight[2 * width :]))
        hidden = self.op("Gelu", self.op("Add", hidden, self.known("head.0.bias")))
        last = self.constant(np.array([-1]))
        self.nodes.append(helper.make_node("Squeeze", [self.linear("head.2", hidden), last], ["values"]))

    def pool(self, x: str, keep: str) -> str:
        """[B, T, D] -> [B, 1, D]."""
        if self.config.pooling == "mean":
            rows = self.constant(np.array([1]))
            weight = self.op("Unsqueeze", "weight", self.constant(np.array([2])))
            total = self.op("ReduceSum", self.op("Mul", x, weight), rows)
            return self.op("Div", total, self.op("ReduceSum", weight, rows))
        fused, fused_keep = x, keep
        for index in range(len(self.config.fusion_queries)):
            fused, fused_keep = self.fusion_stage(f"stages.{index}", fused, fused_keep, x, keep), ""
        return fused

    def fusion_stage(self, name: str, before: str, before_keep: str, tokens: str, keep: str) -> str:
        queries = self.weights[f"{name}.queries"]  # [1, N_k, D], the same for every network of the batch
        batch = self.op("Shape", tokens, start=0, end=1)
        shape = self.op("Concat", batch, self.constant(np.array(queries.shape[1:])), axis=0)
        x = self.block(f"{name}.aggregate", self.op("Expand", self.constant(queries), shape), before_keep, before)
        return self.block(f"{name}.fuse", self.block(f"{name}.standard", x, ""), keep, tokens)

    def block(self, name: str, x: str, keep: str, memory: str = "") -> str:
        query = self.norm(f"{name}.query_norm", x)
        source = self.norm(f"{name}.memory_norm", memory) if memory else query
        x = self.op("Add", x, self.attention(f"{name}.attention", query, source, keep))
        hidden = self.linear(f"{name}.feed_forward.1", self.norm(f"{name}.feed_forward.0", x))
        return self.op("Add", x, self.linear(f"{name}.feed_forward.3", self.op("Gelu", hidden)))

    def attention(self, name: str, x: str, memory: str, keep: str) -> str:
        """ONNX Runtime's own operator, which never holds what every query makes of every key, if nothing masks them.

        So each head gets a column besides: what undoes the scale in a query, and ``keep`` in a key, which their product
        has added to it so.
        """
        width, heads = self.config.model_width, self.config.heads
        entering, bias = self.weights[f"{name}.key_value.weight"].T, self.weights[f"{name}.key_value.bias"]
        scale = (width // heads) ** 0.5
        query = self.heads(x, self.weights[f"{name}.query.weight"].T, self.weights[f"{name}.query.bias"], last=scale)
        key = self.heads(memory, entering[:, :width], bias[:width])
        value = self.heads(memory, entering[:, width:], bias[width:])
        joined = self.op(
            "MultiHeadAttention", query, self.op("Add", key, keep) if keep else key, value,
            domain=ONNX_RUNTIME, num_heads=heads, scale=1 / scale,
        )  # fmt: skip
        leaving = self.with_column(self.weights[f"{name}.out.weight"]).T  # of what the column gives, nothing is left
        return self.op("Add", self.product(joined, leaving), self.known(f"{name}.out.bias"))

    def heads(self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32], last: float = 0.0) -> str:
        """[B, T, D] -> [B, T, H * (D/H + 1)], ``last`` in the last column of every head."""
        wide = self.with_column(bias[None], last)[0]
        return self.op("Add", self.product(x, self.with_column(weight)), self.constant(wide))

    def with_column(self, rows: NDArray[np.float32], value: float = 0.0) -> NDArray[np.float32]:
        """[rows, H * D/H] -> [rows, H * (D/H + 1)]."""
        by_head = rows.reshape(len(rows), self.config.heads, -1)
        return np.pad(by_head, ((0, 0), (0, 0), (0, 1)), constant_values=value).reshape(len(rows), -1)

    def keep(self) -> str:
        """[B, T, H * (D/H + 1)]: in the last column of every head the logarithm of how many a token stands for."""
        last = self.with_column(np.zeros((1, self.config.model_width), np.float32), 1.0)
        counted = self.op("Clip", self.op("Log", "weight"), self.constant(np.float32(_NONE)))
        return self.op("Mul", self.op("Unsqueeze", counted, self.constant(np.array([2]))), self.constant(last[0]))

    def columns(self, x: str, first: int, behind: int) -> str:
        """Columns ``first`` to ``behind`` of the last axis."""
        return self.op("Slice", x, *(self.constant(np.array([place])) for place in (first, behind, -1)))

    def norm(self, name: str, x: str) -> str:
        return self.op("LayerNormalization", x, self.known(f"{name}.weight"), self.known(f"{name}.bias"), epsilon=1e-5)

    def linear(self, name: str, x: str) -> str:
        return self.op("Add", self.product(x, self.weights[f"{name}.weight"].T), self.known(f"{name}.bias"))

    def product(self, x: str, weight: NDArray[np.float32]) -> str:
        return self.op("MatMul", x, self.constant(np.ascontiguousarray(weight)))

    def known(self, name: str) -> str:
        """A parameter by its name in the network."""
        return self.constant(self.weights[name])

    def constant(self, value: NDArray[Any] | np.float32) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name
