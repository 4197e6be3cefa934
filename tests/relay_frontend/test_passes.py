"""For each pass the smallest graph that proves its rule, and those that it must leave alone."""

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, parser

from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, OpNode, TensorType
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import (
    PASSES,
    DropDeadNodesPass,
    DropIdentityPass,
    FoldBatchNormPass,
    RenameBinarySumPass,
    canonicalize,
)

X, WEIGHT, BIAS = Edge(GRAPH_INPUT), Edge(PARAMETER, 0), Edge(PARAMETER, 1)


def model_of(text: str, opset: int = 17) -> onnx.ModelProto:
    return helper.make_model(parser.parse_graph(text), opset_imports=[helper.make_operatorsetid("", opset)])


def read(text: str, opset: int = 17) -> OpGraph:
    return from_onnx(model_of(text, opset))


def operators(graph: OpGraph) -> list[str]:
    return [node.op for node in graph.nodes]


def float32(*shape: int) -> TensorType:
    return TensorType(shape, "float32")


NORM = "float[4] s = {1}, float[4] t = {1}, float[4] m = {1}, float[4] v = {1}"
CONV_NORM = f"""net (float[1, 3, 8, 8] x) => (float[1, 4, 6, 6] %s) <float[4, 3, 3, 3] w = {{1}}, {NORM}> {{
    y = Conv(x, w) z = BatchNormalization(y, s, t, m, v) %s
}}"""


def test_batch_norm_after_a_convolution_becomes_its_bias() -> None:
    graph = DropDeadNodesPass()(FoldBatchNormPass()(read(CONV_NORM % ("z", ""))))

    assert operators(graph) == ["Conv"]
    assert graph.nodes[0].inputs == (X, WEIGHT, BIAS)
    assert [kind for _, kind in graph.parameters] == [float32(4, 3, 3, 3), float32(4)]
    assert graph.outputs == (Edge(0),)


def test_a_folded_convolution_equals_one_that_was_exported_folded() -> None:
    folded = read(
        """net (float[1, 3, 8, 8] x) => (float[1, 4, 6, 6] z) <float[4, 3, 3, 3] w = {1}, float[4] b = {1}> {
            z = Conv(x, w, b)
        }"""
    )

    assert canonicalize(read(CONV_NORM % ("z", ""))).structural_hash() == canonicalize(folded).structural_hash()


@pytest.mark.parametrize(
    ("call", "channels", "weight"),
    [
        ("ConvTranspose(image, deconv, wide)", 6, (3, 6, 3, 3)),
        ("Gemm<transB = 1>(matrix, dense, wide)", 6, (6, 5)),
    ],
)
def test_batch_norm_replaces_the_bias_of_what_has_one(call: str, channels: int, weight: tuple[int, ...]) -> None:
    graph = canonicalize(
        read(
            f"""net (float[1, 3, 8, 8] image, float[2, 5] matrix) => (float[N] z) <
                float[3, 6, 3, 3] deconv = {{1}}, float[6, 5] dense = {{1}}, float[6] wide = {{1}}, float[6] s = {{1}}
            > {{ y = {call} z = BatchNormalization(y, s, s, s, s) }}"""
        )
    )

    assert len(graph.nodes) == 1
    assert [kind for _, kind in graph.parameters] == [float32(*weight), float32(channels)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CONV_NORM % ("a", "a = Add(z, y)"), id="the convolution has another reader"),
        pytest.param(CONV_NORM % ("y, float[1, 4, 6, 6] z", ""), id="the convolution is an output"),
        pytest.param(
            CONV_NORM.replace("z = BatchNormalization(", "z, mean, var = BatchNormalization<training_mode = 1>(")
            % ("z", ""),
            id="it is in training mode",
        ),
        pytest.param(
            f"""net (float[4, 3, 3, 3] w, float[1, 3, 8, 8] x) => (float[1, 4, 6, 6] z) <{NORM}> {{
                u = Exp(w) y = Conv(x, u) z = BatchNormalization(y, s, t, m, v)
            }}""",
            id="the weights are computed",
        ),
        pytest.param(
            f"net (float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] z) <{NORM}> {{ z = BatchNormalization(x, s, t, m, v) }}",
            id="there is nothing before it",
        ),
        pytest.param(
            f"""net (float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] z) <{NORM}> {{
                y = Relu(x) z = BatchNormalization(y, s, t, m, v)
            }}""",
            id="what is before it has no weights",
        ),
    ],
)
def test_batch_norm_stays_where_folding_would_change_the_network(text: str) -> None:
    graph = read(text)

    assert FoldBatchNormPass()(graph) is graph


