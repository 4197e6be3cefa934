"""What becomes a node, a parameter or an attribute; bound dimensions; errors that say what to do."""

from collections import Counter
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, parser

from relay_frontend.errors import DynamicShapeError, InvalidGraphError, ModelFileError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, TensorType
from relay_frontend.onnx import from_onnx, read_onnx

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def model_of(text: str, opset: int = 17) -> onnx.ModelProto:
    return helper.make_model(
        parser.parse_graph(text),
        opset_imports=[helper.make_operatorsetid("", opset), helper.make_operatorsetid("com.microsoft", 1)],
    )


def read(text: str, opset: int = 17, shapes: dict[str, tuple[int, ...]] | None = None) -> OpGraph:
    return from_onnx(model_of(text, opset), shapes=shapes)


def float32(*shape: int) -> TensorType:
    return TensorType(shape, "float32")


LIGHT_OPERATORS = {
    "bvlc_alexnet": {"Conv": 5, "Relu": 7, "LRN": 2, "MaxPool": 3, "Reshape": 1, "Gemm": 3, "Dropout": 2, "Softmax": 1},
    "densenet121": {"Conv": 121, "BatchNormalization": 121, "Mul": 121, "Add": 121, "Relu": 121, "MaxPool": 1,
                    "Concat": 58, "AveragePool": 3, "GlobalAveragePool": 1},
    "inception_v1": {"Conv": 57, "Relu": 57, "MaxPool": 13, "LRN": 2, "Concat": 9, "AveragePool": 1, "Dropout": 1,
                     "Reshape": 1, "Gemm": 1, "Softmax": 1},
    "resnet50": {"Conv": 53, "BatchNormalization": 53, "Relu": 49, "MaxPool": 1, "Sum": 16, "AveragePool": 1,
                 "Reshape": 1, "Gemm": 1, "Softmax": 1},
    "shufflenet": {"Conv": 49, "BatchNormalization": 49, "Relu": 33, "MaxPool": 1, "Reshape": 33, "Transpose": 16,
                   "AveragePool": 4, "Concat": 3, "Sum": 13, "Gemm": 1, "Softmax": 1},
    "squeezenet": {"Conv": 26, "Relu": 26, "MaxPool": 3, "Concat": 8, "Dropout": 1, "GlobalAveragePool": 1,
                   "Softmax": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", LIGHT_OPERATORS)
def test_a_light_network_keeps_its_operators_and_loses_its_constants(name: str) -> None:
    graph = read_onnx(LIGHT / f"light_{name}.onnx")

    assert Counter(node.op for node in graph.nodes) == LIGHT_OPERATORS[name]
    assert [kind for _, kind in graph.inputs] == [float32(1, 3, 224, 224)]
    assert graph.type_of(graph.outputs[0]).elements == 1000


def test_weights_of_a_light_network_have_the_sizes_that_are_published() -> None:
    graph = read_onnx(LIGHT / "light_resnet50.onnx")

    statistics = sum(2 * node.outputs[0].shape[1] for node in graph.nodes if node.op == "BatchNormalization")
    assert sum(kind.elements for _, kind in graph.parameters) - statistics == 25_557_032  # torchvision's resnet50


def test_edges_follow_the_order_of_inputs_and_left_out_ones_are_skipped() -> None:
    graph = read("net (float[2] low, float[3] x) => (float[3] y) { y = Clip(x, , high) }"
                 .replace("high)", "low2)").replace("{ ", "{ low2 = ReduceSum<keepdims=0>(low) "))  # fmt: skip

    assert graph.nodes[1].inputs == (Edge(GRAPH_INPUT, 1), Edge(0))


def test_a_weight_is_one_parameter_however_many_read_it() -> None:
    graph = read("net (float[2, 4] x) => (float[2, 4] z) <float[4, 4] w = {1}> { y = MatMul(x, w) z = MatMul(y, w) }")

    assert graph.parameters == (("w", float32(4, 4)),)
    assert [node.inputs for node in graph.nodes] == [
        (Edge(GRAPH_INPUT), Edge(PARAMETER)),
        (Edge(0), Edge(PARAMETER)),
    ]


def test_what_is_computed_from_weights_alone_is_a_parameter() -> None:
    graph = read(
        """net (float[1, 3, 8, 8] x) => (float[1, 4, 6, 6] y) <int64[4] extents = {3, 3, 3, 4}> {
            raw = ConstantOfShape(extents)
            weight = Transpose<perm = [3, 0, 1, 2]>(raw)
            y = Conv(x, weight)
        }"""
    )

    assert [node.op for node in graph.nodes] == ["Conv"]
    assert graph.parameters == (("weight", float32(4, 3, 3, 3)),)


def test_shape_arithmetic_is_carried_out() -> None:
    graph = read(
        """net (float[2, 6, 4] x) => (float[2, 24] y) <int64 zero = {0}, int64[1] rest = {-1}, int64[1] front = {0}> {
            shape = Shape(x)
            batch = Gather<axis = 0>(shape, zero)
            batch_list = Unsqueeze(batch, front)
            target = Concat<axis = 0>(batch_list, rest)
            y = Reshape(x, target)
        }"""
    )

    assert [node.op for node in graph.nodes] == ["Reshape"]
    assert graph.nodes[0].inputs == (Edge(GRAPH_INPUT),)
    assert graph.nodes[0].attributes == (("shape", (2, 24)),)


def test_weights_declared_as_inputs_without_data_are_parameters() -> None:
    graph = read(
        """net (float[1, 3, 8, 8] x, float[4, 3, 3, 3] w, float[4] scale, float[4] shift, float[4] mean, float[4] var)
            => (float[1, 4, 6, 6] z) {
            y = Conv(x, w)
            z = BatchNormalization(y, scale, shift, mean, var)
        }"""
    )

    assert [name for name, _ in graph.inputs] == ["x"]
    assert [name for name, _ in graph.parameters] == ["w", "scale", "shift", "mean", "var"]


def test_an_input_that_is_computed_with_is_no_weight_though_a_gemm_reads_it_as_one() -> None:
    graph = read(
        """net (float[2, 3] x, float[2, 4] d, float[3, 4] w) => (float[2, 4] y, float[2, 4] z) {
            y = Gemm(x, w, d)
            z = Relu(d)
        }"""
    )

    assert [name for name, _ in graph.inputs] == ["x", "d"]
    assert [name for name, _ in graph.parameters] == ["w"]
    assert [node.op for node in graph.nodes] == ["Gemm", "Relu"]


def test_an_initializer_without_data_has_a_type() -> None:
    model = model_of("net (float[1, 4] x) => (float[1, 8] y) <float[4, 8] w = {1}> { y = MatMul(x, w) }")
    del model.graph.initializer[0].float_data[:]
    model.graph.initializer[0].ClearField("raw_data")

    assert from_onnx(model).parameters == (("w", float32(4, 8)),)


def test_an_optional_output_that_nobody_reads_is_not_there() -> None:
    graph = read("net (float[4] x) => (float[4] z) { y, mask = Dropout(x) z = Relu(y) }")

    assert graph.nodes[0].outputs == (float32(4),)


def test_an_output_that_is_left_out_in_the_middle_keeps_its_place() -> None:
    graph = read(
        """net (float[5, 1, 3] x) => (float[1, 1, 7] state) <float[1, 28, 3] w = {1}, float[1, 28, 7] r = {1}> {
            , state = LSTM<hidden_size = 7>(x, w, r)
        }"""
    )

    assert graph.outputs == (Edge(0, 1),)
    assert graph.nodes[0].outputs == (TensorType((0,), "float32"), float32(1, 1, 7))


def test_nodes_in_any_order_are_sorted() -> None:
    graph = read("net (float[4] x) => (float[4] z) { z = Relu(y) y = Exp(x) }")

    assert [node.op for node in graph.nodes] == ["Exp", "Relu"]


def test_a_constant_output_and_an_input_handed_through_are_edges() -> None:
    graph = read("net (float[4] x) => (float[4] x, float[2] c) <float[2] c = {1, 2}> { }")

    assert graph.outputs == (Edge(GRAPH_INPUT), Edge(PARAMETER))


def test_the_dtype_follows_the_operators() -> None:
    graph = read("net (float16[4] x) => (bool[4] z) { y = Cast<to = 1>(x) z = Greater(y, y) }")

    assert [node.outputs[0].dtype for node in graph.nodes] == ["float32", "bool"]


def test_an_open_dimension_is_named_with_the_option_to_give() -> None:
    with pytest.raises(DynamicShapeError, match=r"'pixels' has \[N, 3, height, 64\], give --shape pixels=1x3x224x64"):
        read("net (float[N, 3, height, 64] pixels) => (float[N, 3, height, 64] y) { y = Relu(pixels) }")


def test_a_shape_that_is_given_binds_the_dimension_everywhere() -> None:
    graph = read("net (float[N, 3] a, float[N, 3] b) => (float[N, 3] y) { y = Add(a, b) }", shapes={"a": (5, 3)})

    assert [kind for _, kind in graph.inputs] == [float32(5, 3), float32(5, 3)]
    assert graph.nodes[0].outputs == (float32(5, 3),)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"b": (1, 3)}, "given for 'b', expected names of inputs: 'a'"),
        ({"a": (1, 4)}, r"given shape \[1, 4\], expected one that fits the model's \[N, 3\]"),
        ({"a": (1, 3, 1)}, r"given shape \[1, 3, 1\]"),
        ({"a": (-1, 3)}, r"given shape \[-1, 3\]"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(shapes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        read("net (float[N, 3] a) => (float[N, 3] y) { y = Relu(a) }", shapes=shapes)


def test_a_shape_that_depends_on_data_is_an_error() -> None:
    with pytest.raises(DynamicShapeError, match="outputs \\['y'\\] of NonZero 'y' depend on data"):
        read("net (float[4] x) => (int64[1, N] y) { y = NonZero(x) }")


def test_every_operator_without_types_is_named_at_once() -> None:
    with pytest.raises(UnsupportedOperatorError, match="3 of 5 operators") as caught:
        read(
            """net (float[4] x) => (float[4] d) {
                a = Relu(x) b = Frobnicate(a) c = com.microsoft.Unheard(b) d = com.example.Relu(c) e = Frobnicate(d)
            }"""
        )

    for offender in ("Frobnicate 'b'", "com.microsoft.Unheard 'c'", "Frobnicate 'e'", "value_info"):
        assert offender in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("y = Add(x, z) z = Relu(y)", "2 of 2 nodes depend on themselves"),
        ("y = Add(x, missing)", "Add 'y' reads 'missing'"),
        ("y = Relu(x) y = Exp(x)", "'y', which is written elsewhere too"),
        ("x = Relu(x) y = Relu(x)", "'x', which is written elsewhere too"),
        ("z = Relu(x)", "output 'y', which nothing writes"),
        ("y = Add(x)", "reads \\['x'\\], expected 2 to 2 values"),
        ("y = Add(, x)", "left out"),
        ("y = Concat<axis = 3>(x, x)", r"names axes \[3\]"),
        ("y = MatMul(x, w)", "does not fit its inputs"),
        ("y = Softmax<axis = -3>(x)", r"names axes \[-3\]"),
        ("y = Reshape(x, three)", r"makes \[3\] of \[4\]"),
        ("y = Reshape(image, minus)", "Reshape 'y' does not fit its inputs"),
        ("y = Conv(image, kernel)", "has 3 channels in 1 groups, expected weights for 3, got some for 2"),
        ("y = Gemm(matrix, matrix)", "Gemm 'y' does not fit its inputs"),
    ],
)
def test_a_graph_that_is_none_is_refused(nodes: str, message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        read(
            f"""net (float[4] x, float[1, 3, 8, 8] image, float[5, 2] matrix) => (float[4] y) <
                float[5, 2] w = {{1}}, float[4, 2, 3, 3] kernel = {{1}},
                int64[1] three = {{3}}, int64[2] minus = {{-1, 7}}
            > {{ {nodes} }}"""
        )


def test_a_newer_opset_is_refused() -> None:
    with pytest.raises(UnsupportedOperatorError, match="uses opset 999, expected at most"):
        read("net (float[4] x) => (float[4] y) { y = Relu(x) }", opset=999)


def test_a_shape_outside_of_the_file_is_said_to_be_there() -> None:
    model = model_of("net (float[4] x) => (float[2, 2] y) <int64[2] s = {2, 2}> { y = Reshape(x, s) }")
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL

    with pytest.raises(ModelFileError, match="initializer 's', which Reshape 'y' reads.*outside of the model file"):
        from_onnx(model)
