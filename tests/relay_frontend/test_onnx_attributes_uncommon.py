"""Spellings of the operators that few networks have; what is said twice, or says nothing, is said once."""

import onnx
import pytest
from onnx import helper, parser

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import AttributeValue, OpGraph
from relay_frontend.onnx import from_onnx


def read(text: str, opset: int = 21) -> OpGraph:
    return from_onnx(helper.make_model(parser.parse_graph(text), opset_imports=[helper.make_operatorsetid("", opset)]))


def attributes_of(text: str, opset: int = 21) -> dict[str, AttributeValue]:
    graph = read(text, opset)
    assert len(graph.nodes) == 1
    return graph.nodes[0].attribute_map


def test_a_transform_names_its_axis_and_length_in_either_spelling() -> None:
    older = "net (float[2, 16, 2] x) => (float[N] y) <int64 n = {8}> { y = DFT<axis = 1>(x, n) }"
    newer = "net (float[2, 16, 2] x) => (float[N] y) <int64 n = {8}, int64 axis = {-2}> { y = DFT(x, n, axis) }"
    silent = "net (float[2, 16, 2] x) => (float[N] y) <int64 n = {8}> { y = DFT(x, n) }"
    expected = {"axis": 1, "dft_length": 8, "inverse": 0, "onesided": 0}

    assert attributes_of(older, 17) == attributes_of(newer, 20) == attributes_of(silent, 20) == expected


def test_a_short_time_transform_keeps_its_window_as_an_input() -> None:
    graph = read(
        """net (float[1, 128, 1] x) => (float[N] y) <int64 step = {8}, float[16] w = {1}, int64 length = {16}>
        { y = STFT(x, step, w, length) }"""
    )

    assert graph.nodes[0].attribute_map == {"frame_length": 16, "frame_step": 8, "onesided": 1}
    assert [kind.shape for kind in graph.input_types(0)] == [(1, 128, 1), (16,)]
    assert graph.nodes[0].outputs[0].shape == (1, 15, 9, 2)


@pytest.mark.parametrize(
    ("call", "name", "dtype"),
    [
        ("BitCast<to = 6>(x)", "to", "int32"),
        ("EyeLike<dtype = 11>(x)", "dtype", "float64"),
        ("Bernoulli<dtype = 9>(x)", "dtype", "bool"),
        ("RandomNormalLike<dtype = 10>(x)", "dtype", "float16"),
        ("RandomUniform<dtype = 1, shape = [2, 3]>()", "dtype", "float32"),
        ("Multinomial<dtype = 7, sample_size = 4>(x)", "dtype", "int64"),
    ],
)
def test_element_types_go_by_name(call: str, name: str, dtype: str) -> None:
    graph = read(f"net (float[2, 3] x) => (float[N] y) {{ y = {call} }}", 26)

    assert graph.nodes[0].attribute_map[name] == dtype
    assert graph.nodes[0].outputs[0].dtype == dtype


def test_a_quantisation_names_an_axis_only_where_there_are_scales_along_it() -> None:
    single = "net (float[2, 3, 4] x, float s, uint8 z) => (uint8[N] y) { y = QuantizeLinear(x, s, z) }"
    along = (
        "net (uint8[2, 3, 4] x, float[4] s, uint8[4] z) => (float[N] y) { y = DequantizeLinear<axis = -1>(x, s, z) }"
    )
    blocks = """net (uint8[2, 4] x, float[2, 2] s, uint8[2, 2] z) => (float[N] y) {
        y = DequantizeLinear<axis = 1, block_size = 2>(x, s, z)
    }"""

    assert attributes_of(single) == {}
    assert attributes_of(along) == {"axis": 2}
    assert attributes_of(blocks) == {"axis": 1, "block_size": 2}


