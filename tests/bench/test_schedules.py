"""The networks that schedules are measured on: weights that errors show on, outputs that errors show in."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.schedules import summary, with_logits, with_random_weights


def network() -> onnx.ModelProto:
    """A product with a ConstantOfShape weight, and a Softmax behind a Reshape."""
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.5])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["weight"], value=value),
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Softmax", ["product"], ["probabilities"]),
        helper.make_node("Reshape", ["probabilities", "flat"], ["y"]),
    ]
    initializers = [
        numpy_helper.from_array(np.array([4, 3], np.int64), "shape"),
        numpy_helper.from_array(np.array([-1], np.int64), "flat"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [6])
    return helper.make_model(helper.make_graph(nodes, "network", [x], [y], initializers))


def test_weights_differ_and_are_the_same_each_time() -> None:
    first, second = with_random_weights(network()), with_random_weights(network())
    weight = next(numpy_helper.to_array(item) for item in first.graph.initializer if item.name == "weight")
    assert weight.shape == (4, 3)
    assert len(np.unique(weight)) == 12
    assert first == second
    assert [node.op_type for node in first.graph.node] == ["MatMul", "Softmax", "Reshape"]


def test_softmax_at_the_end_is_left_out() -> None:
    assert [node.op_type for node in with_logits(network()).graph.node][-2:] == ["Identity", "Reshape"]


def test_summary_by_threads() -> None:
    rows = [
        {"threads": 1, "ratio": 0.5, "relative_error": 1e-6},
        {"threads": 1, "ratio": 2.0, "relative_error": 1e-5},
        {"threads": 2, "ratio": 3.0, "relative_error": 0.0},
    ]
    assert summary(rows)["1"] == {"geometric_mean": 1.0, "worst": 2.0, "relative_error": 1e-5}
    assert summary(rows)["2"]["geometric_mean"] == 3.0
