"""Marks kernels that ONNX Runtime computes by its general loops where older operator sets have a tuned kernel."""

import dataclasses

from relay_frontend.graph import OpGraph, OpNode

__all__ = ["mark_generic_kernels"]

# Version 19 of AveragePool brought dilations, and ONNX Runtime a new kernel for it beside the tuned one of before:
# 3x3 windows over [1, 24, 75, 75] take 293 us there and 33 us here. Blocked pools are tuned in every version.
_FIRST_GENERIC_OPSET = {"AveragePool": 19}


def mark_generic_kernels(graph: OpGraph, opset: int) -> OpGraph:
    """Give each such node the attribute ``generic`` = 1.

    Args:
        graph: as the runtime runs it; blocked kernels have the attribute ``layout``.
        opset: version of ONNX's operators that the model uses.
    """
    nodes = tuple(_marked(node) if _is_generic(node, opset) else node for node in graph.nodes)
    return graph if nodes == graph.nodes else dataclasses.replace(graph, nodes=nodes)


def _is_generic(node: OpNode, opset: int) -> bool:
    return opset >= _FIRST_GENERIC_OPSET.get(node.op, opset + 1) and "layout" not in node.attribute_map


def _marked(node: OpNode) -> OpNode:
    return dataclasses.replace(node, attributes=tuple(sorted({**node.attribute_map, "generic": 1}.items())))