def test_a_deformable_convolution_has_an_explicit_window_and_is_checked() -> None:
    text = """net (float[1, 4, 7, 7] x, float[6, 2, 3, 3] w, float[1, 18, 5, 5] o) => (float[N] y) {
        y = DeformConv<group = %d>(x, w, o)
    }"""

    assert attributes_of(text % 2) == {
        "dilations": (1, 1), "group": 2, "kernel_shape": (3, 3), "offset_group": 1, "pads": (0, 0, 0, 0),
        "strides": (1, 1),
    }  # fmt: skip
    with pytest.raises(InvalidGraphError, match="4 channels in 3 groups"):
        read(text % 3)


def test_sampling_modes_have_the_names_of_the_newest_opset() -> None:
    text = "net (float[1, 2, 4, 4] x, float[1, 3, 3, 2] g) => (float[N] y) { y = GridSample<mode = %s>(x, g) }"

    assert attributes_of(text % '"bilinear"', 16) == attributes_of(text % '"linear"', 20)
    assert attributes_of(text % '"bicubic"', 16)["mode"] == "cubic"


def test_columns_to_image_has_an_explicit_window() -> None:
    text = """net (float[1, 5, 5] x) => (float[N] y) <int64[2] image = {5, 5}, int64[2] block = {1, 5}> {
        y = Col2Im(x, image, block)
    }"""

    assert attributes_of(text) == {
        "block_shape": (1, 5), "dilations": (1, 1), "image_shape": (5, 5), "pads": (0, 0, 0, 0), "strides": (1, 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("op", "gates", "usual"),
    [("RNN", 1, '"Tanh"'), ("GRU", 3, '"Sigmoid", "Tanh"'), ("LSTM", 4, '"Sigmoid", "Tanh", "Tanh"')],
)
def test_recurrence_says_its_width_and_only_unusual_activations(op: str, gates: int, usual: str) -> None:
    text = f"""net (float[7, 2, 3] x) => (float[N] y, float[N] h) <
        float[1, {gates * 5}, 3] w = {{1}}, float[1, {gates * 5}, 5] r = {{1}}
    > {{ y, h = {op}<%s>(x, w, r) }}"""

    silent = attributes_of(text % "hidden_size = 5")
    assert silent["hidden_size"] == 5
    assert silent == attributes_of(text % f"hidden_size = 5, activations = [{usual}]")
    unusual = usual.replace('"Tanh"', '"Relu"')
    assert attributes_of(text % f"hidden_size = 5, activations = [{unusual}]")["activations"] == tuple(
        name.strip(' "') for name in unusual.split(",")
    )


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("net (float[2, 3] x) => (float[N] y) <int64 axis = {-1}> { y = CumProd(x, axis) }", 1),
        ("net (float[2, 3] x, float[3] s) => (float[N] y) { y = RMSNormalization<axis = -1>(x, s) }", 1),
        ("net (float[2, 1, 4, 5] x, float[2, 1, 1, 5] u) => (float[N] y) { y = TensorScatter(x, u) }", 2),
    ],
)
def test_axes_count_from_the_front(text: str, axis: int) -> None:
    assert attributes_of(text, 26)["axis"] == axis


def test_limits_of_a_choice_of_boxes_are_attributes() -> None:
    nodes = [helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap"], ["chosen"])]
    values = {"boxes": [1, 6, 4], "scores": [1, 1, 6]}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in values.items()],
        [helper.make_tensor_value_info("chosen", onnx.TensorProto.INT64, [3, 3])],
        [
            helper.make_tensor("most", onnx.TensorProto.INT64, [1], [3]),
            helper.make_tensor("overlap", onnx.TensorProto.FLOAT, [1], [0.5]),
        ],
    )
    read = from_onnx(helper.make_model(graph, opset_imports=[helper.make_operatorsetid("", 11)]))

    assert read.nodes[0].attribute_map == {
        "center_point_box": 0, "iou_threshold": 0.5, "max_output_boxes_per_class": 3,
    }  # fmt: skip
    assert len(read.nodes[0].inputs) == 2
