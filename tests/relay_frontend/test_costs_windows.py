"""Convolutions and pooling: FLOPs, and the taps that fall in padding against a count one by one."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_frontend.costs import OperatorCost, operator_cost
from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, AttributeValue, Edge, OpGraph, OpNode, TensorType
from relay_frontend.taps import valid_taps

Shape = tuple[int, ...]


def cost(op: str, data: Shape, weights: list[Shape], output: Shape, **attributes: AttributeValue) -> OperatorCost:
    """The cost of one operator that reads ``data`` and then parameters."""
    edges = (Edge(GRAPH_INPUT), *(Edge(PARAMETER, slot) for slot in range(len(weights))))
    node = OpNode(op, edges, (TensorType(output, "float32"),), tuple(sorted(attributes.items())))
    parameters = tuple((f"w{slot}", TensorType(shape, "float32")) for slot, shape in enumerate(weights))
    graph = OpGraph("one", (node,), (("x", TensorType(data, "float32")),), parameters, (Edge(0),))
    return operator_cost(graph, 0)


@given(
    positions=st.integers(0, 12),
    taps=st.integers(0, 8),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 6),
    pad_begin=st.integers(-4, 12),
    extent=st.integers(0, 20),
)
@settings(max_examples=400)
def test_valid_taps_are_what_counting_finds(
    positions: int, taps: int, stride: int, dilation: int, pad_begin: int, extent: int
) -> None:
    counted = sum(
        0 <= position * stride + tap * dilation - pad_begin < extent
        for position in range(positions)
        for tap in range(taps)
    )

    assert valid_taps(positions, taps, stride, dilation, pad_begin, extent) == counted


def test_absurd_extents_take_no_time() -> None:
    huge = 10**18

    # An extent of 1 is under one tap of each position: the last tap of the first, the one before it of the second ...
    assert valid_taps(huge, huge, 1, 1, huge - 1, 1) == huge


@pytest.mark.parametrize(("stride", "dilation"), [(0, 1), (1, 0), (-1, 1)])
def test_strides_and_dilations_are_positive(stride: int, dilation: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        valid_taps(4, 3, stride, dilation, 1, 4)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Shape, Shape, Shape, dict[str, Shape | int]]:
    """Data, weight and output shapes and attributes of a small convolution over one to three axes."""
    rank = draw(st.integers(1, 3))
    axis = st.tuples(*[st.integers(1, 5)] * rank)
    extents, kernel, strides, dilations = draw(axis), draw(axis), draw(axis), draw(axis)
    pads = draw(st.tuples(*[st.integers(0, 6)] * 2 * rank))
    group, channels, filters = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    spans = [
        extent + pads[index] + pads[index + rank] - (kernel[index] - 1) * dilations[index] - 1
        for index, extent in enumerate(extents)
    ]
    positions = tuple(max(span, -1) // stride + 1 for span, stride in zip(spans, strides, strict=True))
    data = (draw(st.integers(1, 2)), group * channels, *extents)
    attributes: dict[str, Shape | int] = {
        "dilations": dilations, "group": group, "kernel_shape": kernel, "pads": pads, "strides": strides
    }  # fmt: skip
    return data, (group * filters, channels, *kernel), (data[0], group * filters, *positions), attributes


@given(convolutions())
@settings(max_examples=150)
def test_convolution_against_one_tap_at_a_time(case: tuple[Shape, Shape, Shape, dict[str, Shape]]) -> None:
    data, weight, output, attributes = case
    taps = padding = 0
    for position in product(*map(range, output[2:])):
        for tap in product(*map(range, weight[2:])):
            inside = all(
                0 <= position[axis] * attributes["strides"][axis] + tap[axis] * attributes["dilations"][axis]
                - attributes["pads"][axis] < data[axis + 2]
                for axis in range(len(tap))
            )  # fmt: skip
            taps += 1
            padding += not inside
    per_tap = 2 * output[0] * output[1] * weight[1]

    counted = cost("Conv", data, [weight], output, **attributes)

    assert (counted.flops, counted.padding_flops) == (per_tap * taps, per_tap * padding)


def test_first_convolution_of_resnet() -> None:
    counted = cost(
        "Conv", (1, 3, 224, 224), [(64, 3, 7, 7), (64,)], (1, 64, 112, 112), pads=(3, 3, 3, 3), strides=(2, 2)
    )

    assert counted.flops == 2 * 118_013_952
    # Along an axis the first window has 3 taps outside, the second 1, the last 2: 6 of 784.
    assert counted.padding_flops == 2 * 64 * 3 * (784**2 - 778**2)
    assert counted.input_bytes == 4 * 3 * 224 * 224
    assert counted.parameter_bytes == 4 * (64 * 3 * 49 + 64)
    assert counted.output_bytes == 4 * 64 * 112 * 112


def test_high_dilation_puts_most_taps_in_padding() -> None:
    """Of 3 x 3 taps, 64 apart over 64 x 64, only the middle one ever falls on data."""
    counted = cost(
        "Conv", (1, 8, 64, 64), [(8, 8, 3, 3)], (1, 8, 64, 64), pads=(64,) * 4, dilations=(64, 64), strides=(1, 1)
    )

    assert counted.flops - counted.padding_flops == 2 * 64 * 64 * 8 * 8
    assert counted.padding_flops == 8 * (counted.flops - counted.padding_flops)


def test_pads_are_begin_of_every_axis_then_end() -> None:
    """Padding at the top only: the two axes see different padding."""
    top = cost("Conv", (1, 1, 4, 4), [(1, 1, 3, 1)], (1, 1, 4, 4), pads=(2, 0, 0, 0))
    left = cost("Conv", (1, 1, 4, 4), [(1, 1, 3, 1)], (1, 1, 2, 6), pads=(0, 2, 0, 0))

    assert top.padding_flops == 2 * 4 * (2 + 1)
    assert left.padding_flops == 2 * 3 * 2 * 2


def test_depthwise_convolution_counts_one_channel_a_filter() -> None:
    counted = cost("Conv", (1, 32, 8, 8), [(32, 1, 3, 3)], (1, 32, 6, 6), group=32)

    assert counted.flops == 2 * 32 * 36 * 9
    assert counted.padding_flops == 0


def test_attributes_may_be_absent() -> None:
    assert cost("Conv", (2, 3, 5), [(4, 3, 2)], (2, 4, 4)).flops == 2 * 2 * 4 * 4 * 3 * 2


def test_fused_activation_and_residual_sum_count_one_an_element() -> None:
    alone = cost("Conv", (1, 4, 8, 8), [(4, 4, 1, 1)], (1, 4, 8, 8))
    fused = cost("Conv", (1, 4, 8, 8), [(4, 4, 1, 1)], (1, 4, 8, 8), activation="Relu", fused_sum=1, layout="nchwc")

    assert fused.flops - alone.flops == 2 * 4 * 64
    assert fused.padding_flops == alone.padding_flops == 0


def test_channels_last_has_its_window_in_the_middle() -> None:
    pads = (1, 1, 1, 1)
    first = cost("Conv", (1, 4, 6, 8), [(16, 4, 3, 3)], (1, 16, 6, 8), pads=pads)
    last = cost("NhwcFusedConv", (1, 6, 8, 4), [(16, 4, 3, 3)], (1, 6, 8, 16), pads=pads)

    assert (last.flops, last.padding_flops) == (first.flops, first.padding_flops)
    assert first.padding_flops > 0


def test_quantized_convolution_has_its_weight_in_fourth_place() -> None:
    counted = cost("QLinearConv", (1, 3, 4, 4), [(), (), (8, 3, 3, 3), (), (), (), ()], (1, 8, 2, 2))

    assert counted.flops == 2 * 8 * 4 * 27


def test_transposed_convolution_slides_over_its_input() -> None:
    """4 positions of a kernel of 4, two apart: 10 outputs; cropping one at each end loses the outermost taps."""
    whole = cost("ConvTranspose", (1, 2, 4), [(2, 3, 4)], (1, 3, 10), strides=(2,))
    cropped = cost("ConvTranspose", (1, 2, 4), [(2, 3, 4)], (1, 3, 8), strides=(2,), pads=(1, 1))

    assert whole.flops == cropped.flops == 2 * 2 * 3 * 4 * 4
    assert whole.padding_flops == 0
    assert cropped.padding_flops == 2 * 2 * 3 * 2


def test_pooling_counts_one_a_tap() -> None:
    counted = cost(
        "MaxPool", (1, 64, 112, 112), [], (1, 64, 56, 56), kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)
    )

    assert counted.flops == 64 * 56 * 56 * 9
    assert counted.padding_flops == 64 * (168**2 - 167**2)


def test_pooling_past_the_end_counts_as_padding() -> None:
    """ceil_mode: the last window hangs over the end without any padding being named."""
    counted = cost("AveragePool", (1, 1, 5), [], (1, 1, 3), kernel_shape=(2,), strides=(2,), ceil_mode=1)

    assert (counted.flops, counted.padding_flops) == (6, 1)


def test_global_pooling_counts_one_an_input_element() -> None:
    assert cost("GlobalAveragePool", (2, 16, 7, 7), [], (2, 16, 1, 1)).flops == 2 * 16 * 49


@pytest.mark.parametrize(
    ("data", "weights", "attributes"),
    [
        ((1, 3, 8, 8), [], {}),
        ((1, 3, 8, 8), [(4, 3, 3)], {}),
        ((1, 3, 8, 8), [(4, 3, 3, 3)], {"strides": (1,)}),
        ((1, 3, 8, 8), [(4, 3, 3, 3)], {"strides": (0, 1)}),
        ((1, 3, 8, 8), [(4, 3, 3, 3)], {"pads": (1.0, 1.0, 1.0, 1.0)}),
        ((1, 3, 8, 8), [(4, 3, 3, 3)], {"dilations": "2"}),
        ((1, 3, 8), [(4, 3, 3, 3)], {}),
    ],
)
def test_what_is_no_convolution_is_named(
    data: Shape, weights: list[Shape], attributes: dict[str, AttributeValue]
) -> None:
    with pytest.raises(InvalidGraphError, match=r"node 0 \(Conv ''\) of 'one': .*expected.*got"):
        cost("Conv", data, weights, (1, 4, 6, 6), **attributes)
