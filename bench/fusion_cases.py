"""The graphs of two TVM issues about fusion, in float32 and of sizes for one CPU core."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["exp_chain", "max_pool_add", "write_issue_models"]

_OPSET = 17


def exp_chain(layers: int, rows: int = 1024) -> onnx.ModelProto:
    """apache/tvm issue 20342: z = exp(x - z / 2) some times over a column, then broadcast against a matrix."""
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    nodes, last = [], "x"
    for layer in range(layers):
        nodes += [
            helper.make_node("Mul", [last, "half"], [f"m{layer}"]),
            helper.make_node("Sub", ["x", f"m{layer}"], [f"s{layer}"]),
            helper.make_node("Exp", [f"s{layer}"], [f"z{layer}"]),
        ]
        last = f"z{layer}"
    nodes.append(helper.make_node("Add", ["b", last], ["y"]))
    return _model(f"tvm_20342_exp{layers}", nodes, {"x": (rows, 1), "b": (rows, rows)}, [half])


def max_pool_add(kernel: int, channels: int = 64, side: int = 112) -> onnx.ModelProto:
    """apache/tvm issue 20401: MaxPool, then Add of a tensor of its size."""
    pads = [kernel // 2] * 4
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[kernel, kernel], strides=[1, 1], pads=pads),
        helper.make_node("Add", ["p", "b"], ["y"]),
    ]
    shape = (1, channels, side, side)
    return _model(f"tvm_20401_pool{kernel}", nodes, {"x": shape, "b": shape}, [])


def write_issue_models(folder: Path) -> list[Path]:
    """Write each as an ONNX file; the same bytes every time, by which a database knows them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for model in (exp_chain(8), exp_chain(16), max_pool_add(3), max_pool_add(5)):
        path = folder / f"{model.graph.name}.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        paths.append(path)
    return paths


def _model(
    name: str, nodes: list[onnx.NodeProto], inputs: dict[str, tuple[int, ...]], constants: list[onnx.TensorProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, shape) for value, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, inputs["b"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
