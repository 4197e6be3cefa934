"""Models as graphs that ONNX Runtime evaluates.

Graphs are made from weights that were checked, each time anew: none is ever read from a file.
"""

from typing import Any

import onnx
import onnxruntime
import torch
from onnx import helper

__all__ = ["new_session"]

_IR_VERSION = 10  # of ONNX 1.16, the first with TreeEnsemble


def new_session(graph: onnx.GraphProto, *opsets: tuple[str, int]) -> Any:
    """A session of ``graph``, on as many threads as torch has at this moment.

    Args:
        graph: whole, weights inside.
        opsets: domain and version of the operators that it is written in.
    """
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*own) for own in opsets], ir_version=_IR_VERSION
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # no core waits while others work
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
