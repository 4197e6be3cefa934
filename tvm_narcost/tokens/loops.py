"""ProductLoops: a convolution or matrix product as the schedules of ``hook`` see it, read off its node."""

import math
from dataclasses import dataclass

from relay_frontend.graph import PARAMETER, OpGraph
from tvm_narcost.tokens.extents import EXTENTS, node_extents

__all__ = ["ProductLoops", "product_loops"]


@dataclass(frozen=True, slots=True)
class ProductLoops:
    """A sum of products, with the axes of its output that are tiled, see :func:`tvm_narcost.tokens.tiles.best_tile`.

    Attributes:
        rows, width: extents of the axes that are unrolled and vectorised; the width is that of one group.
        multiply_adds: in all, those of padding too.
        filled, depthwise: see there; the last vector may be cut.
        padded: elements of the padded copy of the input; 0 without padding.
        askew: whether there is more padding on one side than on the other.
    """

    rows: int
    width: int
    multiply_adds: float
    filled: bool
    depthwise: bool
    padded: int = 0
    askew: bool = False


def product_loops(graph: OpGraph, index: int) -> ProductLoops | None:
    """The loops of one node; None where it is neither a convolution nor a matrix product of known extents."""
    node = graph.nodes[index]
    if node.op not in ("Conv", "MatMul", "Gemm") or not node.outputs:
        return None
    extents = dict(
        zip(EXTENTS, node_extents(node.op, node.attributes, graph.input_types(index), node.outputs), strict=True)
    )
    rows, width = int(extents["m"]), int(extents["n"])
    multiply_adds = rows * width * extents["k"] * max(extents["products"], 1)
    if not multiply_adds:
        return None
    if node.op != "Conv":
        constant = any(edge.source == PARAMETER for edge in node.inputs)
        return ProductLoops(rows, width, multiply_adds, filled=constant, depthwise=False)
    is_last = node.attribute_map.get("channels_last") == 1
    padding = _padding(node.attribute_map.get("pads"), graph.input_types(index)[0].shape, is_last=is_last)
    line = int(extents["out_w"] if extents["out_w"] > 1 else extents["out_h"])
    if not is_last:  # vectors lie along a line of the image, and channels are unrolled
        return ProductLoops(width, line, multiply_adds, False, False, *padding)
    depthwise = 1 < extents["group"] == extents["in_channels"]
    width = int(extents["out_channels"]) if depthwise else width
    return ProductLoops(line, width, multiply_adds, not depthwise, depthwise, *padding)


def _padding(pads: object, read: tuple[int, ...], *, is_last: bool) -> tuple[int, bool]:
    """Elements of the padded input, and whether the sides differ; zeros where nothing is padded."""
    spatial = read[1:-1] if is_last else read[2:]
    if not isinstance(pads, tuple) or len(pads) != 2 * len(spatial) or not any(pads) or min(pads) < 0:
        return 0, False
    before, after = pads[: len(spatial)], pads[len(spatial) :]
    extents = [extent + low + high for extent, low, high in zip(spatial, before, after, strict=True)]
    return math.prod(read) // max(math.prod(spatial), 1) * math.prod(extents), before != after
