"""Kernels of networks: which kind they are, which of them are measured, and that they are the same every time."""

from typing import Any

import pytest

pytest.importorskip("tvm")

import onnx
from onnx import TensorProto, helper

from hardware_profiles import load_profile
from tvm_narcost.errors import CompileError
from tvm_narcost.hook.metaschedule.workloads import (
    KINDS,
    NetworkSource,
    choose,
    network_workloads,
    structural_hash,
    workloads_of,
)

PROFILE = load_profile("epyc-zen5.tvm")


def network(
    nodes: list[onnx.NodeProto], shape: tuple[int, ...], *weights: tuple[str, tuple[int, ...]]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor(name, TensorProto.FLOAT, size, [0.5] * onnx_size(size)) for name, size in weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def onnx_size(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("weight", "attributes", "kind"),
    [
        ((8, 8, 3, 3), {"pads": [1, 1, 1, 1]}, "conv"),
        ((16, 8, 1, 1), {}, "conv_1x1"),
        ((16, 8, 3, 3), {"strides": [2, 2]}, "conv_strided"),
        ((16, 4, 3, 3), {"group": 2}, "conv_grouped"),
        ((8, 1, 3, 3), {"group": 8, "strides": [2, 2]}, "conv_depthwise"),
        ((8, 8, 3, 3), {"dilations": [2, 2]}, "conv_dilated"),
    ],
)
def test_kinds_of_convolution(layout: str, weight: tuple[int, ...], attributes: dict[str, Any], kind: str) -> None:
    model = network([helper.make_node("Conv", ["x", "w"], ["y"], **attributes)], (1, 8, 12, 12), ("w", weight))
    kinds = [workload.kind for workload in workloads_of(model, PROFILE, layout=layout)]
    assert [one for one in kinds if one != "elementwise"] == [kind]  # NHWC transposes what comes in and goes out


def test_normalisation_becomes_the_bias_of_its_convolution() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Dropout", ["n"], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    channels = [(name, (4,)) for name in "sbmv"]
    (found,) = workloads_of(network(nodes, (1, 3, 8, 8), ("w", (4, 3, 3, 3)), *channels), PROFILE)
    assert found.name == "conv2d_add_relu.1x3x8x8.4x3x3x3.1x4x1x1.1x4x6x6"


def test_weights_that_are_listed_as_inputs_are_no_inputs() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    model = network(nodes, (1, 3, 8, 8), ("w", (4, 3, 3, 3)))
    weight = helper.make_tensor_value_info("w", TensorProto.FLOAT, (4, 3, 3, 3))
    given = model.graph.input[0]
    del model.graph.input[:]
    model.graph.input.extend([weight, given])
    assert [one.kind for one in workloads_of(model, PROFILE)] == ["conv"]


def test_a_network_gives_the_same_kernels_every_time() -> None:
    source = NetworkSource("mlp_mixer", 0)
    first, again = network_workloads(source, PROFILE), network_workloads(source, PROFILE)
    assert [(one.name, structural_hash(one.module)) for one in first] == [
        (one.name, structural_hash(one.module)) for one in again
    ]
    assert {"matmul", "reduce", "elementwise"} <= {one.kind for one in first}


def test_chosen_kernels_are_distinct_and_of_the_kinds_asked_for() -> None:
    source = NetworkSource("mlp_mixer", 0)
    workloads = network_workloads(source, PROFILE)
    chosen = choose([*workloads, *workloads], {"matmul": 5, "softmax": 1})
    assert [one.kind for one in chosen] == ["matmul"] * 5
    assert len({structural_hash(one.module) for one in chosen}) == 5


def test_training_has_sixty_kernels_or_more() -> None:
    assert sum(KINDS.values()) >= 60


def test_a_network_that_tvm_cannot_lower_is_an_error() -> None:
    nodes = [helper.make_node("Det", ["x"], ["y"])]
    with pytest.raises(CompileError, match="TVM cannot lower 'net' in NCHW"):
        workloads_of(network(nodes, (4, 4)), PROFILE, origin="net")
