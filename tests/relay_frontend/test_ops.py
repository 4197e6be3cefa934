import warnings

import onnx.defs
import pytest

from relay_frontend.errors import UnsupportedOperatorError
from relay_frontend.flops import FLOPS_RULES
from relay_frontend.ops import CATEGORIES, OPERATORS, is_known, operator_category, operator_spec


def test_the_table_has_every_standard_operator() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schemas = onnx.defs.get_all_schemas_with_history()
    standard = {schema.name for schema in schemas if schema.domain == ""}

    assert len(standard) > 150
    assert sorted(standard - set(OPERATORS)) == []


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
