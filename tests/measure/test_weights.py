"""Stand-in weights: where they go, and that no two are equal."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure.weights import can_be_filled, with_unique_weights, with_weights


def model(
    nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], initializers: list[onnx.TensorProto]
) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "net", values, [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def fill(name: str, shape: str, value: float, dtype: int = TensorProto.FLOAT) -> onnx.NodeProto:
    return helper.make_node("ConstantOfShape", [shape], [name], value=helper.make_tensor("v", dtype, [1], [value]))


def shape(name: str, *extents: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(extents, np.int64), name)


def values(network: onnx.ModelProto) -> dict[str, float]:
    return {
        node.output[0]: float(numpy_helper.to_array(node.attribute[0].t)[0])
        for node in network.graph.node
        if node.op_type == "ConstantOfShape"
    }


def external(name: str, *extents: int, dtype: int = TensorProto.FLOAT) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=dtype, dims=extents, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")  # never read
    return tensor


def test_equal_weights_become_unique_and_stay_close() -> None:
    nodes = [
        fill("a", "s", 0.02),
        fill("b", "s", 0.02),
        fill("c", "s", 0.02),
        helper.make_node("Sum", list("abc"), ["y"]),
    ]
    source = model(nodes, {}, [shape("s", 4, 4)])
    before = source.SerializeToString()
    found = values(with_unique_weights(source))
    assert len(set(found.values())) == 3
    assert list(found.values()) == pytest.approx([0.02] * 3, rel=1e-5)
    assert source.SerializeToString() == before


def test_reserved_values_are_moved_off() -> None:
    nodes = [
        fill("a", "s", 1.0),
        fill("b", "s", 0.0),
        fill("one", "t", 1.0),
        helper.make_node("Sum", ["a", "b"], ["y"]),
    ]
    found = values(with_unique_weights(model(nodes, {}, [shape("s", 8), shape("t", 1)]), reserved=(0.0, 1.0)))
    assert 0 < abs(found["a"] - 1) < 1e-5
    assert 0 < abs(found["b"]) < 1e-5
    assert found["one"] == 1.0  # a single element may be an exponent


def test_values_that_are_unique_stay() -> None:
    nodes = [fill("a", "s", 0.5), fill("b", "s", 0.5), fill("c", "s", 0.5 * (1 + 1e-6)), fill("d", "t", 0.5)]
    source = model(nodes, {}, [shape("s", 8), shape("t", 9)])
    before, after = values(source), values(with_unique_weights(source))
    assert len({after[name] for name in "abc"}) == 3
    assert (after["a"], after["d"]) == (before["a"], before["d"])


def test_zero_weights_become_small() -> None:
    nodes = [fill("a", "s", 0.0), fill("b", "s", 0.0), helper.make_node("ConstantOfShape", ["s"], ["c"])]
    found = list(values(with_unique_weights(model(nodes, {}, [shape("s", 8)]))).values())
    assert len(set(found)) == 3
    assert max(found) < 1e-5


@pytest.mark.parametrize("value", [0.02, 60_000.0, 6e-8, -0.5])
def test_many_half_precision_weights_are_unique(value: float) -> None:
    nodes = [fill(f"w{index}", "s", value, TensorProto.FLOAT16) for index in range(200)]
    found = list(values(with_unique_weights(model(nodes, {}, [shape("s", 8)]))).values())
    assert len(set(found)) == 200
    assert np.isfinite(found).all()


def test_denormal_weights_are_unique_in_bounded_time() -> None:
    nodes = [fill(f"w{index}", "s", 1e-45) for index in range(2000)]
    found = list(values(with_unique_weights(model(nodes, {}, [shape("s", 8)]))).values())
    assert len(set(found)) == 2000


@pytest.mark.parametrize(
    ("extents", "value", "dtype"),
    [
        ((1,), 0.5, TensorProto.FLOAT),  # an epsilon or a bound
        ((), 0.5, TensorProto.FLOAT),
        ((4,), float("-inf"), TensorProto.FLOAT),  # a mask
        ((4,), 7, TensorProto.INT64),
    ],
)
def test_what_is_no_weight_is_left_alone(extents: tuple[int, ...], value: float, dtype: int) -> None:
    nodes = [fill("a", "s", value, dtype), fill("b", "s", value, dtype)]
    assert list(values(with_unique_weights(model(nodes, {}, [shape("s", *extents)]))).values()) == [value, value]


def test_shape_from_a_constant_node() -> None:
    constant = helper.make_node("Constant", [], ["s"], value=shape("", 3, 3))
    found = values(with_unique_weights(model([constant, fill("a", "s", 1.0), fill("b", "s", 1.0)], {}, [])))
    assert found["a"] != found["b"]


def test_nothing_missing_is_the_same_model() -> None:
    weight = numpy_helper.from_array(np.ones((2, 1, 1, 1), np.float32), "w")
    source = model([helper.make_node("Conv", ["x", "w"], ["y"])], {"x": [1, 1, 4, 4]}, [weight])
    assert with_weights(source) is source


def test_weights_declared_as_inputs() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["y"]),
    ]
    inputs = {"x": [1, 4, 8, 8], "w": [2, 4, 3, 3], "b": [2], "scale": [2], "bias": [2], "mean": [2], "var": [2]}
    filled = with_weights(model(nodes, inputs, []))
    assert [value.name for value in filled.graph.input] == ["x"]
    found = values(filled)
    assert set(found) == set(inputs) - {"x"}
    assert found["w"] == pytest.approx(1 / 36, rel=1e-4)
    assert found["var"] == pytest.approx(1.0, rel=1e-4)
    filled.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 6, 6]))
    onnx.checker.check_model(filled, full_check=True)


def test_an_activation_in_a_weights_place_stays_an_input() -> None:
    both = model([helper.make_node("MatMul", ["a", "b"], ["y"])], {"a": [1, 2, 4, 4], "b": [1, 2, 4, 4]}, [])
    assert with_weights(both) is both
    read_twice = [helper.make_node("Relu", ["w"], ["r"]), helper.make_node("Conv", ["x", "w"], ["y"])]
    source = model(read_twice, {"x": [1, 1, 4, 4], "w": [1, 1, 1, 1]}, [])
    assert with_weights(source) is source


def test_external_and_empty_initializers_are_filled() -> None:
    empty = TensorProto(name="e", data_type=TensorProto.FLOAT, dims=[8])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "e"], ["y"])]
    filled = with_weights(model(nodes, {"x": [1, 16]}, [external("w", 16, 8), empty]))
    assert values(filled) == pytest.approx({"w": 1 / 16, "e": 0.01}, rel=1e-4)
    assert {tensor.name for tensor in filled.graph.initializer} == {"w__narcost_shape", "e__narcost_shape"}


def test_missing_integers_cannot_be_made_up() -> None:
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    with pytest.raises(MeasurementError, match=r"'s' \(INT64\)"):
        with_weights(model(nodes, {"x": [1, 16]}, [external("s", 2, dtype=TensorProto.INT64)]))


def test_weight_without_static_shape() -> None:
    source = model([helper.make_node("Conv", ["x", "w"], ["y"])], {"x": [1, 4, 8, 8], "w": [2, 4, 3, 3]}, [])
    source.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "n"
    with pytest.raises(MeasurementError, match="bind its dimensions"):
        with_weights(source)


def test_only_floating_point_initializers_can_be_filled() -> None:
    product = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    there = numpy_helper.from_array(np.ones((4, 4), np.int64), "w")
    inner = helper.make_node("Constant", [], ["w"], value=external("v", 4, 4))
    body = helper.make_graph(product, "body", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [])
    nested = helper.make_node("If", ["condition"], ["y"], then_branch=body, else_branch=body)
    inputs = {"x": [1, 4]}

    assert can_be_filled(model(product, inputs, [there]))
    assert can_be_filled(model(product, inputs, [external("w", 4, 4)]))
    assert not can_be_filled(model(product, inputs, [external("w", 4, 4, dtype=TensorProto.INT8)]))
    assert not can_be_filled(model([inner, *product], inputs, []))
    assert can_be_filled(model([nested], inputs, []))
    body.initializer.append(external("w", 4, 4))
    assert not can_be_filled(model([helper.make_node("If", ["c"], ["y"], then_branch=body)], inputs, []))


@pytest.mark.parametrize(("version", "constant"), [(3, True), (4, False)])
def test_an_initializer_that_is_an_input_is_a_constant_in_old_files(version: int, constant: bool) -> None:
    network = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [1, 4], "w": [4, 4]}, [external("w", 4, 4)])
    network.ir_version = version

    assert can_be_filled(network) == constant
