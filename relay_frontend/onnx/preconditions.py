"""What ONNX's own inference takes on trust, checked before it is asked: it crashes or writes astray otherwise."""

from collections.abc import Sequence

import onnx

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import TensorType
from relay_frontend.onnx.inference import schema_of
from relay_frontend.onnx.source import SourceNode

__all__ = ["check_arity", "check_attributes"]

_OPTIONAL = onnx.defs.OpSchema.FormalParameterOption.Optional
_AXIS_NAMES = ("axis", "batch_axis", "batch_dims", "time_axis")
_MORE_AXES = {"Flatten": 1, "OneHot": 1}  # their axis may lie one behind the input's last
_FREE_AXIS = {"QuantizeLinear", "DequantizeLinear"}  # there it means nothing when the scale is a scalar


def check_arity(node: SourceNode) -> None:
    """Check how many inputs and outputs a standard operator has, and that none is left out that may not be.

    Raises:
        InvalidGraphError: too few or too many.
    """
    schema = schema_of(node.op, node.version)
    if schema is None:
        return
    least, most, inputs = schema.min_input, schema.max_input, node.inputs
    if not least <= len(inputs) <= most or any(
        not name and formal.option != _OPTIONAL for name, formal in zip(inputs[:least], schema.inputs, strict=False)
    ):
        given = [name or "(left out)" for name in inputs]
        raise InvalidGraphError(
            f"{node.label} reads {given}, expected {least} to {most} values, the first {least} there"
        )
    if not schema.min_output <= len(node.outputs) <= schema.max_output:
        raise InvalidGraphError(
            f"{node.label} writes {node.outputs}, expected {schema.min_output} to {schema.max_output} values"
        )


def check_attributes(node: SourceNode, inputs: Sequence[TensorType | None]) -> None:
    """Check that axes lie within the input's rank, and that Split writes as many outputs as it says.

    Raises:
        InvalidGraphError: they do not.
    """
    parts = node.attributes.get("num_outputs")
    if parts is not None and node.op == "Split" and parts != len(node.outputs):
        raise InvalidGraphError(f"{node.label} has num_outputs={parts}, expected {len(node.outputs)} as it writes")
    if not inputs or inputs[0] is None or node.op in _FREE_AXIS:
        return
    rank, attributes = len(inputs[0].shape), node.attributes
    axes = attributes.get("axes", ())
    given = [*(axes if isinstance(axes, tuple) else ()), *(attributes.get(name, 0) for name in _AXIS_NAMES)]
    room = rank + _MORE_AXES.get(node.op, 0) + (len(given) if node.op == "Unsqueeze" else 0)
    wrong = [axis for axis in given if isinstance(axis, int) and axis and not -room <= axis < room]
    if wrong:
        raise InvalidGraphError(
            f"{node.label} names axes {wrong}, expected {-room} to {room - 1} for an input of rank {rank}"
        )
