"""The planner by rules on the smallest graph of each rule: the blocked layout."""

import pytest

from relay_frontend.graph import OpGraph, OpNode
from tests.tokens.sketch import Sketch
from tvm_narcost.fusion.rules import plan_by_rules


def planned(graph: OpGraph, channel_block: int = 16) -> tuple[OpNode, ...]:
    return plan_by_rules(graph, channel_block=channel_block).graph.nodes


def ops(graph: OpGraph) -> list[str]:
    return [node.op for node in planned(graph)]


def convolution(inputs: int, outputs: int, group: int) -> OpGraph:
    sketch = Sketch((1, inputs, 6, 6))
    sketch.conv(sketch.input(), outputs, 3, group=group)
    return sketch.done()


@pytest.mark.parametrize(
    ("inputs", "outputs", "group", "expected"),
    [
        (64, 64, 1, ["ReorderInput", "Conv", "ReorderOutput"]),
        (3, 64, 1, ["Conv", "ReorderOutput"]),  # fewer channels than a block are read as they are
        (15, 64, 1, ["Conv", "ReorderOutput"]),
        (20, 64, 1, ["ReorderInput", "Conv", "ReorderOutput"]),  # a multiple of four is padded
        (18, 64, 1, ["Conv"]),  # no other
        (64, 61, 1, ["ReorderInput", "Conv", "ReorderOutput"]),  # outputs are always padded
        (64, 64, 64, ["ReorderInput", "Conv", "ReorderOutput"]),  # depthwise
        (36, 36, 36, ["ReorderInput", "Conv", "ReorderOutput"]),
        (30, 30, 30, ["Conv"]),
        (64, 64, 4, ["ReorderInput", "Conv", "ReorderOutput"]),  # groups of whole blocks
        (64, 64, 8, ["Conv"]),  # groups of half a block
        (64, 128, 64, ["Conv"]),  # depthwise with a multiplier
    ],
)
def test_which_convolutions_are_blocked(inputs: int, outputs: int, group: int, expected: list[str]) -> None:
    nodes = planned(convolution(inputs, outputs, group))

    assert [node.op for node in nodes] == expected
    blocked = [node.attribute_map.get("layout") == "nchwc" for node in nodes if node.op == "Conv"]
    assert blocked == [len(expected) > 1]


def test_channels_are_padded_to_whole_blocks_in_weights_too() -> None:
    plan = plan_by_rules(convolution(20, 61, 1))
    enter, conv, leave = plan.graph.nodes

    assert enter.outputs[0].shape == (1, 32, 6, 6)
    assert [kind.shape for kind in plan.graph.input_types(1)] == [(1, 32, 6, 6), (64, 32, 3, 3), (64,)]
    assert conv.outputs[0].shape == (1, 64, 6, 6)
    assert leave.outputs[0].shape == (1, 61, 6, 6)
    assert leave.attribute_map == {"channels": 61, "channels_last": 0}


def test_a_depthwise_convolution_gets_a_group_a_padded_channel() -> None:
    plan = plan_by_rules(convolution(36, 36, 36))

    assert plan.graph.nodes[1].attribute_map["group"] == 48
    assert plan.graph.input_types(1)[1].shape == (48, 1, 3, 3)


@pytest.mark.parametrize(("block", "padded"), [(8, 24), (16, 32)])
def test_the_block_is_that_of_the_vector_width(block: int, padded: int) -> None:
    assert planned(convolution(20, 20, 1), block)[1].outputs[0].shape == (1, padded, 6, 6)


def test_a_chain_is_entered_once_and_left_once() -> None:
    sketch = Sketch((1, 16, 8, 8))
    edge = sketch.conv(sketch.input(), 32)
    edge = sketch.node("MaxPool", edge, shape=(1, 32, 4, 4), kernel_shape=(2, 2), strides=(2, 2), pads=(0,) * 4)
    edge = sketch.conv(edge, 16, 3)
    sketch.node("GlobalAveragePool", edge, shape=(1, 16, 1, 1))
    nodes = planned(sketch.done())

    assert [node.op for node in nodes] == [
        "ReorderInput", "Conv", "MaxPool", "Conv", "GlobalAveragePool", "ReorderOutput",
    ]  # fmt: skip
    assert all(node.attribute_map["layout"] == "nchwc" for node in nodes[1:5])


