"""From a GraphBuilder to an ONNX model; the only file of the zoo that imports onnx."""

import struct
from typing import TYPE_CHECKING

from tvm_narcost.zoo.builder import Constant, GraphBuilder, Value

if TYPE_CHECKING:
    import onnx

__all__ = ["to_model"]


def to_model(b: GraphBuilder, name: str) -> "onnx.ModelProto":
    """The finished network: weights first as ConstantOfShape nodes, then the operators in the order of building."""
    import onnx
    from onnx import helper

    shapes: dict[tuple[int, ...], Constant] = {}
    nodes = []
    for weight in b.weights:
        if weight.shape not in shapes:
            name_of_shape = "shape_" + "x".join(map(str, weight.shape))
            shapes[weight.shape] = Constant(name_of_shape, (len(weight.shape),), "int64", weight.shape)
        fill = helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], struct.pack("<f", weight.fill), raw=True)
        nodes.append(helper.make_node("ConstantOfShape", [shapes[weight.shape].name], [weight.name], value=fill))
    initializers = [_tensor(constant) for constant in shapes.values()]
    for constant in b.constants:
        if b.spelling.constants == "node":
            nodes.append(helper.make_node("Constant", [], [constant.name], value=_tensor(constant)))
        else:
            initializers.append(_tensor(constant))
    for node in b.nodes:
        stem = node.outputs[0].rsplit("_out", 1)[0]
        nodes.append(helper.make_node(node.op_type, node.inputs, node.outputs, name=stem, **node.attributes))
    inputs = [_value_info(value) for value in b.inputs]
    if b.spelling.ir_version < 4:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in initializers]
    graph = helper.make_graph(nodes, name, inputs, [_value_info(value) for value in b.outputs], initializers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", b.spelling.opset)], producer_name="narcost-zoo"
    )
    model.ir_version = b.spelling.ir_version
    return model


def _dtype(name: str) -> int:
    import onnx

    return {"float32": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64}[name]


def _tensor(constant: Constant) -> "onnx.TensorProto":
    from onnx import helper

    letter = "f" if constant.dtype == "float32" else "q"
    data = struct.pack(f"<{len(constant.data)}{letter}", *constant.data)
    return helper.make_tensor(constant.name, _dtype(constant.dtype), constant.shape, data, raw=True)


def _value_info(value: Value) -> "onnx.ValueInfoProto":
    from onnx import helper

    return helper.make_tensor_value_info(value.name, _dtype(value.dtype), value.shape)
