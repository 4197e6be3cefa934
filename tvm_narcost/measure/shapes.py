"""Shapes of a model's inputs that its file leaves open."""

from collections.abc import Mapping
from typing import Any

__all__ = ["bind_shapes"]


def bind_shapes(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """``model`` with its open dimensions bound as the reader binds them; one that has a name, wherever it occurs.

    Args:
        model: an ``onnx.ModelProto``; it is changed, and returned.
        shapes: of the inputs that leave a dimension open.
    """
    dimensions = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    named: dict[str, int] = {}
    for name, shape in shapes.items():
        for dimension, extent in zip(dimensions[name], shape, strict=True):
            if dimension.dim_param:
                named[dimension.dim_param] = extent
            dimension.dim_value = extent
    for found in dimensions.values():
        for dimension in found:
            if dimension.dim_param in named:
                dimension.dim_value = named[dimension.dim_param]
    return model
