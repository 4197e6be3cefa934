"""How one network spells what exporters write in several ways; drawn once a network, so that it stays consistent."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

__all__ = ["Spelling", "draw_spelling"]


@dataclass(frozen=True, slots=True)
class Spelling:
    """The choices of one exporter.

    Attributes:
        opset: version of the default operator set, 9 to 21.
        ir_version: of the file; 3 lists the initializers among the graph's inputs, as old Caffe2 exports do.
        norm: ``batch_norm`` keeps BatchNormalization, ``bias`` has it folded into the convolution already,
            ``caffe`` follows it by Mul and Add with an Unsqueeze'd scale and shift.
        residual: operator that adds a skip connection.
        flatten: operator that turns [n, c, 1, 1] into [n, c].
        global_pool: operator that averages over all positions.
        padding: ``pads`` symmetric, ``same_upper`` by auto_pad, ``asymmetric`` the pads that SAME_UPPER comes to.
        linear: fully connected layer as Gemm, or as MatMul and Add.
        hard_swish: one operator, HardSigmoid and Mul, or Add, Clip, Mul, Div.
        layer_norm: one operator, or ReduceMean, Sub, Pow, Sqrt, Div.
        gelu: one operator, the Erf chain or the Tanh chain.
        constants: small tensors as initializers or as Constant nodes.
        dropout: Dropout is left in the graph.
        final_softmax: the classifier ends with Softmax.
        fused_qkv: one projection for query, key and value.
    """

    opset: int
    ir_version: int
    norm: Literal["batch_norm", "bias", "caffe"]
    residual: Literal["Add", "Sum"]
    flatten: Literal["Flatten", "Reshape", "Squeeze"]
    global_pool: Literal["GlobalAveragePool", "ReduceMean", "AveragePool"]
    padding: Literal["pads", "same_upper", "asymmetric"]
    linear: Literal["Gemm", "MatMul"]
    hard_swish: Literal["op", "hard_sigmoid", "clip"]
    layer_norm: Literal["op", "chain"]
    gelu: Literal["op", "erf", "tanh"]
    constants: Literal["initializer", "node"]
    dropout: bool
    final_softmax: bool
    fused_qkv: bool


_T = TypeVar("_T")

_IR_OF_OPSET = {9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}


def _pick(rng: random.Random, choices: Sequence[_T], weights: Sequence[float]) -> _T:
    return rng.choices(choices, weights)[0]


def draw_spelling(rng: random.Random) -> Spelling:
    """Draw the choices of one network; an operator is chosen only where the opset has it."""
    opset = rng.choice([9, 9, 10, 11, 12, 13, 13, 14, 15, 16, 17, 17, 18, 18, 19, 20, 21])
    ir_version = 3 if opset == 9 and rng.random() < 0.5 else _IR_OF_OPSET[opset]
    return Spelling(
        opset=opset,
        ir_version=ir_version,
        norm=_pick(rng, ["batch_norm", "bias", "caffe"], [0.62, 0.3, 0.08]),
        residual=_pick(rng, ["Add", "Sum"], [0.75, 0.25]),
        flatten=_pick(rng, ["Flatten", "Reshape", "Squeeze"], [0.5, 0.35, 0.15]),
        global_pool=_pick(rng, ["GlobalAveragePool", "ReduceMean", "AveragePool"], [0.6, 0.2, 0.2]),
        padding=_pick(rng, ["pads", "same_upper", "asymmetric"], [0.8, 0.1, 0.1]),
        linear=_pick(rng, ["Gemm", "MatMul"], [0.7, 0.3]),
        hard_swish="op" if opset >= 14 and rng.random() < 0.5 else rng.choice(["hard_sigmoid", "clip"]),
        layer_norm="op" if opset >= 17 and rng.random() < 0.7 else "chain",
        gelu="op" if opset >= 20 and rng.random() < 0.6 else _pick(rng, ["erf", "tanh"], [0.8, 0.2]),
        constants=_pick(rng, ["initializer", "node"], [0.7, 0.3]),
        dropout=opset <= 12 and rng.random() < 0.5,
        final_softmax=rng.random() < 0.4,
        fused_qkv=rng.random() < 0.5,
    )