def test_a_pool_enters_the_layout_by_itself_but_a_global_one_does_not() -> None:
    sketch = Sketch((1, 16, 8, 8))
    sketch.node("MaxPool", sketch.input(), shape=(1, 16, 4, 4), kernel_shape=(2, 2), strides=(2, 2), pads=(0,) * 4)
    assert ops(sketch.done()) == ["ReorderInput", "MaxPool", "ReorderOutput"]

    sketch = Sketch((1, 16, 8, 8))
    sketch.node("GlobalAveragePool", sketch.input(), shape=(1, 16, 1, 1))
    assert ops(sketch.done()) == ["GlobalAveragePool"]


def test_a_pool_of_half_a_block_stays() -> None:
    sketch = Sketch((1, 24, 8, 8))
    sketch.node("MaxPool", sketch.input(), shape=(1, 24, 4, 4), kernel_shape=(2, 2), strides=(2, 2), pads=(0,) * 4)

    assert ops(sketch.done()) == ["MaxPool"]


@pytest.mark.parametrize(
    ("op", "stays"), [("Gelu", True), ("QuickGelu", True), ("Erf", False), ("Softplus", False), ("Exp", False)]
)
def test_which_elementwise_operators_stay_in_the_layout(op: str, stays: bool) -> None:
    sketch = Sketch((1, 3, 8, 8))
    sketch.conv(sketch.node(op, sketch.conv(sketch.input(), 16)), 16)

    reorders = [] if stays else ["ReorderOutput"]
    assert ops(sketch.done()) == ["Conv", *reorders, op, *(["ReorderInput"] if reorders else []), "Conv",
                                  "ReorderOutput"]  # fmt: skip


@pytest.mark.parametrize(("op", "reorders"), [("Add", 1), ("Mul", 1), ("Sub", 2)])
def test_sums_and_products_of_blocked_values_stay(op: str, reorders: int) -> None:
    sketch = Sketch((1, 3, 8, 8))
    left, right = sketch.conv(sketch.input(), 16), sketch.conv(sketch.input(), 16)
    pooled = [
        sketch.node("MaxPool", edge, kernel_shape=(3, 3), strides=(1, 1), pads=(1,) * 4) for edge in (left, right)
    ]
    sketch.node(op, *pooled)

    assert ops(sketch.done()).count("ReorderOutput") == reorders


def test_a_sum_over_images_of_other_sizes_works_on_split_blocks() -> None:
    sketch = Sketch((1, 3, 8, 8))
    conv = sketch.conv(sketch.input(), 20)
    pool = sketch.node("MaxPool", sketch.conv(sketch.input(), 32), kernel_shape=(3, 3), strides=(1, 1), pads=(1,) * 4)
    small = sketch.conv(sketch.node("GlobalAveragePool", pool, shape=(1, 32, 1, 1)), 20)
    sketch.conv(sketch.node("Add", conv, small), 16)
    nodes = planned(sketch.done())

    add = next(node for node in nodes if node.op == "Add")
    assert add.outputs[0].shape == (1, 2, 8, 8, 16)
    assert [node.op for node in nodes].count("Reshape") == 3
    assert [node.op for node in nodes].count("ReorderOutput") == 1


