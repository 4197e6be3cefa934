"""Functions of the model's own, control flow, sequences: the graph has what would run, as often as it would."""

from collections import Counter

import onnx
import pytest
from onnx import TensorProto, helper, parser

from relay_frontend.errors import DynamicShapeError, InvalidGraphError, LimitError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, TensorType
from relay_frontend.limits import Limits
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize

LIMITS = Limits()


def read(text: str, limits: Limits = LIMITS) -> OpGraph:
    return from_onnx(parser.parse_model(f'<ir_version: 9, opset_import: ["" : 17, "own" : 1]> {text}'), limits=limits)


def operators(graph: OpGraph) -> dict[str, int]:
    return dict(Counter(node.op for node in graph.nodes))


def float32(*shape: int) -> TensorType:
    return TensorType(shape, "float32")


TWICE = '<domain: "own", opset_import: ["" : 17]> Twice (a) => (b) { h = Exp(a) b = Add(h, a) }'


def test_a_function_is_written_out_at_each_call() -> None:
    graph = read("net (float[4] x) => (float[4] y) { h = own.Twice(x) y = own.Twice(h) }" + TWICE)

    assert [node.op for node in graph.nodes] == ["Exp", "Add", "Exp", "Add"]
    assert graph.nodes[3].inputs == (Edge(2), Edge(1))
    assert graph.outputs == (Edge(3),)


def test_a_function_of_functions_takes_attributes_and_weights() -> None:
    graph = read(
        """net (float[2, 4] x) => (float[2, 8] y) <float[4, 8] w = {1}> { y = own.Outer<slope = 0.5>(x, w) }
        <domain: "own", opset_import: ["" : 13, "own" : 1]>
        Outer <slope> (a, weight) => (c) { b = MatMul(a, weight) c = own.Inner<alpha: float = @slope>(b) }
        <domain: "own", opset_import: ["" : 17]> Inner <alpha> (a) => (b) { b = LeakyRelu<alpha: float = @alpha>(a) }"""
    )

    assert operators(graph) == {"MatMul": 1, "LeakyRelu": 1}
    assert graph.nodes[1].attribute_map["alpha"] == 0.5
    assert graph.parameters == (("w", float32(4, 8)),)


def test_a_function_whose_attribute_is_left_out_has_the_default() -> None:
    graph = read(
        """net (float[4] x) => (float[4] y) { y = own.F(x) }
        <domain: "own", opset_import: ["" : 17]> F <alpha> (a) => (b) { b = LeakyRelu<alpha: float = @alpha>(a) }"""
    )

    assert graph.nodes[0].attribute_map["alpha"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    "functions",
    [
        "F (a) => (b) { b = own.F(a) }",
        'F (a) => (b) { b = own.G(a) } <domain: "own", opset_import: ["own" : 1]> G (a) => (b) { b = own.F(a) }',
    ],
)
def test_a_function_that_calls_itself_is_refused(functions: str) -> None:
    with pytest.raises(InvalidGraphError, match="function own.F calls itself"):
        read(
            f'net (float[4] x) => (float[4] y) {{ y = own.F(x) }}<domain: "own", opset_import: ["own" : 1]> {functions}'
        )


def test_functions_that_double_at_every_level_meet_the_limit() -> None:
    levels = "".join(
        f'<domain: "own", opset_import: ["own" : 1, "" : 17]> F{level} (a) => (c) '
        f"{{ b = own.F{level + 1}(a) c = own.F{level + 1}(b) }}"
        for level in range(20)
    )
    last = '<domain: "own", opset_import: ["" : 17]> F20 (a) => (c) { c = Relu(a) }'
    with pytest.raises(LimitError, match="expected at most 5000"):
        read("net (float[4] x) => (float[4] y) { y = own.F0(x) }" + levels + last, Limits(nodes=5000))


IF = """net ({inputs} float[1, 4] x) => (float[1, 4] z) <float[4, 4] w = {{1}}, bool flag = {{{flag}}}> {{
    y = If({condition}) <
        then_branch = small () => (float[1, 4] a) {{ a = Relu(x) }},
        else_branch = large () => (float[1, 4] a) {{ b = MatMul(x, w) a = Relu(b) }}
    >
    z = Exp(y)
}}"""


@pytest.mark.parametrize(("flag", "expected"), [(1, ["Relu", "Exp"]), (0, ["MatMul", "Relu", "Exp"])])
def test_an_if_on_a_constant_is_the_branch_that_it_takes(flag: int, expected: list[str]) -> None:
    graph = read(IF.format(inputs="", flag=flag, condition="flag"))

    assert [node.op for node in graph.nodes] == expected
    assert graph.notes == ()


def test_an_if_on_data_counts_as_the_dearer_branch_and_says_so() -> None:
    graph = canonicalize(read(IF.format(inputs="bool given,", flag=1, condition="given")))

    assert [node.op for node in graph.nodes] == ["MatMul", "Relu", "Exp"]
    assert graph.parameters == (("w", float32(4, 4)),)
    assert graph.notes == (
        "If 'y': its condition depends on data; counted as else_branch, the dearer of the two (36 FLOPs, the other 4)",
    )
    assert OpGraph.from_json(graph.to_json()).notes == graph.notes


