import warnings

import onnx
import onnx.defs
import pytest

from relay_frontend.errors import UnsupportedOperatorError
from relay_frontend.flops import FLOPS_RULES
from relay_frontend.onnx.microsoft import microsoft_name
from relay_frontend.onnx.value_inputs import value_slots
from relay_frontend.ops import (
    CATEGORIES,
    OPERATORS,
    OperatorSpec,
    is_known,
    is_opaque,
    opaque_name,
    operator_category,
    operator_spec,
)

STANDARD_OPERATORS = 203
"""Operators of the ai.onnx domain in the newest opset of the pinned onnx, 28, those that are deprecated included."""

# Those of com.microsoft that ONNX Runtime's optimiser and quantiser write, and that exporters of transformers do.
MICROSOFT = """Attention BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu CausalConvWithState ComplexMul
    DecoderMaskedMultiHeadAttention DecoderMaskedSelfAttention DequantizeLinear DynamicQuantizeLSTM
    DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedMatMulActivation GatherBlockQuantized GatherND Gelu
    GemmFastGelu GemmFloat8 GroupNorm GroupQueryAttention Inverse LayerNormalization LinearAttention MatMulBnb4
    MatMulFpQ4 MatMulInteger16 MatMulIntegerToFloat MatMulNBits MaxpoolWithMask MulInteger MultiHeadAttention NhwcConv
    NhwcFusedConv NhwcMaxPool QAttention QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat
    QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax
    QLinearWhere QOrderedGelu QuantizeLinear QuickGelu RotaryEmbedding SimplifiedLayerNormalization SkipGroupNorm
    SkipLayerNormalization SkipSimplifiedLayerNormalization SwiGLU TransposeMatMul""".split()  # noqa: SIM905


def newest_schemas() -> list[onnx.defs.OpSchema]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [schema for schema in onnx.defs.get_all_schemas() if schema.domain == ""]


def test_the_table_has_every_standard_operator() -> None:
    names = {schema.name for schema in newest_schemas()}

    assert sorted(names - set(OPERATORS)) == []
    assert len(names) >= STANDARD_OPERATORS
    print(
        f"{len(names)} of {len(names)} operators of ai.onnx (opset {onnx.defs.onnx_opset_version()}) are in the table"
    )


def test_the_table_has_every_standard_operator_there_ever_was() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}

    assert {"Scatter", "Upsample"} <= names  # deprecated ones are among them
    assert sorted(names - set(OPERATORS)) == []


def test_the_table_has_the_common_operators_of_com_microsoft() -> None:
    assert sorted(set(MICROSOFT) - set(OPERATORS)) == []
    fused = {name: microsoft_name("com.microsoft", name) for name in ("FusedConv", "FusedGemm", "FusedMatMul")}
    assert fused == {"FusedConv": "Conv", "FusedGemm": "Gemm", "FusedMatMul": "MatMul"}


def test_inputs_that_count_no_bytes_are_those_that_say_how() -> None:
    """An input that becomes an attribute when it is constant counts no bytes when it is not either."""
    counted = {
        schema.name: [attribute for slot, attribute in value_slots(schema.name, schema.since_version) if slot < data]
        for schema in newest_schemas()
        if (data := OPERATORS[schema.name].data_inputs) is not None
    }

    assert {name: slots for name, slots in counted.items() if slots} == {}


def test_an_opaque_name_is_no_canonical_one() -> None:
    assert not any(is_opaque(name) for name in OPERATORS)
    assert opaque_name("", "Whirl") == "ai.onnx.Whirl"
    assert operator_spec("example.com.Splat") == OperatorSpec("example.com.Splat", "other")
    assert not is_known("example.com.Splat")


@pytest.mark.parametrize(
    ("op", "category"),
    [
        ("Conv", "convolution"),
        ("QLinearConv", "convolution"),
        ("Gemm", "matmul"),
        ("GlobalAveragePool", "pooling"),
        ("SkipLayerNormalization", "normalization"),
        ("BiasSoftmax", "softmax"),
        ("ReduceMean", "reduction"),
        ("Add", "elementwise"),
        ("QLinearAdd", "elementwise"),
        ("Clip", "activation"),
        ("FastGelu", "activation"),
        ("Transpose", "data_movement"),
        ("Reshape", "view"),
        ("Shape", "view"),
        ("ReorderInput", "layout"),
        ("Upsample", "resize"),
        ("MultiHeadAttention", "attention"),
        ("GRU", "recurrent"),
        ("DequantizeLinear", "quantization"),
        ("Loop", "control"),
        ("NonMaxSuppression", "other"),
    ],
)
def test_categories(op: str, category: str) -> None:
    assert operator_category(op) == category


def test_an_unknown_operator_is_named() -> None:
    assert not is_known("conv")
    with pytest.raises(UnsupportedOperatorError, match="'conv' is not in the operator table"):
        operator_category("conv")
    with pytest.raises(UnsupportedOperatorError, match="'Conv2D'"):
        operator_spec("Conv2D")


def test_every_category_is_used_and_every_name_stands_once() -> None:
    assert {spec.category for spec in OPERATORS.values()} == set(CATEGORIES)
    assert all(name == spec.name for name, spec in OPERATORS.items())


def test_the_table_cannot_be_written() -> None:
    with pytest.raises(TypeError):
        OPERATORS["Conv"] = operator_spec("Relu")  # type: ignore[index]


def test_every_operator_with_arithmetic_counts_some() -> None:
    """An operator of these categories without a rule and without a number would count as free."""
    free = {"data_movement", "view", "layout", "control"}
    uncounted = [
        spec.name
        for spec in OPERATORS.values()
        if spec.category not in free and not spec.flops_per_element and spec.name not in FLOPS_RULES
    ]

    assert uncounted == []
    assert [name for name in FLOPS_RULES if OPERATORS[name].category in free] == []
    assert set(FLOPS_RULES) <= set(OPERATORS)
