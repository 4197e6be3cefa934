"""Average pools of new operator sets: ONNX Runtime's own plan and the rules mark the same kernels."""

import pytest
from onnx import TensorProto, helper

from hardware_profiles import load_profile
from relay_frontend.onnx import from_onnx
from tvm_narcost.fusion.rules import plan_by_rules
from tvm_narcost.measure.runtimes.onnxruntime import OnnxRuntime
from tvm_narcost.tokens.facts import kernel_facts


def pooled(opset: int, ir_version: int = 9):  # type: ignore[no-untyped-def]  # onnx is not typed
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    shapes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 24, 16, 16]), ("y", [1, 24, 8, 8]))
    ]
    graph = helper.make_graph([node], "pool", shapes[:1], shapes[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


@pytest.mark.parametrize(("opset", "generic"), [(11, 0.0), (18, 0.0), (19, 1.0), (21, 1.0)])
def test_only_plain_average_pools_of_opset_19_and_later_are_generic(opset: int, generic: float) -> None:
    model = pooled(opset)
    by_rules = plan_by_rules(from_onnx(model), opset=opset)
    own = OnnxRuntime().plan(model, load_profile("epyc-zen5.onnxruntime"))
    assert kernel_facts(by_rules).column("generic").tolist() == [generic]
    assert kernel_facts(own).column("generic").tolist() == [generic]
