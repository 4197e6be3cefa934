"""The ONNX reader: a model file, or a ModelProto in memory, to an OpGraph.

- model_file: bytes on disk to a ModelProto
- wire: a file's bytes without its weights
- reader: a ModelProto to an OpGraph
- graph_walk: node after node
- known_values: types, constants, and where each value comes from
- source: protos as plain Python values
- arrange: topological order, cycles, dangling values
- inputs: which inputs are weights, and a number for every dimension of the others
- support: which operators and opsets can be read
- folding: arithmetic on small constants
- inference: types of what a standard operator writes
- preconditions: what has to hold before ONNX's inference may be asked
- value_inputs: inputs that say how, not what
- attributes, windows: one spelling for every attribute
- microsoft: the operators that ONNX Runtime's optimiser writes
"""

from relay_frontend.onnx.model_file import load_model, read_onnx
from relay_frontend.onnx.reader import from_onnx
from relay_frontend.onnx.support import opset_versions

__all__ = ["from_onnx", "load_model", "opset_versions", "read_onnx"]
