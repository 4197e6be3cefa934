"""ProductLoops: a convolution or matrix product as the schedules of ``hook`` see it, read off its node."""

import math
from dataclasses import dataclass

from relay_frontend.graph import PARAMETER, OpGraph
from tvm_narcost.tokens.extents import EXTENTS, node_extents

__all__ = ["ProductLoops", "product_loops"]

_PRODUCT = EXTENTS.index("m")


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
    extents = node_extents(node.op, node.attributes, graph.input_types(index), node.outputs)
    m, n, k, products = extents[_PRODUCT : _PRODUCT + 4]
    multiply_adds = m * n * k * max(products, 1)
    if not multiply_adds:
        return None
    if node.op == "Conv":
        return _convolution(graph, index, multiply_adds)
    constant = any(edge.source == PARAMETER for edge in node.inputs)
    return ProductLoops(int(m), int(n), multiply_adds, filled=constant, depthwise=False)


def _convolution(graph: OpGraph, index: int, multiply_adds: float) -> ProductLoops:
    node = graph.nodes[index]
    attributes, read = node.attribute_map, graph.input_types(index)[0].shape
    written = node.outputs[0].shape
    group = attributes.get("group", 1)
    groups = group if isinstance(group, int) and group > 0 else 1
    is_last = attributes.get("channels_last") == 1
    channels, out_channels = (read[-1], written[-1]) if is_last else (read[1], written[1])
    spatial = written[1:-1] if is_last else written[2:]
    line = next((extent for extent in reversed(spatial) if extent > 1), 1)
    padded, askew = _padding(attributes.get("pads"), read, is_last=is_last)
    own = max(out_channels // groups, 1)
    if not is_last:  # vectors lie along a line of the image, and channels are unrolled
        return ProductLoops(own, line, multiply_adds, False, False, padded, askew)
    depthwise = groups > 1 and groups == channels
    width = out_channels if depthwise else own
    return ProductLoops(line, width, multiply_adds, not depthwise, depthwise, padded, askew)


def _padding(pads: object, read: tuple[int, ...], *, is_last: bool) -> tuple[int, bool]:
    """Elements of the padded input, and whether the sides differ; zeros where nothing is padded."""
    spatial = read[1:-1] if is_last else read[2:]
    if not isinstance(pads, tuple) or len(pads) != 2 * len(spatial) or not any(pads) or min(pads) < 0:
        return 0, False
    before, after = pads[: len(spatial)], pads[len(spatial) :]
    extents = [extent + low + high for extent, low, high in zip(spatial, before, after, strict=True)]
    return math.prod(read) // max(math.prod(spatial), 1) * math.prod(extents), before != after
