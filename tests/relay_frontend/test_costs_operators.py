"""FLOPs and bytes of every kind of operator but convolutions and pooling, computed by hand."""

import pytest

from relay_frontend.costs import OperatorCost, operator_cost
from relay_frontend.errors import InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, AttributeValue, Edge, OpGraph, OpNode, TensorType

Shape = tuple[int, ...]


def typed(shape: Shape | TensorType) -> TensorType:
    return shape if isinstance(shape, TensorType) else TensorType(shape, "float32")


def int64(*shape: int) -> TensorType:
    return TensorType(shape, "int64")


def cost(
    op: str,
    inputs: list[Shape | TensorType],
    outputs: list[Shape | TensorType],
    constant: tuple[int, ...] = (),
    /,
    **attributes: AttributeValue,
) -> OperatorCost:
    """The cost of one operator; the inputs at the places ``constant`` are parameters, the others activations."""
    edges = tuple(Edge(PARAMETER if place in constant else GRAPH_INPUT, place) for place in range(len(inputs)))
    named = tuple((f"v{place}", typed(shape)) for place, shape in enumerate(inputs))
    node = OpNode(op, edges, tuple(map(typed, outputs)), tuple(sorted(attributes.items())))
    return operator_cost(OpGraph("one", (node,), named, named, ()), 0)


@pytest.mark.parametrize(
    ("left", "right", "output", "inner"),
    [
        ((5, 7), (7, 3), (5, 3), 7),
        ((7,), (7, 3), (3,), 7),
        ((5, 7), (7,), (5,), 7),
        ((7,), (7,), (), 7),
        ((2, 1, 5, 7), (4, 7, 3), (2, 4, 5, 3), 7),
        ((5, 7), (6, 7, 3), (6, 5, 3), 7),
    ],
)
def test_matmul_broadcasts(left: Shape, right: Shape, output: Shape, inner: int) -> None:
    counted = cost("MatMul", [left, right], [output], (1,))

    assert counted.flops == 2 * typed(output).elements * inner
    assert (counted.input_bytes, counted.parameter_bytes) == (typed(left).bytes, typed(right).bytes)


@pytest.mark.parametrize(
    ("op", "left", "right", "attributes"),
    [
        ("Gemm", (5, 7), (3, 7), {"transB": 1}),
        ("Gemm", (7, 5), (7, 3), {"transA": 1}),
        ("MatMul", (7, 5), (7, 3), {"transA": 1, "alpha": 0.5}),
        ("MatMulInteger", (5, 7), (7, 3), {}),
        ("QGemm", (7, 5), (7, 3), {"transA": 1}),
        ("MatMulNBits", (5, 7), (3, 1, 8), {"K": 7, "N": 3, "bits": 4, "block_size": 16}),
        ("Einsum", (5, 7), (7, 3), {"equation": "mk, kn -> mn"}),
    ],
)
def test_products_of_5_7_and_7_3(op: str, left: Shape, right: Shape, attributes: dict[str, AttributeValue]) -> None:
    assert cost(op, [left, right], [(5, 3)], **attributes).flops == 2 * 5 * 7 * 3


def test_fused_activation_of_a_product_counts_one_an_element() -> None:
    fused = cost("Gemm", [(5, 7), (7, 3)], [(5, 3)], activation="Relu")
    assert fused.flops == 2 * 5 * 7 * 3 + 5 * 3
    assert cost("GemmFastGelu", [(5, 7), (7, 3)], [(5, 3)]) == fused


@pytest.mark.parametrize(
    ("equation", "inputs", "flops"),
    [
        ("bhqd,bhkd->bhqk", [(2, 3, 5, 7), (2, 3, 11, 7)], 2 * 2 * 3 * 5 * 7 * 11),
        ("...ij,...jk->...ik", [(4, 1, 5, 6), (3, 6, 2)], 2 * 4 * 3 * 5 * 6 * 2),
        ("ij->i", [(5, 6)], 30),
        ("i,j,k->", [(2,), (3,), (5,)], 2 * 30),
    ],
)
def test_einsum_counts_all_labels(equation: str, inputs: list[Shape | TensorType], flops: int) -> None:
    assert cost("Einsum", inputs, [()], equation=equation).flops == flops


@pytest.mark.parametrize("equation", ["ij", "ij,jk,kl->il", "ijk,jk->i", "i,jk->i"])
def test_einsum_that_does_not_fit_is_named(equation: str) -> None:
    with pytest.raises(InvalidGraphError, match="Einsum"):
        cost("Einsum", [(2, 3), (3, 4)], [(2, 4)], equation=equation)


