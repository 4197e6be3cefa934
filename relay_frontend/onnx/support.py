"""What this reader can read: operator sets and operators, checked before anything else, all offenders at once."""

from collections import Counter
from collections.abc import Iterable

import onnx

from relay_frontend.errors import InvalidGraphError, UnsupportedOperatorError
from relay_frontend.onnx.inference import schema_of
from relay_frontend.onnx.opaque import foreign_name

__all__ = ["check_operators", "domain_of", "opset_versions", "versions_of"]

_STANDARD = ("", "ai.onnx")
_MISPLACED = ("SimplifiedLayerNormalization",)  # ONNX Runtime's own, but written under the standard domain
_NESTED = ("If", "Loop", "Scan", "SequenceMap")  # operators that hold graphs


def domain_of(node: onnx.NodeProto) -> str:
    """The domain that gives ``node`` its meaning; the empty string is the standard one."""
    domain = node.domain
    if domain in _STANDARD:
        return "com.microsoft" if node.op_type in _MISPLACED else ""
    return domain


def opset_versions(model: onnx.ModelProto) -> dict[str, int]:
    """The opset version of each domain; the standard domain under both of its names.

    Raises:
        UnsupportedOperatorError: newer than the installed onnx package knows.
        InvalidGraphError: nodes of the standard domain, but no version for it.
    """
    return versions_of(model.opset_import, any(not domain_of(node) for node in model.graph.node))


def versions_of(imports: Iterable[onnx.OperatorSetIdProto], needs_standard: bool) -> dict[str, int]:
    """The opset version of each domain that a model or a function imports; see :func:`opset_versions`."""
    versions = {entry.domain: entry.version for entry in imports}
    standard = max((versions[domain] for domain in _STANDARD if domain in versions), default=0)
    newest = onnx.defs.onnx_opset_version()
    if standard > newest:
        raise UnsupportedOperatorError(
            f"the model uses opset {standard}, expected at most {newest}: install a newer onnx package or convert it "
            "with onnx.version_converter"
        )
    if standard < 1 and needs_standard:
        raise InvalidGraphError(
            f"the model states opset {standard or 'none'} for the standard operators, expected 1 to {newest}: "
            "is the file damaged?"
        )
    return {**versions, **dict.fromkeys(_STANDARD, standard)}


def check_operators(model: onnx.ModelProto, versions: dict[str, int]) -> None:
    """Check that each node's operator is one of the opset, in graphs within graphs and in functions that are called.

    Raises:
        UnsupportedOperatorError: names every operator that is not.
    """
    functions = {(item.domain, item.name, item.overload): item for item in model.functions}
    found: Counter[tuple[str, str, int]] = Counter()
    called: set[tuple[str, str, str]] = set()
    pending = [(model.graph.node, versions[""])]
    while pending:
        nodes, version = pending.pop()
        for node in nodes:
            key = (node.domain, node.op_type, node.overload) if functions else ("", "", "")
            if key not in functions:
                found[domain_of(node), node.op_type, version] += 1
            elif key not in called:
                called.add(key)
                body = functions[key]
                standard = any(not domain_of(inner) for inner in body.node)
                pending.append((body.node, versions_of(body.opset_import, standard)[""]))
            if node.op_type in _NESTED:
                pending.extend((attribute.g.node, version) for attribute in node.attribute if attribute.HasField("g"))
    offenders = [
        f"{op} ({count}x, not in opset {version})"
        for (domain, op, version), count in found.items()
        if not domain and foreign_name(domain, op) is None and schema_of(op, version) is None
    ]
    if offenders:
        raise UnsupportedOperatorError(
            f"{len(offenders)} of {len(found)} operators are not supported: {', '.join(sorted(offenders))}; expected "
            "operators of the opset that the model states: is it the right one?"
        )
