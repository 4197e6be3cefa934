"""A model file or a compiler module to an OpGraph."""

from relay_frontend.errors import (
    DynamicShapeError,
    FrontendError,
    InvalidGraphError,
    LimitError,
    ModelFileError,
    PlanError,
    UnsupportedOperatorError,
)
from relay_frontend.graph import Edge, OpGraph, OpNode, TensorType
from relay_frontend.limits import Limits
from relay_frontend.load import from_torch, load_graph, load_module
from relay_frontend.plan import FusionPlan

__all__ = [
    "DynamicShapeError",
    "Edge",
    "FrontendError",
    "FusionPlan",
    "InvalidGraphError",
    "LimitError",
    "Limits",
    "ModelFileError",
    "OpGraph",
    "OpNode",
    "PlanError",
    "TensorType",
    "UnsupportedOperatorError",
    "from_torch",
    "load_graph",
    "load_module",
]
