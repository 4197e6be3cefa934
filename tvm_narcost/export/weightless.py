"""A zoo network as NNLQP stores its own: each weight an initializer without data, declared as an input of the graph."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["declare_weights"]


def declare_weights(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A copy in which the ConstantOfShape nodes that stand for weights are initializers with a shape and no data.

    What else is stored (targets of Reshape, bounds of Clip) keeps its data, and is declared as an input too.
    """
    import onnx
    from onnx import helper, numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    weights, nodes = [], []
    for node in graph.node:
        if node.op_type == "ConstantOfShape" and node.input[0] in stored:
            dtype = node.attribute[0].t.data_type
            shape = numpy_helper.to_array(stored[node.input[0]]).tolist()
            weights.append(onnx.TensorProto(name=node.output[0], data_type=dtype, dims=shape))
        else:
            nodes.append(node)
    read = {name for node in nodes for name in node.input}
    tensors = [*weights, *(tensor for tensor in graph.initializer if tensor.name in read)]
    inputs = [value for value in graph.input if value.name not in stored]
    inputs += [helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in tensors]
    stripped = helper.make_graph(nodes, graph.name, inputs, list(graph.output), tensors)
    graph.CopyFrom(stripped)
    return made