LOOP = """net (int64 count, bool go, float[1, 4] x) => (float[1, 4] y, float[N, 4] all) <
        int64 trips = {{{trips}}}, bool yes = {{1}}, int64 three = {{3}}, float[4, 4] w = {{1}}
    > {{
    last, all = Loop({trip_count}, {condition}, x) <
        body = step (int64 i, bool c, float[1, 4] s) => (bool d, float[1, 4] t, float[4] part) {{
            t = MatMul(s, w)
            part = Squeeze(t)
            d = {next}
        }}
    >
    y = Exp(last)
}}"""


def loop(trips: int = 5, trip_count: str = "trips", condition: str = "yes", next: str = "Identity(c)") -> OpGraph:
    return read(LOOP.format(trips=trips, trip_count=trip_count, condition=condition, next=next))


@pytest.mark.parametrize("condition", ["yes", ""])
def test_a_loop_of_constant_count_runs_so_often(condition: str) -> None:
    graph = loop(condition=condition)

    assert operators(graph) == {"MatMul": 5, "Squeeze": 5, "Unsqueeze": 5, "Concat": 1, "Exp": 1}
    assert graph.parameters == (("w", float32(4, 4)),)
    assert graph.type_of(graph.outputs[1]) == float32(5, 4)
    assert graph.notes == ()


def test_a_loop_ends_when_its_condition_does() -> None:
    graph = loop(trip_count="", next="Less(i, three)")  # after i = 3 has run

    assert operators(graph)["MatMul"] == 4
    assert graph.notes == ()


def test_a_loop_of_unknown_count_counts_once_and_says_so() -> None:
    text = LOOP.format(trips=5, trip_count="count", condition="yes", next="Identity(c)")
    graph = read(text.replace(", float[N, 4] all)", ")"))

    assert operators(canonicalize(graph)) == {"MatMul": 1, "Exp": 1}
    assert graph.notes == ("Loop 'last': how often it runs depends on data; counted 1x",)
    with pytest.raises(DynamicShapeError, match="'all' is open: its first extent is how often Loop 'last' runs"):
        read(text)


def test_a_loop_that_may_end_early_counts_as_its_trip_count() -> None:
    text = LOOP.format(trips=5, trip_count="trips", condition="go", next="Identity(go)")
    graph = read(text.replace(", float[N, 4] all)", ")"))

    assert operators(graph)["MatMul"] == 5
    assert graph.notes[0].endswith("counted 5x, the most that its trip count allows")


def test_a_loop_of_declared_results_runs_as_often_as_these_say() -> None:
    text = LOOP.format(trips=5, trip_count="count", condition="go", next="Identity(c)")
    graph = read(text.replace("float[N, 4] all", "float[3, 4] all"))

    assert operators(graph)["MatMul"] == 3
    assert graph.type_of(graph.outputs[1]) == float32(3, 4)


def test_a_loop_that_never_runs_hands_its_state_on() -> None:
    text = LOOP.format(trips=0, trip_count="trips", condition="yes", next="Identity(c)")
    graph = read(text.replace(", float[N, 4] all)", ")"))

    assert operators(graph) == {"Exp": 1}
    assert graph.nodes[0].inputs == (Edge(GRAPH_INPUT, 2),)


def test_a_loop_without_end_meets_the_limit() -> None:
    with pytest.raises(LimitError, match="Loop 'last', written out, has 9223372036854775807 \\* |nodes, expected at"):
        loop(trips=2**63 - 1, condition="")
    with pytest.raises(LimitError, match="nodes, expected at most 300"):
        read(LOOP.format(trips=2**63 - 1, trip_count="trips", condition="yes", next="Identity(c)"), Limits(nodes=300))


def test_a_scan_runs_once_for_each_element() -> None:
    graph = read(
        """net (float[1, 4] start, float[7, 4] xs) => (float[1, 4] last, float[7, 1, 4] ys) <float[4, 4] w = {1}> {
            last, ys = Scan <num_scan_inputs = 1,
                body = step (float[1, 4] s, float[4] x) => (float[1, 4] t, float[1, 4] y) {
                    h = MatMul(s, w)
                    t = Add(h, x)
                    y = Tanh(t)
                }
            > (start, xs)
        }"""
    )

    assert operators(graph) == {"Gather": 7, "MatMul": 7, "Add": 7, "Tanh": 7, "Unsqueeze": 7, "Concat": 1}
    assert [graph.type_of(edge) for edge in graph.outputs] == [float32(1, 4), float32(7, 1, 4)]


