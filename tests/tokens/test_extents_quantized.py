"""A quantised operator has the extents of the operator in floats that it stands for."""

import pytest

from relay_frontend.graph import TensorType
from tvm_narcost.tokens.extents import EXTENTS, node_extents

SCALE = TensorType((), "float32")
ZERO = TensorType((), "uint8")

Shape = tuple[int, ...]


def floats(*shapes: Shape) -> tuple[TensorType, ...]:
    return tuple(TensorType(shape, "float32") for shape in shapes)


def bytes_of(*shapes: Shape) -> tuple[TensorType, ...]:
    return tuple(TensorType(shape, "uint8") for shape in shapes)


def scaled(*shapes: Shape) -> tuple[TensorType, ...]:
    """Each value, then its scale and its zero point; at last those of the result."""
    found: list[TensorType] = []
    for value in bytes_of(*shapes):
        found += [value, SCALE, ZERO]
    return (*found, SCALE, ZERO)


WINDOW = (
    ("dilations", (1, 1)), ("group", 1), ("kernel_shape", (3, 3)), ("pads", (1, 1, 1, 1)), ("strides", (1, 1)),
)  # fmt: skip
GROUPED = tuple((name, 4 if name == "group" else value) for name, value in WINDOW)
X, W, BACK = (2, 16, 7, 9), (32, 16, 3, 3), (16, 8, 3, 3)
BIAS = TensorType((32,), "int32")


@pytest.mark.parametrize(
    ("op", "inputs", "float_op", "float_inputs", "output", "attributes"),
    [
        ("QLinearConv", scaled(X, W), "Conv", floats(X, W), (2, 32, 7, 9), WINDOW),
        ("QLinearConv", (*scaled(X, W), BIAS), "Conv", floats(X, W, (32,)), (2, 32, 7, 9), WINDOW),
        ("QLinearConv", scaled(X, (32, 4, 3, 3)), "Conv", floats(X, (32, 4, 3, 3)), (2, 32, 7, 9), GROUPED),
        ("ConvInteger", (*bytes_of(X, W), ZERO, ZERO), "Conv", floats(X, W), (2, 32, 7, 9), WINDOW),
        ("QLinearConvTranspose", scaled(X, BACK), "ConvTranspose", floats(X, BACK), (2, 8, 7, 9), WINDOW),
        ("QLinearMatMul", scaled((3, 5, 8), (8, 6)), "MatMul", floats((3, 5, 8), (8, 6)), (3, 5, 6), ()),
        ("QLinearMatMul", scaled((3, 5, 8), (3, 8, 6)), "MatMul", floats((3, 5, 8), (3, 8, 6)), (3, 5, 6), ()),
        ("MatMulInteger", (*bytes_of((5, 8), (8, 6)), ZERO), "MatMul", floats((5, 8), (8, 6)), (5, 6), ()),
        ("QGemm", scaled((5, 8), (6, 8)), "Gemm", floats((5, 8), (6, 8)), (5, 6), (("transB", 1),)),
        ("QLinearAdd", scaled((2, 8, 4), (8, 1)), "Add", floats((2, 8, 4), (8, 1)), (2, 8, 4), ()),
        ("QLinearMul", scaled((2, 8, 4), (4,)), "Mul", floats((2, 8, 4), (4,)), (2, 8, 4), ()),
        ("QLinearWhere", (TensorType((4,), "bool"), *scaled((2, 4), (1,))), "Where",
         (TensorType((4,), "bool"), *floats((2, 4), (1,))), (2, 4), ()),
        ("QLinearConcat", (SCALE, ZERO, *scaled((2, 3, 4), (2, 5, 4))[:-2]), "Concat", floats((2, 3, 4), (2, 5, 4)),
         (2, 8, 4), (("axis", 1),)),
    ],
)  # fmt: skip
def test_extents_are_those_of_the_counterpart(
    op: str,
    inputs: tuple[TensorType, ...],
    float_op: str,
    float_inputs: tuple[TensorType, ...],
    output: Shape,
    attributes: tuple[tuple[str, object], ...],
) -> None:
    found = node_extents(op, attributes, inputs, bytes_of(output))

    assert dict(zip(EXTENTS, found, strict=True)) == dict(
        zip(EXTENTS, node_extents(float_op, attributes, float_inputs, floats(output)), strict=True)
    )


def test_product_of_a_quantised_convolution() -> None:
    found = dict(zip(EXTENTS, node_extents("QLinearConv", WINDOW, scaled(X, W), bytes_of((2, 32, 7, 9))), strict=True))

    assert (found["m"], found["n"], found["k"], found["products"]) == (2 * 7 * 9, 32, 16 * 9, 1)


def test_zero_points_of_a_sum_may_be_left_out() -> None:
    left, right = bytes_of((2, 8, 4), (8, 1))
    full = node_extents("QLinearAdd", (), scaled((2, 8, 4), (8, 1)), bytes_of((2, 8, 4)))

    for inputs in (
        (left, SCALE, right, SCALE, SCALE),
        (left, SCALE, right, SCALE, ZERO, SCALE, ZERO),
        (left, SCALE, ZERO, right, SCALE, SCALE),
    ):
        assert node_extents("QLinearAdd", (), inputs, bytes_of((2, 8, 4))) == full


def test_packed_weights_are_one_weight_for_all_rows() -> None:
    packed = TensorType((6, 2, 16), "uint8")  # 6 columns, 2 blocks of 32 values of 4 bits
    inputs = (*floats((3, 5, 64)), packed, *floats((12,)))
    found = node_extents("MatMulNBits", (("K", 64), ("N", 6)), inputs, floats((3, 5, 6)))

    extents = dict(zip(EXTENTS, found, strict=True))
    assert (extents["m"], extents["n"], extents["k"], extents["products"]) == (15, 6, 64, 1)
