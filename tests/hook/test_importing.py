"""What TVM's importer would misread is written as it takes it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

pytest.importorskip("tvm")

from tests.hook.modules import numbers, reference
from tvm_narcost.hook.importing import import_onnx


def resize(opset: int, inputs: list[str], mode: str, **attributes: str) -> onnx.ModelProto:
    """Twice as high and wide."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in
            (("x", (1, 2, 5, 7)), ("y", (1, 2, 10, 14))))  # fmt: skip
    constants = {"scales": np.array([1, 1, 2, 2], np.float32), "empty": np.zeros(0, np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", *inputs], ["y"], mode=mode, **attributes)], "resize", [x], [y],
        [numpy_helper.from_array(constants[name], name) for name in inputs],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("opset", "inputs"), [(10, ["scales"]), (11, ["empty", "scales"])])
def test_a_resize_of_any_opset_computes_what_it_says(opset: int, inputs: list[str], mode: str) -> None:
    data = numbers(1, 2, 5, 7)
    # Opset 10 has no attributes for it: it samples from the lower corner.
    attributes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if opset == 10 else {}
    evaluator = ReferenceEvaluator(resize(11, ["empty", "scales"], mode, **attributes))
    expected = np.asarray(next(iter(evaluator.run(None, {"x": data}))))
    (found,) = reference(import_onnx(resize(opset, inputs, mode)), [data])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