def test_sequences_are_the_tensors_inside() -> None:
    graph = read(
        """net (float[6, 2] x, float[3, 2] y) => (float[3, 2] first, float[9, 2] joined, int64 count) <
                int64 zero = {0}, int64 three = {3}
            > {
            parts = SplitToSequence<axis = 0>(x, three)
            more = SequenceInsert(parts, y)
            first = SequenceAt(more, zero)
            joined = ConcatFromSequence<axis = 0>(more)
            count = SequenceLength(more)
        }"""
    )

    assert [node.op for node in graph.nodes] == ["Split", "Concat"]
    assert graph.nodes[1].inputs == (Edge(0, 0), Edge(0, 1), Edge(GRAPH_INPUT, 1))
    assert graph.outputs[0] == Edge(0, 0)
    assert graph.type_of(graph.outputs[1]) == float32(9, 2)


def test_an_operator_on_tensors_refuses_a_sequence() -> None:
    with pytest.raises(InvalidGraphError, match="Relu 'y' reads 's', which is a sequence"):
        read("net (float[6, 2] x) => (float[6, 2] y) { s = SequenceConstruct(x) y = Relu(s) }")


def test_graphs_nested_deeper_than_the_limit_are_refused() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "leaf", [], [helper.make_tensor_value_info("y", 1, [4])]
    )
    for _ in range(5):
        node = helper.make_node("If", ["flag"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "net", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])])
    graph.input.extend(
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4]), helper.make_tensor_value_info("flag", 9, [])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_operatorsetid("", 17)])

    assert operators(from_onnx(model)) == {"Relu": 1}
    with pytest.raises(LimitError, match="nested 4 deep, expected at most 3"):
        from_onnx(model, limits=Limits(nesting=3))


@pytest.mark.parametrize(
    ("op", "opset", "operands", "dtype"),
    [
        ("GreaterOrEqual", 12, "x, x", "bool"),
        ("LessOrEqual", 15, "x, x", "bool"),
        ("GroupNormalization<num_groups = 2>", 21, "x, s, s", "float"),
        ("MeanVarianceNormalization<axes = [0, 2]>", 9, "x", "float"),
    ],
)
def test_an_operator_that_onnx_defines_by_others_stays_one(op: str, opset: int, operands: str, dtype: str) -> None:
    text = f"net (float[2, 4, 6] x, float[4] s) => ({dtype}[A, B, C] y) {{ y = {op}({operands}) }}"
    graph = from_onnx(helper.make_model(parser.parse_graph(text), opset_imports=[helper.make_operatorsetid("", opset)]))

    assert [node.op for node in graph.nodes] == [op.partition("<")[0]]
    assert graph.nodes[0].outputs[0] == TensorType((2, 4, 6), dtype.replace("float", "float32"))


def test_nested_graphs_may_reuse_names() -> None:
    inner = parser.parse_graph("inner () => (float[4] h) { h = Exp(x) }")
    node = helper.make_node("If", ["flag"], ["y"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["h"]), node, helper.make_node("Add", ["h", "y"], ["z"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4]), helper.make_tensor_value_info("flag", 9, [])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [4])],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_operatorsetid("", 17)])

    read_back = from_onnx(model)
    assert [node.op for node in read_back.nodes] == ["Relu", "Exp", "Add"]
    assert read_back.nodes[2].inputs == (Edge(0), Edge(1))


def taking(kind: onnx.TypeProto) -> onnx.ModelProto:
    """Doubles what is inside of an optional value, and says whether there is something."""
    nodes = [
        helper.make_node("OptionalGetElement", ["x"], ["t"]),
        helper.make_node("Add", ["t", "t"], ["y"]),
        helper.make_node("OptionalHasElement", ["x"], ["there"]),
    ]
    outputs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [4]),
        helper.make_tensor_value_info("there", TensorProto.BOOL, []),
    ]
    graph = helper.make_graph(nodes, "net", [helper.make_value_info("x", kind)], outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_an_optional_input_is_read_as_given() -> None:
    inside = helper.make_tensor_type_proto(TensorProto.FLOAT, [4])
    graph = from_onnx(taking(helper.make_optional_type_proto(inside)))

    assert graph.inputs == (("x", float32(4)),)
    assert [node.op for node in graph.nodes] == ["Add"]
    assert [graph.type_of(edge) for edge in graph.outputs] == [float32(4), TensorType((), "bool")]
    assert graph.notes == ("input 'x' may be left out: it is counted as given",)


def test_an_optional_input_of_open_shape_is_bound_like_any_other() -> None:
    model = taking(helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])))

    with pytest.raises(DynamicShapeError, match="'x' has \\[n\\], give --shape x=1"):
        from_onnx(model)
    assert from_onnx(model, shapes={"x": (7,)}).inputs == (("x", float32(7)),)


def test_an_input_of_unknown_length_is_refused() -> None:
    inside = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [4]))

    with pytest.raises(UnsupportedOperatorError, match="optional_type of sequence_type.* how many tensors"):
        from_onnx(taking(helper.make_optional_type_proto(inside)))
    with pytest.raises(UnsupportedOperatorError, match="is of kind sequence_type.* an input of its own"):
        from_onnx(taking(inside))
