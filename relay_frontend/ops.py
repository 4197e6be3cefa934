"""The operator table: which operators there are, of which category, and how each counts.

A canonical operator has ONNX's name. Domains are dropped: ``com.microsoft.nchwc`` Conv is ``Conv`` with the attribute
``layout="nchwc"``, FusedConv is ``Conv`` with ``activation``, FusedMatMul is ``MatMul``, FusedGemm is ``Gemm``. Other
operators of com.microsoft keep their name. The table is data; what the numbers mean is in costs.py.

An operator of another domain, or one that ONNX does not have, is opaque: ``example.com.Splat``, with a dot, which no
canonical name has. Its types are known and nothing else: it counts its bytes and no FLOPs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from relay_frontend.errors import UnsupportedOperatorError

__all__ = [
    "CATEGORIES", "OPERATORS", "Category", "OperatorSpec", "is_known", "is_opaque", "opaque_name", "operator_category",
    "operator_spec",
]  # fmt: skip

Category = Literal[
    "convolution", "matmul", "pooling", "normalization", "softmax", "reduction", "elementwise", "activation",
    "data_movement", "view", "layout", "resize", "attention", "recurrent", "quantization", "control", "other",
]  # fmt: skip

CATEGORIES: tuple[Category, ...] = get_args(Category)


@dataclass(frozen=True, slots=True)
class OperatorSpec:
    """One row of the table.

    Attributes:
        name: canonical name.
        category: what kind of work it is.
        flops_per_element: FLOPs an element, where its category counts by element (see costs.py).
        data_inputs: how many leading inputs hold data. The rest are shapes, indices of axes, scales ...: a few bytes
            that count neither as bytes nor as parameters. None: all of them hold data.
        partial_inputs: how many leading inputs are read in part only: each counts at most the size of the output.
    """

    name: str
    category: Category
    flops_per_element: int = 0
    data_inputs: int | None = None
    partial_inputs: int = 0


_NAMES: dict[Category, str] = {
    "convolution": """Conv ConvInteger QLinearConv ConvTranspose QLinearConvTranspose ConvTransposeWithDynamicPads
        DeformConv CausalConvWithState NhwcConv NhwcFusedConv""",
    "matmul": """MatMul Gemm MatMulInteger QLinearMatMul Einsum FusedMatMulActivation TransposeMatMul MatMulInteger16
        MatMulIntegerToFloat DynamicQuantizeMatMul MatMulNBits MatMulBnb4 MatMulFpQ4 QGemm GemmFastGelu GemmFloat8""",
    "pooling": """MaxPool AveragePool LpPool GlobalMaxPool GlobalAveragePool GlobalLpPool MaxRoiPool MaxUnpool
        NhwcMaxPool MaxpoolWithMask QLinearAveragePool QLinearGlobalAveragePool""",
    "normalization": """BatchNormalization InstanceNormalization LayerNormalization GroupNormalization RMSNormalization
        MeanVarianceNormalization LpNormalization LRN SimplifiedLayerNormalization SkipLayerNormalization
        SkipSimplifiedLayerNormalization EmbedLayerNormalization QEmbedLayerNormalization GroupNorm SkipGroupNorm""",
    "softmax": "Softmax LogSoftmax Hardmax BiasSoftmax QLinearSoftmax",
    "reduction": """ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare ReduceSumInteger QLinearReduceMean ArgMax ArgMin CumSum CumProd TopK Col2Im
        NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss IsAllFinite""",
    "elementwise": """Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
        Cast CastLike Ceil Cos Cosh Div Equal Erf Exp Floor Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Log
        Max Mean Min Mod Mul Neg Not Or Pow Reciprocal Round Sign Sin Sinh Sqrt Sub Sum Tan Where Xor BiasAdd
        BiasDropout GatedAdd ComplexMul ComplexMulConj MulInteger QLinearAdd QLinearMul QLinearWhere RotaryEmbedding""",
    "activation": """Relu LeakyRelu PRelu Elu Selu Celu Gelu HardSigmoid HardSwish Sigmoid Tanh Softplus Softsign Mish
        Swish SwiGLU ThresholdedRelu Shrink Clip FastGelu QuickGelu BiasGelu BiasSplitGelu ScaledSiLU QLinearSigmoid
        QLinearLeakyRelu QOrderedGelu""",
    "data_movement": """Transpose Concat Slice Gather GatherElements GatherND Scatter ScatterElements ScatterND
        TensorScatter Pad Split Expand Tile DepthToSpace SpaceToDepth ReverseSequence CenterCropPad Compress Trilu
        OneHot EyeLike Constant ConstantOfShape Range RandomNormal RandomNormalLike RandomUniform RandomUniformLike
        BlackmanWindow HammingWindow HannWindow QLinearConcat GatherBlockQuantized GatherPacked TorchEmbedding
        RemovePadding RestorePadding UnfoldTensor""",
    "view": "Reshape Flatten Squeeze Unsqueeze Identity Dropout BitCast Shape Size ExpandDims",
    "layout": "ReorderInput ReorderOutput",
    "resize": "Resize Upsample GridSample AffineGrid RoiAlign CropAndResize",
    "attention": """Attention MultiHeadAttention GroupQueryAttention DecoderMaskedMultiHeadAttention
        DecoderMaskedSelfAttention QAttention LinearAttention FlexAttention""",
    "recurrent": "LSTM GRU RNN DynamicQuantizeLSTM",
    "quantization": "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QuantizeBFP DequantizeBFP",
    "control": """If Loop Scan Optional OptionalGetElement OptionalHasElement SequenceAt SequenceConstruct
        SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap ConcatFromSequence SplitToSequence""",
    "other": """Bernoulli DFT STFT Det ImageDecoder Inverse Irfft MelWeightMatrix Multinomial NonMaxSuppression NonZero
        RegexFullMatch Rfft StringConcat StringNormalizer StringSplit TfIdfVectorizer Unique""",
}

_CATEGORY_FLOPS: dict[Category, int] = {
    "pooling": 1, "normalization": 7, "softmax": 5, "reduction": 1, "elementwise": 1, "activation": 1,
    "quantization": 2, "other": 1,
}  # fmt: skip

# Where an operator does not count as its category does. costs.py says what each number is made of.
_OPERATOR_FLOPS = {
    "BatchNormalization": 2, "RMSNormalization": 4, "SimplifiedLayerNormalization": 4, "LpNormalization": 3,
    "SkipLayerNormalization": 8, "SkipSimplifiedLayerNormalization": 5,
    "EmbedLayerNormalization": 9, "QEmbedLayerNormalization": 9, "MeanVarianceNormalization": 5,
    "Hardmax": 1, "BiasSoftmax": 6, "ComplexMul": 3, "ComplexMulConj": 3,
    "BiasGelu": 2, "BiasSplitGelu": 3, "SwiGLU": 2, "ScaledSiLU": 2, "DynamicQuantizeLinear": 4,
}  # fmt: skip

_DATA_INPUTS = {
    "Reshape": 1, "Squeeze": 1, "Unsqueeze": 1, "ExpandDims": 1, "Dropout": 1, "Expand": 1, "Tile": 1, "Slice": 1,
    "Pad": 1, "Split": 1, "CenterCropPad": 1, "Resize": 1, "Upsample": 1, "TopK": 1, "CumSum": 1, "CumProd": 1,
    "Trilu": 1, "OneHot": 1, "ReverseSequence": 1, "Col2Im": 1, "Clip": 1, "ReduceL1": 1, "ReduceL2": 1,
    "ReduceLogSum": 1, "ReduceLogSumExp": 1, "ReduceMax": 1, "ReduceMean": 1, "ReduceMin": 1, "ReduceProd": 1,
    "ReduceSum": 1, "ReduceSumSquare": 1, "SplitToSequence": 1, "ConstantOfShape": 0, "Range": 0, "EyeLike": 0,
    "RandomNormalLike": 0, "RandomUniformLike": 0, "Shape": 0, "Size": 0, "AffineGrid": 1, "BlackmanWindow": 0,
    "DFT": 1, "HammingWindow": 0, "HannWindow": 0, "MelWeightMatrix": 0, "MaxUnpool": 2, "NonMaxSuppression": 2,
}  # fmt: skip

_PARTIAL_INPUTS = {
    "Slice": 1, "Gather": 1, "GatherElements": 1, "GatherND": 1, "GatherBlockQuantized": 1, "TorchEmbedding": 1,
    "Compress": 1, "CenterCropPad": 1, "RemovePadding": 1, "Trilu": 1,
    "EmbedLayerNormalization": 7, "QEmbedLayerNormalization": 7, "RotaryEmbedding": 4,
}  # fmt: skip


def _build_table() -> dict[str, OperatorSpec]:
    return {
        name: OperatorSpec(
            name,
            category,
            _OPERATOR_FLOPS.get(name, _CATEGORY_FLOPS.get(category, 0)),
            _DATA_INPUTS.get(name),
            _PARTIAL_INPUTS.get(name, 0),
        )
        for category, names in _NAMES.items()
        for name in names.split()
    }


OPERATORS: Mapping[str, OperatorSpec] = MappingProxyType(_build_table())


def is_known(op: str) -> bool:
    """Whether the table has ``op``."""
    return op in OPERATORS


def opaque_name(domain: str, op: str) -> str:
    """How a graph names an operator that is outside the table; the standard domain is ``ai.onnx``."""
    return f"{domain or 'ai.onnx'}.{op}"


def is_opaque(op: str) -> bool:
    """Whether ``op`` is the name of an operator outside the table, as :func:`opaque_name` makes them."""
    return "." in op


def operator_spec(op: str) -> OperatorSpec:
    """The row of ``op``; of an opaque operator one that counts bytes only.

    Raises:
        UnsupportedOperatorError: the table does not have it, and it is not opaque.
    """
    spec = OPERATORS.get(op)
    if spec is None and is_opaque(op):
        return OperatorSpec(op, "other")
    if spec is None:
        raise UnsupportedOperatorError(
            f"operator {op!r} is not in the operator table, expected one of its {len(OPERATORS)} canonical names "
            "(ONNX's): add it to relay_frontend/ops.py or export the network without it"
        )
    return spec


def operator_category(op: str) -> Category:
    """The category of ``op``; ``other`` for an opaque operator.

    Raises:
        UnsupportedOperatorError: the table does not have it, and it is not opaque.
    """
    return operator_spec(op).category