@pytest.mark.parametrize(
    ("op", "inputs", "output", "flops"),
    [
        ("Add", [(2, 8), (8,)], (2, 8), 16),
        ("Add", [(2, 1), (1, 8)], (2, 8), 16),
        ("Sum", [(8,), (8,), (8,)], (8,), 16),
        ("Max", [(8,)], (8,), 8),
        ("Mean", [(8,), (8,), (8,)], (8,), 24),
        ("Relu", [(2, 8)], (2, 8), 16),
        ("BiasGelu", [(2, 8), (8,)], (2, 8), 32),
        ("Softmax", [(2, 8)], (2, 8), 80),
        ("LayerNormalization", [(2, 8), (8,), (8,)], (2, 8), 112),
        ("SimplifiedLayerNormalization", [(2, 8), (8,)], (2, 8), 64),
        ("BatchNormalization", [(2, 8), (8,), (8,), (8,), (8,)], (2, 8), 32),
        ("ReduceMean", [(2, 8)], (2, 1), 16),
        ("ArgMax", [(2, 8)], (2,), 16),
        ("QuantizeLinear", [(2, 8), ()], (2, 8), 32),
        ("Transpose", [(2, 8)], (8, 2), 0),
        ("ReorderInput", [(1, 8, 2, 2)], (1, 8, 2, 2), 0),
        ("Reshape", [(2, 8)], (16,), 0),
    ],
)
def test_counts_by_element(op: str, inputs: list[Shape | TensorType], output: Shape, flops: int) -> None:
    counted = cost(op, inputs, [output])

    assert (counted.flops, counted.padding_flops) == (flops, 0)


def test_local_response_normalization_counts_its_window() -> None:
    assert cost("LRN", [(1, 8, 2, 2)], [(1, 8, 2, 2)], size=5).flops == (2 * 5 + 3) * 32


@pytest.mark.parametrize(
    ("mode", "output", "flops"),
    [
        ("nearest", (1, 3, 8, 8), 0),
        ("linear", (1, 3, 8, 8), 2 * 4 * 192),
        ("linear", (1, 3, 4, 8), 2 * 2 * 96),
        ("cubic", (1, 3, 8, 8), 2 * 16 * 192),
    ],
)
def test_resize_counts_its_taps(mode: str, output: Shape, flops: int) -> None:
    counted = cost("Resize", [(1, 3, 4, 4), (4,)], [output], (1,), mode=mode)

    assert counted.flops == flops
    assert counted.parameter_bytes == 0  # the scales


def test_recurrent_counts_both_matrices_at_every_step() -> None:
    """An LSTM, both directions, 10 steps, batch 2, 6 inputs, 4 hidden: 4 gates."""
    counted = cost("LSTM", [(10, 2, 6), (2, 16, 6), (2, 16, 4), (2, 32)], [(10, 2, 2, 4)], (1, 2, 3), hidden_size=4)

    assert counted.flops == 2 * 10 * 2 * 2 * (16 * 6 + 16 * 4)
    assert counted.parameter_bytes == 4 * (2 * 16 * 6 + 2 * 16 * 4 + 2 * 32)


