"""Errors of the readers.

    FrontendError               base: everything that reading a network can raise on purpose
    ├── ModelFileError          missing, truncated, or not the format that it claims
    ├── UnsupportedOperatorError
    ├── DynamicShapeError       a dimension is not bound; names it and the --shape to give
    ├── InvalidGraphError       cyclic, dangling, wrong arity, wrong dtype, impossible shape
    ├── LimitError              the file asks for more than Limits allow: bytes, nodes, nesting, elements, seconds
    └── PlanError               a FusionPlan that is no partition of its graph

A message says what, got, expected and the next step, in that order.
"""

__all__ = [
    "DynamicShapeError",
    "FrontendError",
    "InvalidGraphError",
    "LimitError",
    "ModelFileError",
    "PlanError",
    "UnsupportedOperatorError",
]


class FrontendError(Exception):
    """Base of every error that relay_frontend raises on purpose."""


class ModelFileError(FrontendError):
    """The file is missing, truncated, too large, or not the format that it claims."""


class UnsupportedOperatorError(FrontendError):
    """The network uses an operator that the operator table does not know."""


class DynamicShapeError(FrontendError):
    """A dimension of the network has no value."""


class InvalidGraphError(FrontendError):
    """The network is no well-formed graph."""


class LimitError(FrontendError):
    """The file asks for more than the limits allow."""


class PlanError(FrontendError):
    """The kernels of a plan are no partition of its graph."""