def test_batch_norm_after_a_fused_activation_stays() -> None:
    conv = OpNode("Conv", (X, WEIGHT), (float32(1, 4, 6, 6),), (("activation", "Relu"),))
    norm = OpNode("BatchNormalization", (Edge(0), BIAS, BIAS, BIAS, BIAS), (float32(1, 4, 6, 6),))
    parameters = (("w", float32(4, 3, 3, 3)), ("s", float32(4)))
    graph = OpGraph("net", (conv, norm), (("x", float32(1, 3, 8, 8)),), parameters, (Edge(1),))

    assert FoldBatchNormPass()(graph) is graph


@pytest.mark.parametrize(
    "call",
    [
        "Identity(x)", "Dropout(x)", "Cast<to = 1>(x)", "Reshape(x, same)", "Expand(x, same)", "Squeeze(x, none)",
        "Transpose<perm = [0, 1]>(x)", "Slice(x, zeros, ends)", "Pad(x, pads)", "Concat<axis = 1>(x)", "Sum(x)",
        "Max(x)", "Flatten(x)",
    ],
)  # fmt: skip
def test_what_changes_nothing_goes(call: str) -> None:
    graph = read(
        f"""net (float[2, 3] x) => (float[2, 3] z) <
            int64[2] same = {{2, 3}}, int64[0] none = {{}}, int64[2] zeros = {{0, 0}}, int64[2] ends = {{9, 9}},
            int64[4] pads = {{0, 0, 0, 0}}
        > {{ y = {call} z = Relu(y) }}"""
    )
    assert len(graph.nodes) == 2

    dropped = DropIdentityPass()(graph)

    assert operators(dropped) == ["Relu"]
    assert dropped.nodes[0].inputs == (X,)
    assert dropped.outputs == (Edge(0),)


@pytest.mark.parametrize(
    "call",
    [
        "Cast<to = 10>(x)", "Reshape(x, other)", "Transpose(x)", "Slice(x, ones, ends)", "Pad(x, pads)", "Sum(x, x)",
        "Concat<axis = 1>(x, x)", "Dropout(x, half, yes)",
    ],
)  # fmt: skip
def test_what_changes_something_stays(call: str) -> None:
    graph = read(
        f"""net (float[2, 3] x) => (float[N] y) <
            int64[2] other = {{3, 2}}, int64[2] ones = {{1, 1}}, int64[2] ends = {{9, 9}}, float half = {{0.5}},
            int64[4] pads = {{0, 0, 0, 1}}, bool yes = {{1}}
        > {{ y = {call} }}"""
    )

    assert DropIdentityPass()(graph) is graph


def test_a_dropout_whose_mask_is_read_stays() -> None:
    graph = read("net (float[4] x) => (float[4] y, bool[4] mask) { y, mask = Dropout(x) }")

    assert DropIdentityPass()(graph) is graph


def test_a_chain_of_identities_ends_at_its_source() -> None:
    graph = canonicalize(
        read(
            """net (float[4] x) => (float[4] d, float[4] e) {
                a = Identity(x) b = Identity(a) d = Relu(b) e = Identity(b)
            }"""
        )
    )

    assert operators(graph) == ["Relu"]
    assert graph.outputs == (Edge(0), X)


def test_sum_of_two_is_an_addition_and_of_three_is_not() -> None:
    graph = read("net (float[4] a, float[4] b) => (float[4] y) { c = Sum(a, b) y = Sum(a, b, c) }")

    assert operators(RenameBinarySumPass()(graph)) == ["Add", "Sum"]