HEADS, QUERIES, KEYS, HEAD = 4, 6, 10, 8
WIDTH = HEADS * HEAD
CROSS = 2 * 2 * QUERIES * KEYS * 2 * WIDTH + 5 * 2 * HEADS * QUERIES * KEYS  # batch 2
SELF = 2 * 2 * QUERIES * QUERIES * 2 * WIDTH + 5 * 2 * HEADS * QUERIES * QUERIES


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "attributes", "flops"),
    [
        (
            "Attention",
            [(2, HEADS, QUERIES, HEAD), (2, HEADS, KEYS, HEAD), (2, HEADS, KEYS, HEAD)],
            [(2, HEADS, QUERIES, HEAD)],
            {},
            CROSS,
        ),
        (
            "Attention",
            [(2, QUERIES, WIDTH), (2, KEYS, WIDTH), (2, KEYS, WIDTH)],
            [(2, QUERIES, WIDTH)],
            {"q_num_heads": HEADS, "kv_num_heads": HEADS},
            CROSS,
        ),
        (
            "MultiHeadAttention",
            [(2, QUERIES, WIDTH), (2, KEYS, WIDTH), (2, KEYS, WIDTH)],
            [(2, QUERIES, WIDTH)],
            {"num_heads": HEADS},
            CROSS,
        ),
        (
            "MultiHeadAttention",  # keys and values of earlier steps: what is handed on says how long they are
            [(2, QUERIES, WIDTH), (2, QUERIES, WIDTH), (2, QUERIES, WIDTH), (2, HEADS, 4, HEAD), (2, HEADS, 4, HEAD)],
            [(2, QUERIES, WIDTH), (2, HEADS, KEYS, HEAD), (2, HEADS, KEYS, HEAD)],
            {"num_heads": HEADS},
            CROSS,
        ),
        (
            "MultiHeadAttention",  # packed query, key and value
            [(2, QUERIES, HEADS, 3, HEAD)],
            [(2, QUERIES, WIDTH)],
            {"num_heads": HEADS},
            SELF,
        ),
        (
            "GroupQueryAttention",  # packed, 4 heads of queries and 2 of keys and values
            [(2, QUERIES, WIDTH + 2 * WIDTH // 2), (2, 2, 4, HEAD), (2, 2, 4, HEAD), (2,), ()],
            [(2, QUERIES, WIDTH), (2, 2, KEYS, HEAD), (2, 2, KEYS, HEAD)],
            {"num_heads": HEADS, "kv_num_heads": 2},
            CROSS,
        ),
        (
            "Attention",  # com.microsoft: the projection of 20 to 3 x 32 is part of it
            [(2, QUERIES, 20), (20, 3 * WIDTH), (3 * WIDTH,)],
            [(2, QUERIES, WIDTH)],
            {"num_heads": HEADS},
            SELF + 2 * 2 * QUERIES * 20 * 3 * WIDTH,
        ),
    ],
)
def test_attention(
    op: str,
    inputs: list[Shape | TensorType],
    outputs: list[Shape | TensorType],
    attributes: dict[str, AttributeValue],
    flops: int,
) -> None:
    assert cost(op, inputs, outputs, **attributes).flops == flops


def test_views_touch_no_memory() -> None:
    counted = cost("Reshape", [(2, 8), int64(1)], [(16,)], (1,))

    assert counted == OperatorCost(0, 0, 0, 0, 0)


def test_gather_reads_what_it_writes_and_its_indices() -> None:
    counted = cost("Gather", [(30000, 768), int64(1, 128)], [(1, 128, 768)], (0,))

    assert counted.parameter_bytes == counted.output_bytes == 4 * 128 * 768
    assert counted.input_bytes == 8 * 128


def test_slice_reads_what_it_writes() -> None:
    counted = cost("Slice", [(1, 64, 56, 56), int64(1), int64(1)], [(1, 32, 56, 56)], (1, 2))

    assert counted.input_bytes == counted.output_bytes == 4 * 32 * 56 * 56
    assert counted.parameter_bytes == 0


def test_concat_and_split_touch_everything_once() -> None:
    joined = cost("Concat", [(1, 3), (1, 5)], [(1, 8)], axis=1)
    parted = cost("Split", [(1, 8), int64(2)], [(1, 3), (1, 5)], (1,))

    assert (joined.input_bytes, joined.output_bytes) == (parted.output_bytes, parted.input_bytes) == (32, 32)
    assert parted.parameter_bytes == 0


def test_embedding_does_not_read_its_whole_tables() -> None:
    inputs: list[Shape | TensorType] = [int64(1, 16), (30000, 64), (512, 64), (64,), (64,)]
    counted = cost("EmbedLayerNormalization", inputs, [(1, 16, 64)], (1, 2, 3, 4))

    assert counted.parameter_bytes == 4 * (16 * 64 * 2 + 64 * 2)


def test_bytes_follow_the_dtype() -> None:
    half = TensorType((10,), "float16")
    counted = cost("Cast", [half], [(10,)])

    assert (counted.input_bytes, counted.output_bytes) == (20, 40)


def test_an_unknown_operator_is_an_error() -> None:
    with pytest.raises(UnsupportedOperatorError, match="'Frobnicate'"):
        cost("Frobnicate", [(1,)], [(1,)])


@pytest.mark.parametrize(
    ("op", "inputs", "outputs"),
    [
        ("Add", [(1,), (1,)], []),
        ("ReduceSum", [], [(1,)]),
        ("MatMul", [(), (3,)], [(3,)]),
        ("LSTM", [(10, 2, 6)], [(10, 1, 2, 4)]),
        ("Attention", [(2, 3)], [(2, 3)]),
        ("MultiHeadAttention", [(2, 3, 4), (2,)], [(2, 3)]),
        ("Resize", [(1, 3, 4, 4)], [(3, 4, 4)]),
    ],
)
def test_types_that_do_not_fit_are_an_error(
    op: str, inputs: list[Shape | TensorType], outputs: list[Shape | TensorType]
) -> None:
    with pytest.raises(InvalidGraphError, match=rf"node 0 \({op} ''\) of 'one'"):
        cost(op, inputs, outputs)
