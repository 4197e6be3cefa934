"""The ONNX reader: a model file, or a ModelProto in memory, to an OpGraph.

model_file  bytes on disk -> ModelProto          reader      the walk over the nodes
source      protos -> plain Python values        arrange     topological order, cycles, dangling values
folding     arithmetic on small constants        inference   types of what a standard operator writes
attributes  one spelling for every attribute     microsoft   the operators that ONNX Runtime's optimiser writes
"""

from relay_frontend.onnx.model_file import MAX_FILE_BYTES, read_onnx
from relay_frontend.onnx.reader import from_onnx

__all__ = ["MAX_FILE_BYTES", "from_onnx", "read_onnx"]
