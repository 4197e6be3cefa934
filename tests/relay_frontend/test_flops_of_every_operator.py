"""A case of every operator of ai.onnx, its FLOPs by hand. A new opset fails here until its operators have one."""

import warnings
from collections.abc import Mapping

import onnx.defs
import pytest

from relay_frontend.graph import AttributeValue, TensorType
from tests.relay_frontend.test_costs_operators import Shape, cost, int64

Case = tuple[list[Shape | TensorType], list[Shape | TensorType], Mapping[str, AttributeValue], int]

X: Shape = (2, 3, 4)  # 24 elements
IMAGE: Shape = (2, 4, 6, 6)  # 288 elements
TEXT = TensorType((5,), "string")


def names(text: str) -> list[str]:
    return text.split()


def all_of(text: str, *case: object) -> dict[str, Case]:
    return dict.fromkeys(names(text), case)  # type: ignore[arg-type]


CASES: dict[str, Case] = {
    # 1 an output element, whatever the function
    **all_of(
        """Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Cos Cosh Erf Exp Floor IsInf IsNaN Log Neg Not
        Reciprocal Round Sign Sin Sinh Sqrt Tan Relu LeakyRelu Elu Selu Celu Gelu HardSigmoid HardSwish Sigmoid Tanh
        Softplus Softsign Mish Swish ThresholdedRelu Shrink Clip Bernoulli RegexFullMatch StringNormalizer""",
        [X], [X], {}, 24,
    ),
    **all_of(
        """Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Mod Mul Or
        Pow Sub Xor PRelu CastLike StringConcat""",
        [X, (1, 4)], [X], {}, 24,
    ),
    "Where": ([X, X, (4,)], [X], {}, 24),
    **all_of("Max Min Sum", [X, X, (4,)], [X], {}, 2 * 24),
    "Mean": ([X, X, (4,)], [X], {}, 3 * 24),
    "SwiGLU": ([X, X], [X], {}, 2 * 24),
    "RotaryEmbedding": ([(2, 5, 3, 4), (9, 2), (9, 2)], [(2, 5, 3, 4)], {}, 3 * 120),
    # 2 x MAC
    "Conv": ([IMAGE, (8, 2, 3, 3)], [(2, 8, 6, 6)], {"pads": (1, 1, 1, 1), "group": 2}, 2 * 576 * 2 * 9),
    "ConvInteger": ([IMAGE, (8, 4, 3, 3)], [(2, 8, 4, 4)], {}, 2 * 256 * 4 * 9),
    "QLinearConv": ([IMAGE, (), (), (8, 4, 1, 1), (), (), (), ()], [(2, 8, 6, 6)], {}, 2 * 576 * 4),
    "ConvTranspose": ([IMAGE, (4, 8, 3, 3)], [(2, 8, 8, 8)], {}, 2 * 288 * 8 * 9),
    "DeformConv": ([IMAGE, (8, 2, 3, 3), (2, 18, 4, 4)], [(2, 8, 4, 4)], {"group": 2}, 2 * 256 * 2 * 9),
    "CausalConvWithState": ([(2, 4, 9), (4, 1, 3)], [(2, 4, 9), (2, 4, 2)], {"activation": "silu"}, 2 * 72 * 3 + 72),
    **all_of("MatMul MatMulInteger", [(3, 5, 7), (7, 2)], [(3, 5, 2)], {}, 2 * 30 * 7),
    "QLinearMatMul": ([(5, 7), (), (), (7, 2), (), (), (), ()], [(5, 2)], {}, 2 * 10 * 7),
    "Gemm": ([(7, 5), (7, 2), (2,)], [(5, 2)], {"transA": 1}, 2 * 10 * 7),
    "Einsum": ([(3, 5, 7), (3, 7, 2)], [(3, 5, 2)], {"equation": "bij,bjk->bik"}, 2 * 30 * 7),
    "LSTM": ([(6, 2, 3), (2, 16, 3), (2, 16, 4)], [(6, 2, 2, 4)], {}, 2 * 12 * 2 * 16 * 7),
    "GRU": ([(6, 2, 3), (1, 12, 3), (1, 12, 4)], [(6, 1, 2, 4)], {}, 2 * 12 * 12 * 7),
    "RNN": ([(6, 2, 3), (1, 4, 3), (1, 4, 4)], [(6, 1, 2, 4)], {}, 2 * 12 * 4 * 7),
    "Attention": (
        [(2, 3, 4, 8), (2, 3, 6, 8), (2, 3, 6, 10)], [(2, 3, 4, 10)], {}, 2 * 2 * 3 * 24 * 18 + 5 * 2 * 3 * 24
    ),
    "LinearAttention": (
        [(2, 5, 8), (2, 5, 8), (2, 5, 12)], [(2, 5, 12)],
        {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"}, 2 * 10 * 4 * 6 * (2 + 2),
    ),
    # 1 a tap, 1 an input element
    **all_of(
        "MaxPool AveragePool LpPool", [IMAGE], [(2, 4, 2, 2)], {"kernel_shape": (3, 3), "strides": (3, 3)}, 8 * 4 * 9
    ),
    **all_of("GlobalMaxPool GlobalAveragePool GlobalLpPool", [IMAGE], [(2, 4, 1, 1)], {}, 288),
    "MaxRoiPool": ([IMAGE, (5, 5)], [(5, 4, 2, 2)], {}, 80),
    "MaxUnpool": ([(1, 1, 3, 3), int64(1, 1, 3, 3)], [(1, 1, 6, 6)], {"kernel_shape": (2, 2), "strides": (2, 2)}, 9),
    **all_of(
        """ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare ArgMax ArgMin""",
        [X], [(2, 3)], {}, 24,
    ),
    **all_of("CumSum CumProd", [X, int64()], [X], {}, 24),
    "TopK": ([X], [(2, 3, 2), int64(2, 3, 2)], {"k": 2}, 24),
    "Col2Im": ([(1, 9, 4), int64(2), int64(2)], [(1, 1, 5, 5)], {}, 36),
    "NonZero": ([X], [int64(3, 7)], {}, 24),
    "TfIdfVectorizer": ([int64(12)], [(7,)], {}, 12),
    "NegativeLogLikelihoodLoss": ([(4, 10), int64(4)], [()], {}, 4),
    "SoftmaxCrossEntropyLoss": ([(4, 10), int64(4)], [()], {}, 5 * 40 + 4),
    # normalisation and softmax
    **all_of("LayerNormalization InstanceNormalization GroupNormalization", [X, (4,), (4,)], [X], {}, 7 * 24),
    "BatchNormalization": ([X, (3,), (3,), (3,), (3,)], [X], {}, 2 * 24),
    "RMSNormalization": ([X, (4,)], [X], {}, 4 * 24),
    "MeanVarianceNormalization": ([X], [X], {}, 5 * 24),
    "LpNormalization": ([X], [X], {}, 3 * 24),
    "LRN": ([IMAGE], [IMAGE], {"size": 5}, 13 * 288),
    **all_of("Softmax LogSoftmax", [X], [X], {}, 5 * 24),
    "Hardmax": ([X], [X], {}, 24),
    # quantisation
    **all_of("QuantizeLinear DequantizeLinear", [X, (), ()], [X], {}, 2 * 24),
    "DynamicQuantizeLinear": ([X], [X, (), ()], {}, 4 * 24),
    # interpolation
    **all_of("Resize Upsample", [IMAGE], [(2, 4, 12, 12)], {"mode": "linear"}, 2 * 4 * 1152),
    "GridSample": ([IMAGE, (2, 3, 3, 2)], [(2, 4, 3, 3)], {"mode": "cubic"}, 2 * 16 * 72),
    "AffineGrid": ([(2, 2, 3), int64(4)], [(2, 5, 6, 2)], {}, 6 * 120),
    "RoiAlign": ([IMAGE, (5, 4), int64(5)], [(5, 4, 2, 2)], {"sampling_ratio": 2}, 8 * 4 * 80),
    # transforms and linear algebra
    "DFT": ([(3, 8, 2)], [(3, 8, 2)], {"axis": 1}, 3 * 5 * 8 * 3),
    "STFT": ([(2, 128, 1), int64()], [(2, 15, 9, 2)], {"frame_length": 16}, 30 * 160),
    "Det": ([(5, 6, 6)], [(5,)], {}, 5 * 150),
    "NonMaxSuppression": ([(1, 10, 4), (1, 2, 10)], [int64(3, 3)], {"max_output_boxes_per_class": 3}, 20 + 13 * 60),
    "Unique": ([(16,)], [(9,)], {}, 16 * 4),
    # a placeholder of 1 an output element
    "ImageDecoder": ([TensorType((999,), "uint8")], [(6, 6, 3)], {}, 108),
    "MelWeightMatrix": ([(), (), (), (), ()], [(9, 8)], {}, 72),
    "Multinomial": ([(2, 10)], [int64(2, 5)], {"sample_size": 5}, 10),
    "StringSplit": ([TEXT], [TensorType((5, 2), "string"), int64(5)], {}, 10),
    # nothing is computed, only moved or renamed
    **all_of(
        """Transpose Concat Slice Gather GatherElements GatherND Scatter ScatterElements ScatterND TensorScatter Pad
        Split Expand Tile DepthToSpace SpaceToDepth ReverseSequence CenterCropPad Compress Trilu OneHot EyeLike Constant
        ConstantOfShape Range RandomNormal RandomNormalLike RandomUniform RandomUniformLike BlackmanWindow HammingWindow
        HannWindow Reshape Flatten Squeeze Unsqueeze Identity Dropout BitCast Shape Size If Loop Scan Optional
        OptionalGetElement OptionalHasElement SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert
        SequenceLength SequenceMap ConcatFromSequence SplitToSequence""",
        [X], [X], {}, 0,
    ),
}  # fmt: skip


def standard_operators() -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}


def test_every_operator_has_a_case() -> None:
    assert set(CASES) == standard_operators()
    assert len(CASES) == 203  # of opset 28; of a newer onnx there are more


@pytest.mark.parametrize("op", sorted(CASES))
def test_flops(op: str) -> None:
    inputs, outputs, attributes, flops = CASES[op]

    assert cost(op, inputs, outputs, **attributes).flops == flops
