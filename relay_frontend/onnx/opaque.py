"""Operators that the reader has no rule for: kept with the types that the file states, or that ONNX infers for them."""

import hashlib
from collections.abc import Mapping, Sequence

import onnx

from relay_frontend.errors import InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import AttributeValue, TensorType
from relay_frontend.onnx.folding import FOLDABLE
from relay_frontend.onnx.inference import infer_outputs, schema_of
from relay_frontend.onnx.microsoft import MICROSOFT_DOMAINS, microsoft_name
from relay_frontend.onnx.source import SourceNode, tensor_type
from relay_frontend.ops import is_known, opaque_name

__all__ = ["check_declared", "foreign_attributes", "foreign_name", "foreign_types"]

_TABLED_DOMAINS = (*MICROSOFT_DOMAINS, "ai.onnx.preview")  # their operators may stand in the table


def foreign_name(domain: str, op: str) -> str | None:
    """What a graph calls an operator that the reader has no rule for; None where it has one.

    Some of them stand in the operator table all the same; the others are opaque.
    """
    if not domain and (is_known(op) or op in FOLDABLE):
        return None
    if domain in MICROSOFT_DOMAINS and microsoft_name(domain, op) is not None:
        return None
    return op if domain in _TABLED_DOMAINS and is_known(op) else opaque_name(domain, op)


def check_declared(nodes: Sequence[SourceNode], declared: Mapping[str, TensorType]) -> None:
    """Check that the types of what such operators write can be told.

    Raises:
        UnsupportedOperatorError: names every one whose types neither the file states nor ONNX knows.
    """
    offenders = []
    for node in nodes:
        if foreign_name(node.domain, node.op) is None or _has_schema(node):
            continue
        missing = [name for name in node.outputs if name and name not in declared]
        if missing:
            offenders.append(f"{node.label} writes {missing}")
    if offenders:
        raise UnsupportedOperatorError(_without_types(offenders, len(nodes)))


def foreign_types(
    node: SourceNode, inputs: list[TensorType | None], declared: Mapping[str, TensorType]
) -> list[TensorType]:
    """Types of what ``node`` writes: those that the file states, else those that ONNX infers.

    Raises:
        UnsupportedOperatorError: neither tells.
    """
    inferred: Sequence[TensorType | None] = (None,) * len(node.outputs)
    if _has_schema(node) and not all(not name or name in declared for name in node.outputs):
        try:
            inferred = infer_outputs(node, inputs, {})
        except InvalidGraphError as error:
            raise UnsupportedOperatorError(f"{_without_types([node.label], 1)}; ONNX says: {error}") from error
    found = [declared.get(name) or kind for name, kind in zip(node.outputs, inferred, strict=True)]
    missing = [name for name, kind in zip(node.outputs, found, strict=True) if name and kind is None]
    if missing:
        raise UnsupportedOperatorError(_without_types([f"{node.label} writes {missing}"], 1))
    # An output that is left out but not the last keeps its place; nothing is written there.
    return [kind or TensorType((0,), "float32") for kind in found]


def foreign_attributes(node: SourceNode) -> dict[str, AttributeValue]:
    """The attributes as they stand; tensors and graphs as digests, so that two that differ are told apart."""
    found = dict(node.attributes)
    for name, tensor in node.tensors.items():
        kind = tensor_type(tensor, f"attribute {name!r} of {node.label}")
        found[name] = f"{kind.dtype}{list(kind.shape)} {_digest(tensor)}"
    for name, graph in node.graphs.items():
        found[name] = f"graph of {len(graph.node)} operators {_digest(graph)}"
    return found


def _digest(proto: onnx.TensorProto | onnx.GraphProto) -> str:
    return hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()[:16]


def _has_schema(node: SourceNode) -> bool:
    return schema_of(node.op, node.version, node.domain) is not None


def _without_types(offenders: Sequence[str], nodes: int) -> str:
    return (
        f"{len(offenders)} of {nodes} operators are not known here and what they write has no stated type: "
        f"{', '.join(offenders)}; expected its dtype and extents in the model's value_info: let the exporter write "
        "them, or export the network without the operator"
    )
