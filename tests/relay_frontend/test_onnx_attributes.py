"""Spellings that mean the same give equal nodes; defaults and windows are explicit."""

import onnx
import pytest
from onnx import helper, parser

from relay_frontend.graph import AttributeValue, OpNode
from relay_frontend.onnx import from_onnx


def node_of(text: str, opset: int) -> OpNode:
    """The only operator of a network; names play no part."""
    graph = from_onnx(helper.make_model(parser.parse_graph(text), opset_imports=[helper.make_operatorsetid("", opset)]))
    assert len(graph.nodes) == 1
    return graph.nodes[0]


def attributes_of(text: str, opset: int = 17) -> dict[str, AttributeValue]:
    return node_of(text, opset).attribute_map


X = "net (float[2, 3, 1, 5] x) => (float[N] y)"  # the output's own type is declared, but inference tells it

SAME = {
    "ReduceMean": [
        (13, X + " { y = ReduceMean<axes = [-1, 1], keepdims = 0>(x) }"),
        (18, X + " <int64[2] axes = {1, 3}> { y = ReduceMean<keepdims = 0>(x, axes) }"),
    ],
    "ReduceSum of everything": [
        (11, X + " { y = ReduceSum(x) }"),
        (13, X + " { y = ReduceSum<keepdims = 1, noop_with_empty_axes = 0>(x) }"),
        (13, X + " <int64[4] axes = {0, 1, 2, 3}> { y = ReduceSum(x, axes) }"),
    ],
    "Clip": [
        (6, X + " { y = Clip<min = 0.0, max = 6.0>(x) }"),
        (13, X + " <float low = {0}, float high = {6}> { y = Clip(x, low, high) }"),
    ],
    "Clip from below": [
        (6, X + " { y = Clip<min = 0.0>(x) }"),
        (13, X + " <float low = {0}> { y = Clip(x, low) }"),
        (13, X + " <float low = {0}, float high = {3.4028235e38}> { y = Clip(x, low, high) }"),
    ],
    "Squeeze": [
        (11, X + " { y = Squeeze<axes = [2]>(x) }"),
        (13, X + " <int64[1] axes = {-2}> { y = Squeeze(x, axes) }"),
        (13, X + " { y = Squeeze(x) }"),
    ],
    "Unsqueeze": [
        (11, X + " { y = Unsqueeze<axes = [0, 5]>(x) }"),
        (13, X + " <int64[2] axes = {-1, 0}> { y = Unsqueeze(x, axes) }"),
    ],
    "Split": [
        (11, "net (float[2, 6] x) => (float[N] y, float[M] z) { y, z = Split<axis = 1, split = [2, 4]>(x) }"),
        (13, "net (float[2, 6] x) => (float[N] y, float[M] z) <int64[2] sizes = {2, 4}> "
             "{ y, z = Split<axis = -1>(x, sizes) }"),
    ],
    "Split in equal parts": [
        (13, "net (float[2, 6] x) => (float[N] y, float[M] z) { y, z = Split<axis = 1>(x) }"),
        (18, "net (float[2, 6] x) => (float[N] y, float[M] z) { y, z = Split<axis = 1, num_outputs = 2>(x) }"),
    ],
    "Pad": [
        (2, X + " { y = Pad<pads = [0, 0, 1, 0, 0, 0, 2, 0]>(x) }"),
        (11, X + " <int64[8] pads = {0, 0, 1, 0, 0, 0, 2, 0}, float zero = {0}> { y = Pad(x, pads, zero) }"),
        (18, X + " <int64[2] pads = {1, 2}, int64[1] axes = {-2}> { y = Pad(x, pads, , axes) }"),
    ],
    "Slice": [
        (9, X + " { y = Slice<axes = [1, 3], starts = [0, -4], ends = [2, 1000]>(x) }"),
        (11, X + " <int64[3] s = {1, 0, 0}, int64[3] e = {5, 9223372036854775807, 2}, int64[3] a = {3, 0, 1}> "
             "{ y = Slice(x, s, e, a) }"),
    ],
    "Reshape": [
        (13, X + " <int64[2] s = {0, -1}> { y = Reshape(x, s) }"),
        (14, X + " <int64[2] s = {2, 15}> { y = Reshape<allowzero = 1>(x, s) }"),
    ],
    "Softmax of the last axis": [
        (11, X + " { y = Softmax<axis = 3>(x) }"),
        (13, X + " { y = Softmax(x) }"),
    ],
    "Softmax of an image's channels": [
        (11, "net (float[1, 10, 1, 1] x) => (float[N] y) { y = Softmax(x) }"),
        (13, "net (float[1, 10, 1, 1] x) => (float[N] y) { y = Softmax<axis = 1>(x) }"),
    ],
    "Transpose": [
        (13, X + " { y = Transpose(x) }"),
        (13, X + " { y = Transpose<perm = [3, 2, 1, 0]>(x) }"),
    ],
    "BatchNormalization": [
        (9, X + " <float[3] s = {1}> { y = BatchNormalization<momentum = 0.5>(x, s, s, s, s) }"),
        (15, X + " <float[3] s = {1}> { y = BatchNormalization(x, s, s, s, s) }"),
    ],
    "TopK": [
        (1, "net (float[4, 9] x) => (float[N] y, int64[M] i) { y, i = TopK<axis = 1, k = 3>(x) }"),
        (11, "net (float[4, 9] x) => (float[N] y, int64[M] i) <int64[1] k = {3}> { y, i = TopK(x, k) }"),
    ],
    "Resize": [
        (11, X + " <float[0] roi = {}, float[4] f = {1, 1, 2, 2}> { y = Resize(x, roi, f) }"),
        (13, X + " <float[4] f = {1, 1, 2, 2}> { y = Resize(x, , f) }"),
    ],
    "Conv": [
        (11, "net (float[1, 3, 8, 8] x) => (float[N] y) <float[4, 3, 3, 3] w = {1}> { y = Conv(x, w) }"),
        (11, "net (float[1, 3, 8, 8] x) => (float[N] y) <float[4, 3, 3, 3] w = {1}> "
             "{ y = Conv<auto_pad = \"VALID\", kernel_shape = [3, 3], strides = [1, 1]>(x, w) }"),
    ],
    "Conv that keeps the shape": [
        (11, "net (float[1, 3, 8, 8] x) => (float[N] y) <float[4, 3, 3, 3] w = {1}> "
             "{ y = Conv<auto_pad = \"SAME_UPPER\">(x, w) }"),
        (11, "net (float[1, 3, 8, 8] x) => (float[N] y) <float[4, 3, 3, 3] w = {1}> "
             "{ y = Conv<pads = [1, 1, 1, 1]>(x, w) }"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_spellings_meet(name: str) -> None:
    first, *others = [node_of(text, opset) for opset, text in SAME[name]]

    for other in others:
        assert other == first


def test_reductions_name_their_axes() -> None:
    assert attributes_of(SAME["ReduceMean"][0][1], 13) == {"axes": (1, 3), "keepdims": 0}


def test_a_slice_names_only_what_it_cuts_and_where() -> None:
    assert attributes_of(SAME["Slice"][0][1], 9) == {
        "axes": (1, 3), "ends": (2, 5), "starts": (0, 1), "steps": (1, 1),
    }  # fmt: skip


def test_a_slice_backwards_ends_before_the_first_element() -> None:
    text = (
        "net (float[5] x) => (float[N] y) <int64[1] s = {-1}, int64[1] e = {-9}, int64[1] a = {0}, int64[1] d = {-2}>"
    )
    node = node_of(text + " { y = Slice(x, s, e, a, d) }", 13)

    assert node.attribute_map == {"axes": (0,), "ends": (-1,), "starts": (4,), "steps": (-2,)}
    assert node.outputs[0].shape == (3,)


def test_a_softmax_over_several_axes_at_once_says_so() -> None:
    assert attributes_of("net (float[2, 3, 4] x) => (float[N] y) { y = Softmax<axis = 1>(x) }", 11) == {
        "axis": 1, "flatten": 1,
    }  # fmt: skip


def test_a_gemm_has_every_default() -> None:
    text = "net (float[2, 4] x) => (float[N] y) <float[3, 4] w = {1}> { y = Gemm<transB = 1>(x, w) }"
    assert attributes_of(text) == {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}


@pytest.mark.parametrize(
    ("mode", "pads"), [("SAME_UPPER", (0, 0, 1, 1)), ("SAME_LOWER", (1, 1, 0, 0)), ("VALID", (0, 0, 0, 0))]
)
def test_automatic_padding_becomes_pads(mode: str, pads: tuple[int, ...]) -> None:
    text = """net (float[1, 3, 8, 8] x) => (float[N] y) <float[4, 3, 3, 3] w = {1}> {
        y = Conv<auto_pad = "%s", strides = [2, 2]>(x, w)
    }"""
    node = node_of(text % mode, 11)

    assert node.attribute_map == {
        "dilations": (1, 1), "group": 1, "kernel_shape": (3, 3), "pads": pads, "strides": (2, 2),
    }  # fmt: skip
    assert node.outputs[0].shape == ((1, 4, 3, 3) if mode == "VALID" else (1, 4, 4, 4))


def test_the_output_shape_of_a_transposed_convolution_becomes_pads() -> None:
    text = """net (float[1, 1, 3, 3] x) => (float[N] y) <float[1, 2, 3, 3] w = {1}> {
        y = ConvTranspose<strides = [3, 2], %s>(x, w)
    }"""
    wanted = node_of(text % "output_shape = [9, 6]", 11)
    padded = node_of(text % "pads = [0, 1, 0, 0]", 11)

    assert wanted.attributes == padded.attributes
    assert wanted.outputs == padded.outputs


def test_a_bound_that_is_computed_stays_an_input() -> None:
    graph = from_onnx(
        helper.make_model(
            parser.parse_graph("net (float[4] x, float low) => (float[4] y) { y = Clip(x, low) }"),
            opset_imports=[helper.make_operatorsetid("", 13)],
        )
    )

    assert len(graph.nodes[0].inputs) == 2
    assert graph.nodes[0].attributes == ()


def test_no_attribute_of_any_operator_is_lost_that_the_newest_schema_gives_a_default() -> None:
    """A new operator's defaults are spelled out without a change here."""
    text = "net (float[1, 4, 8, 8] x) => (float[N] y) { y = LpPool<kernel_shape = [2, 2]>(x) }"

    assert {"p", "ceil_mode"} <= attributes_of(text, onnx.defs.onnx_opset_version()).keys()
