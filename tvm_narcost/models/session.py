"""Models as graphs that ONNX Runtime evaluates, on one thread: calls are too short to be worth waking others for.

Graphs are made from weights that were checked, each time anew: none is ever read from a file.
"""

from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

__all__ = ["new_session", "product"]

_IR_VERSION = 10  # of ONNX 1.16, the first with TreeEnsemble


def new_session(graph: onnx.GraphProto, *opsets: tuple[str, int]) -> Any:
    """A session of ``graph``.

    Args:
        graph: whole, weights inside.
        opsets: domain and version of the operators that it is written in.
    """
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets]
    model = helper.make_model(graph, opset_imports=imports, ir_version=_IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """[rows, inner] @ [inner, columns]; numpy's goes to threads of its own, which wait long where cores are busy."""
    found: NDArray[np.float32] = _product_session().run(None, {"left": left, "right": right})[0]
    return found


@cache
def _product_session() -> Any:
    node = helper.make_node("MatMul", ["left", "right"], ["product"])
    left, right, whole = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in ("left", "right", "product")
    )
    return new_session(helper.make_graph([node], "product", [left, right], [whole]), ("", 20))
