"""What this reader can read: operator sets and operators, checked before anything else, all offenders at once."""

from collections import Counter

import onnx

from relay_frontend.errors import InvalidGraphError, UnsupportedOperatorError
from relay_frontend.onnx.inference import schema_of
from relay_frontend.onnx.opaque import foreign_name

__all__ = ["check_operators", "domain_of", "opset_versions"]

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
    versions = {entry.domain: entry.version for entry in model.opset_import}
    standard = max((versions[domain] for domain in _STANDARD if domain in versions), default=0)
    newest = onnx.defs.onnx_opset_version()
    if standard > newest:
        raise UnsupportedOperatorError(
            f"the model uses opset {standard}, expected at most {newest}: install a newer onnx package or convert it "
            "with onnx.version_converter"
        )
    if standard < 1 and any(not domain_of(node) for node in model.graph.node):
        raise InvalidGraphError(
            f"the model states opset {standard or 'none'} for the standard operators, expected 1 to {newest}: "
            "is the file damaged?"
        )
    return {**versions, **dict.fromkeys(_STANDARD, standard)}


def check_operators(model: onnx.ModelProto, versions: dict[str, int]) -> None:
    """Check that each node's operator is supported.

    Raises:
        UnsupportedOperatorError: names every operator that is not.
    """
    functions = {(function.domain, function.name) for function in model.functions}
    found = Counter((domain_of(node), node.op_type) for node in model.graph.node)
    offenders = []
    for (domain, op), count in found.items():
        reason = _reason(domain, op, versions, functions)
        if reason:
            name = op if not domain else f"{domain}.{op}"
            offenders.append(f"{name} ({count}x, {reason})")
    if offenders:
        raise UnsupportedOperatorError(
            f"{len(offenders)} of {len(found)} operators are not supported: {', '.join(sorted(offenders))}; expected "
            "standard ONNX operators of relay_frontend.ops or those that ONNX Runtime's optimiser writes: export the "
            "network without them"
        )


def _reason(domain: str, op: str, versions: dict[str, int], functions: set[tuple[str, str]]) -> str | None:
    if (domain, op) in functions:
        return "a function of the model's own, which is not read yet: inline it with onnx.inliner"
    if foreign_name(domain, op) is not None or domain:
        return None
    if op in _NESTED:
        return "control flow is not read yet"
    return None if schema_of(op, versions[""]) is not None else f"not in opset {versions['']}"
