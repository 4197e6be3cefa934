"""Network families that generate ONNX graphs."""

from tvm_narcost.errors import ZooError
from tvm_narcost.zoo.families import CORPUS_FAMILIES, FAMILIES, MICRO_FAMILIES, NNLQP_FAMILIES, Family, generate

__all__ = ["CORPUS_FAMILIES", "FAMILIES", "MICRO_FAMILIES", "NNLQP_FAMILIES", "Family", "ZooError", "generate"]
