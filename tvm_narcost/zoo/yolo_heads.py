"""The heads of YOLO detectors, with the arithmetic that turns scores of a grid into boxes."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation, conv_block
from tvm_narcost.zoo.builder import GraphBuilder, Value

__all__ = ["anchor_head", "distribution_head", "raw_head"]


def raw_head(b: GraphBuilder, levels: list[Value], classes: int, act: str) -> None:
    """Scores of each level as the convolution leaves them, or transposed; decoded outside of the network."""
    deep = b.rng.random() < 0.5
    transposed = b.rng.random() < 0.5
    for level in levels:
        x = conv_block(b, level, level.shape[1], 3, act=act) if deep else level
        x = ops.conv(b, x, 3 * (classes + 5), 1)
        b.output(ops.transpose(b, x, (0, 2, 3, 1)) if transposed else x)


def anchor_head(b: GraphBuilder, levels: list[Value], classes: int, act: str) -> None:
    """YOLOv5: three anchors a cell; Reshape, Transpose, Sigmoid, then boxes from grid, stride and anchors; joined."""
    values = classes + 5
    sliced = b.rng.random() < 0.5  # Slice three times, or one Split
    decoded = []
    for index, level in enumerate(levels):
        n, _, h, w = level.shape
        stride = 8.0 * 2**index
        x = ops.reshape(b, ops.conv(b, level, 3 * values, 1), (n, 3, values, h, w))
        x = activation(b, ops.transpose(b, x, (0, 1, 3, 4, 2)), "Sigmoid")
        if sliced:
            bounds = [(0, 2), (2, 4), (4, values)]
            centre, size, rest = (ops.slice_axis(b, x, 4, low, high) for low, high in bounds)
        else:
            centre, size, rest = ops.split(b, x, (2, 2, values - 4), 4)
        centre = ops.add(b, ops.mul(b, centre, b.scalar(2.0)), b.weight((1, 3, h, w, 2), 0.5))
        centre = ops.mul(b, centre, b.scalar(stride))
        size = ops.binary(b, "Pow", ops.mul(b, size, b.scalar(2.0)), b.scalar(2.0), 2.0)
        size = ops.mul(b, size, b.weight((1, 3, h, w, 2), 2.0))
        y = ops.concat(b, [centre, size, rest], 4)
        decoded.append(ops.reshape(b, y, (n, 3 * h * w, values)))
    b.output(ops.concat(b, decoded, 1))


def distribution_head(b: GraphBuilder, levels: list[Value], classes: int, act: str) -> None:
    """YOLOv8: separate box and class towers; each side of a box is the mean of a softmax over 16 distances."""
    bins = b.rng.choice([16, 16, 16, 8, 1])
    box_width = max(16, levels[0].shape[1] // 4, 4 * bins)
    class_width = max(levels[0].shape[1], min(classes, 100))
    flat = []
    for level in levels:
        box, kind = level, level
        for _ in range(b.rng.choice([2, 2, 1])):
            box, kind = conv_block(b, box, box_width, 3, act=act), conv_block(b, kind, class_width, 3, act=act)
        both = ops.concat(b, [ops.conv(b, box, 4 * bins, 1), ops.conv(b, kind, classes, 1)])
        n, c, h, w = both.shape
        flat.append(ops.reshape(b, both, (n, c, h * w)))
    x = ops.concat(b, flat, 2)
    n, cells = x.shape[0], x.shape[2]
    boxes, scores = ops.split(b, x, (4 * bins, classes))
    if bins > 1:
        spread = ops.transpose(b, ops.reshape(b, boxes, (n, 4, bins, cells)), (0, 3, 1, 2))
        spread = ops.transpose(b, ops.softmax(b, spread), (0, 3, 2, 1))
        boxes = ops.reshape(b, ops.conv(b, spread, 1, 1, bias=False), (n, 4, cells))
    near, far = ops.split(b, boxes, (2, 2))
    anchors = b.weight((1, 2, cells), 0.5)
    low = ops.binary(b, "Sub", anchors, near, 1.0)
    high = ops.add(b, anchors, far)
    centre = ops.binary(b, "Div", ops.add(b, low, high), b.scalar(2.0), 1.0)
    box = ops.concat(b, [centre, ops.binary(b, "Sub", high, low, 1.0)], 1)
    box = ops.mul(b, box, b.weight((1, cells), 8.0))
    b.output(ops.concat(b, [box, activation(b, scores, "Sigmoid")], 1))