@pytest.mark.parametrize(
    ("attributes", "blocked"),
    [
        ({"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}, True),
        ({"mode": "nearest", "nearest_mode": "ceil", "coordinate_transformation_mode": "asymmetric"}, False),
        ({"mode": "linear", "coordinate_transformation_mode": "half_pixel"}, True),
        ({"mode": "cubic", "coordinate_transformation_mode": "half_pixel"}, False),
    ],
)
def test_which_resizes_are_blocked(attributes: dict[str, str], blocked: bool) -> None:
    sketch = Sketch((1, 3, 8, 8))
    sketch.node("Resize", sketch.conv(sketch.input(), 16), shape=(1, 16, 16, 16), scales=(1.0, 1.0, 2.0, 2.0),
                **attributes)  # fmt: skip

    assert ops(sketch.done())[1] == ("Upsample" if blocked else "ReorderOutput")


@pytest.mark.parametrize(("width", "blocked"), [(16, True), (24, False)])
def test_whole_blocks_are_concatenated_in_the_layout(width: int, blocked: bool) -> None:
    sketch = Sketch((1, 3, 8, 8))
    edges = [sketch.conv(sketch.input(), width) for _ in range(2)]
    sketch.conv(sketch.node("Concat", *edges, shape=(1, 2 * width, 8, 8), axis=1), 16)

    assert ops(sketch.done()).count("ReorderInput") == (0 if blocked else 1)


def test_readers_in_plain_layout_share_one_copy() -> None:
    sketch = Sketch((1, 3, 8, 8))
    conv = sketch.conv(sketch.input(), 16)
    sketch.node("Div", sketch.node("Exp", conv), sketch.node("Erf", conv))

    assert ops(sketch.done()).count("ReorderOutput") == 1


def test_readers_in_the_layout_share_one_copy() -> None:
    sketch = Sketch((1, 16, 8, 8))
    left, right = (sketch.conv(sketch.input(), 16) for _ in range(2))
    sketch.node("Sub", left, right)

    assert ops(sketch.done()).count("ReorderInput") == 1


def test_batch_normalisation_and_a_scale_a_channel_become_depthwise_convolutions() -> None:
    sketch = Sketch((1, 3, 8, 8))
    pool = sketch.node("MaxPool", sketch.conv(sketch.input(), 16), kernel_shape=(3, 3), strides=(1, 1), pads=(1,) * 4)
    norm = sketch.node("BatchNormalization", pool, *(sketch.weight(16) for _ in range(4)))
    sketch.node("Mul", sketch.node("Relu", norm), sketch.weight(16, 1, 1))
    nodes = planned(sketch.done())

    assert [node.op for node in nodes] == ["Conv", "MaxPool", "Conv", "Conv", "ReorderOutput"]
    assert [len(node.inputs) for node in nodes[2:4]] == [3, 2]
    assert [node.attribute_map["group"] for node in nodes[2:4]] == [16, 16]
    assert nodes[2].attribute_map["activation"] == "Relu"


def test_batch_normalisation_in_plain_layout_stays() -> None:
    sketch = Sketch((1, 16, 8, 8))
    sketch.node("BatchNormalization", sketch.input(), *(sketch.weight(16) for _ in range(4)))

    assert ops(sketch.done()) == ["BatchNormalization"]


def test_hard_swish_goes_into_a_blocked_convolution_and_is_two_kernels_elsewhere() -> None:
    sketch = Sketch((1, 3, 8, 8))
    sketch.node("HardSwish", sketch.conv(sketch.input(), 16))
    nodes = planned(sketch.done())
    assert [node.op for node in nodes] == ["Conv", "ReorderOutput"]
    assert nodes[0].attribute_map["activation"] == "HardSwish"

    sketch = Sketch((1, 16))
    sketch.node("HardSwish", sketch.input())
    assert ops(sketch.done()) == ["HardSigmoid", "Mul"]


def test_a_transpose_to_channels_last_and_back_is_part_of_the_reorder() -> None:
    sketch = Sketch((1, 3, 8, 8))
    last = sketch.node("Transpose", sketch.conv(sketch.input(), 16), shape=(1, 8, 8, 16), perm=(0, 2, 3, 1))
    norm = sketch.node("LayerNormalization", last, sketch.weight(16), sketch.weight(16), axis=3)
    sketch.conv(sketch.node("Transpose", norm, shape=(1, 16, 8, 8), perm=(0, 3, 1, 2)), 16)
    nodes = planned(sketch.done())

    assert [node.op for node in nodes] == [
        "Conv", "ReorderOutput", "LayerNormalization", "ReorderInput", "Conv", "ReorderOutput",
    ]  # fmt: skip
    assert nodes[1].attribute_map["channels_last"] == 1
    assert nodes[3].attribute_map["channels_last"] == 1