def test_dead_nodes_and_unread_parameters_go() -> None:
    graph = read(
        """net (float[4] x) => (float[4] z) <float[4] w = {1}, float[4] u = {1}> {
            dead = Add(x, w) deader = Relu(dead) y = Exp(x) z = Mul(y, u)
        }"""
    )

    kept = DropDeadNodesPass()(graph)

    assert operators(kept) == ["Exp", "Mul"]
    assert [name for name, _ in kept.parameters] == ["u"]
    assert kept.nodes[1].inputs == (Edge(0), Edge(PARAMETER, 0))


def test_every_pass_says_what_it_requires_and_ensures() -> None:
    for rewrite in PASSES:
        assert rewrite.requires
        assert rewrite.ensures
        assert type(rewrite).__name__.endswith("Pass")


LAYERS = {
    "Relu": "{out} = Relu({a})",
    "Identity": "{out} = Identity({a})",
    "Dropout": "{out} = Dropout({a})",
    "Sum": "{out} = Sum({a}, {b})",
    "Add": "{out} = Add({a}, {b})",
    "Conv": "c{out} = Conv<pads = [1, 1, 1, 1]>({a}, w) {out} = BatchNormalization(c{out}, s, s, s, s)",
    "Concat": "k{out} = Concat<axis = 1>({a}, {b}) {out}, r{out} = Split<axis = 1>(k{out})",
}


@st.composite
def networks(draw: st.DrawFn) -> onnx.ModelProto:
    """Layers that each read any two earlier values; the last is the output, so that some are dead."""
    names = ["x"]
    text = []
    for index in range(draw(st.integers(1, 12))):
        layer = LAYERS[draw(st.sampled_from(sorted(LAYERS)))]
        text.append(layer.format(a=draw(st.sampled_from(names)), b=draw(st.sampled_from(names)), out=f"v{index}"))
        names.append(f"v{index}")
    return model_of(
        f"""net (float[1, 4, 5, 5] x) => (float[1, 4, 5, 5] {names[-1]}) <
            float[4, 4, 3, 3] w = {{1}}, float[4] s = {{1}}
        > {{ {" ".join(text)} }}"""
    )


@given(networks())
def test_canonicalising_twice_changes_nothing(model: onnx.ModelProto) -> None:
    once = canonicalize(from_onnx(model))

    assert canonicalize(once) == once


@given(networks(), st.randoms(use_true_random=False))
def test_the_hash_does_not_see_names_or_the_order_of_nodes(model: onnx.ModelProto, random: object) -> None:
    expected = canonicalize(from_onnx(model)).structural_hash()
    nodes = list(model.graph.node)
    random.shuffle(nodes)  # type: ignore[attr-defined]
    del model.graph.node[:]
    for node in nodes:  # out of order, which the reader puts right
        node.name = f"layer {random.random()}"  # type: ignore[attr-defined]
        for names in (node.input, node.output):
            names[:] = [f"value_{name}" if name else "" for name in names]
        model.graph.node.append(node)
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.name = f"value_{value.name}"

    assert canonicalize(from_onnx(model)).structural_hash() == expected


def test_the_hash_sees_types_attributes_and_wiring() -> None:
    texts = [
        "net (float[4] x) => (float[4] y) { a = Relu(x) b = Exp(x) y = Sub(a, b) }",
        "net (float[5] x) => (float[5] y) { a = Relu(x) b = Exp(x) y = Sub(a, b) }",
        "net (float[4] x) => (float[4] y) { a = Relu(x) b = Exp(x) y = Sub(b, a) }",
        "net (float[4] x) => (float[4] y) { a = Relu(x) b = Exp(a) y = Sub(a, b) }",
        "net (float[4] x) => (float[4] y) { a = LeakyRelu<alpha = 0.1>(x) b = Exp(x) y = Sub(a, b) }",
        "net (float[4] x) => (float[4] y) { a = LeakyRelu<alpha = 0.2>(x) b = Exp(x) y = Sub(a, b) }",
    ]

    assert len({canonicalize(read(text)).structural_hash() for text in texts}) == len(texts)
