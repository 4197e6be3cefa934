"""Detectors: YOLO of several generations, SSD, RetinaNet."""

from collections.abc import Callable
from dataclasses import dataclass

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation, conv_block, depth_separable, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.image_blocks import backbone, multiple_size, resize_to
from tvm_narcost.zoo.sizes import scaled
from tvm_narcost.zoo.yolo_heads import anchor_head, distribution_head, raw_head

__all__ = ["build_yolo"]

_CLASSES = (1, 2, 10, 20, 80, 80, 80)


@dataclass(frozen=True, slots=True)
class _Style:
    """Activation, stage block and number of bottlenecks of one detector."""

    act: str
    block: Callable[[GraphBuilder, Value, int, int, str, bool], Value]
    depth: int


def build_yolo(b: GraphBuilder) -> None:
    """YOLO in most cases, else SSD or RetinaNet; Redmon 2018, Bochkovskiy 2020, Jocher 2020, Liu 2016, Lin 2017."""
    b.rng.choices([_yolo, _ssd, _retina], [0.78, 0.12, 0.1])[0](b)


def _bottleneck(b: GraphBuilder, x: Value, channels: int, act: str, skip: bool, kernels: tuple[int, int]) -> Value:
    y = conv_block(b, conv_block(b, x, channels, kernels[0], act=act), channels, kernels[1], act=act)
    return residual(b, x, y) if skip and x.shape[1] == channels else y


def _c3(b: GraphBuilder, x: Value, channels: int, depth: int, act: str, skip: bool) -> Value:
    """Two 1x1 branches, bottlenecks on one of them, joined (YOLOv5)."""
    y = conv_block(b, x, channels // 2, 1, act=act)
    for _ in range(depth):
        y = _bottleneck(b, y, channels // 2, act, skip, (1, 3))
    return conv_block(b, ops.concat(b, [y, conv_block(b, x, channels // 2, 1, act=act)]), channels, 1, act=act)


def _c2f(b: GraphBuilder, x: Value, channels: int, depth: int, act: str, skip: bool) -> Value:
    """Split in two, every bottleneck's result kept and joined (YOLOv8)."""
    half = channels // 2
    parts = ops.split(b, conv_block(b, x, 2 * half, 1, act=act), (half, half))
    for _ in range(depth):
        parts.append(_bottleneck(b, parts[-1], half, act, skip, (3, 3)))
    return conv_block(b, ops.concat(b, parts), channels, 1, act=act)


def _elan(b: GraphBuilder, x: Value, channels: int, depth: int, act: str, skip: bool) -> Value:
    """Parallel 1x1 and a chain of 3x3 whose every other result is joined (YOLOv7)."""
    half = channels // 2
    parts = [conv_block(b, x, half, 1, act=act), conv_block(b, x, half, 1, act=act)]
    for _ in range(depth):
        y = conv_block(b, conv_block(b, parts[-1], half, 3, act=act), half, 3, act=act)
        parts.append(y)
    return conv_block(b, ops.concat(b, parts), channels, 1, act=act)


def _cross_stage(b: GraphBuilder, x: Value, channels: int, depth: int, act: str, skip: bool) -> Value:
    """One half of the channels goes through, the other stays (YOLOv4-tiny): Slice or Split, Concat."""
    y = conv_block(b, x, channels, 3, act=act)
    half = channels // 2
    if b.rng.random() < 0.5:
        routed = ops.slice_axis(b, y, 1, channels - half, channels)
    else:
        first, second = ops.split(b, y, (channels - half, half))
        y, routed = ops.concat(b, [second, first]), second
    first = conv_block(b, routed, half, 3, act=act)
    second = first
    for _ in range(depth):
        second = conv_block(b, second, half, 3, act=act)
    joined = conv_block(b, ops.concat(b, [second, first]), channels, 1, act=act)
    return ops.concat(b, [y, joined])


def _dark(b: GraphBuilder, x: Value, channels: int, depth: int, act: str, skip: bool) -> Value:
    """1x1 to half, 3x3 back, each with a skip connection where the shape stays (YOLOv3)."""
    for _ in range(depth):
        y = conv_block(b, conv_block(b, x, max(channels // 2, 4), 1, act=act), channels, 3, act=act)
        x = residual(b, x, y) if skip and x.shape[1] == channels else y
    return x


def _stem(b: GraphBuilder, x: Value, channels: int, act: str) -> Value:
    kind = b.rng.choice(["focus", "focus", "6x6", "3x3", "3x3", "space"])
    if kind == "focus":  # four slices of every other row and column
        n, _, h, w = x.shape
        corners = [
            ops.slice_axis(b, ops.slice_axis(b, x, 2, row, h, 2), 3, column, w, 2)
            for column in (0, 1)
            for row in (0, 1)
        ]
        return conv_block(b, ops.concat(b, corners), channels, 3, act=act)
    if kind == "space":
        n, c, h, w = x.shape
        return conv_block(b, b.node("SpaceToDepth", [x], (n, 4 * c, h // 2, w // 2), blocksize=2), channels, 3, act=act)
    if kind == "6x6":
        return conv_block(b, x, channels, 6, 2, act=act, padding=2)
    return conv_block(b, x, channels, 3, 2, act=act)


def _pyramid_pooling(b: GraphBuilder, x: Value, channels: int, act: str) -> Value:
    """SPPF: 5x5 pools in a row, or SPP: 5x5, 9x9, 13x13 side by side; all joined."""
    x = conv_block(b, x, max(channels // 2, 4), 1, act=act)
    parts = [x]
    if b.rng.random() < 0.7:
        for _ in range(3):
            parts.append(ops.pool(b, parts[-1], "MaxPool", 5, 1, 2))
    else:
        parts += [ops.pool(b, x, "MaxPool", k, 1, k // 2) for k in (5, 9, 13)]
    return conv_block(b, ops.concat(b, parts), channels, 1, act=act)


def _neck(b: GraphBuilder, features: list[Value], style: _Style, bottom_up: bool) -> list[Value]:
    """PAN: down from coarse to fine by resizing, then up again by strided convolutions, joined at every level."""
    x = features[-1]
    kept = []
    for feature in reversed(features[:-1]):
        lateral = conv_block(b, x, feature.shape[1], 1, act=style.act) if b.rng.random() < 0.6 else x
        kept.append(lateral)
        raised = resize_to(b, lateral, feature.shape[2], feature.shape[3])
        x = style.block(b, ops.concat(b, [raised, feature]), feature.shape[1], style.depth, style.act, False)
    if not bottom_up:
        return [x, *reversed(kept)]
    levels = [x]
    for lateral in reversed(kept):
        lowered = conv_block(b, x, x.shape[1], 3, 2, act=style.act)
        channels = 2 * x.shape[1] if x.shape[1] < 512 else x.shape[1]
        x = style.block(b, ops.concat(b, [lowered, lateral]), channels, style.depth, style.act, False)
        levels.append(x)
    return levels


def _yolo(b: GraphBuilder) -> None:
    rng = b.rng
    height, width = multiple_size(b, 32, 96, 640)
    act = rng.choices(["Swish", "LeakyRelu", "Relu", "HardSwish", "Relu6"], [5, 3, 1.5, 1, 0.5])[0]
    block = rng.choices([_c3, _c2f, _elan, _cross_stage, _dark], [4, 4, 1, 1.5, 1.5])[0]
    style = _Style(act, block, rng.choice([1, 1, 1, 2, 3]))
    base = max(8, scaled(b, rng.choice([16, 24, 32, 32, 48]), 0.4, 1.6) // 2 * 2)
    x = _stem(b, b.image(height, width), base, act)
    features = []
    for stage, depth in enumerate(rng.choice([(1, 2, 2, 1), (1, 3, 3, 1), (3, 6, 9, 3), (1, 1, 1, 1)])):
        channels = min(base * 2 ** (stage + 1), 1024)
        x = conv_block(b, x, channels, 3, 2, act=act)
        x = block(b, x, channels, max(1, depth * style.depth // 3) if depth > 3 else depth, act, True)
        features.append(x)
    if rng.random() < 0.8:
        features[-1] = _pyramid_pooling(b, x, features[-1].shape[1], act)
    levels = _neck(b, features[rng.choice([1, 1, 1, 2]) :], style, rng.random() < 0.75)
    classes = rng.choice(_CLASSES)
    head = rng.choices([anchor_head, distribution_head, raw_head], [0.4, 0.35, 0.25])[0]
    head(b, levels, classes, act)


def _flat_predictions(b: GraphBuilder, x: Value, values: int) -> Value:
    """[n, k * values, h, w] to [n, h * w * k, values]."""
    x = ops.transpose(b, x, (0, 2, 3, 1))
    return ops.reshape(b, x, (x.shape[0], x.elements // (x.shape[0] * values), values))


def _predictor(b: GraphBuilder, x: Value, channels: int, light: bool) -> Value:
    if light:
        x = conv_block(b, x, x.shape[1], 3, groups=x.shape[1], act="Relu6")
        return ops.conv(b, x, channels, 1)
    return ops.conv(b, x, channels, 3)


def _outputs(b: GraphBuilder, boxes: list[Value], scores: list[Value], act: str | None) -> None:
    b.output(ops.concat(b, boxes, 1))
    joined = ops.concat(b, scores, 1)
    if act == "Softmax":
        joined = ops.softmax(b, joined)
    elif act:
        joined = activation(b, joined, act)
    b.output(joined)


def _ssd(b: GraphBuilder) -> None:
    """Boxes and classes predicted from the backbone's last stages and extra smaller ones."""
    rng = b.rng
    height, width = multiple_size(b, 32, 128, 512)
    light = rng.random() < 0.6
    features = backbone(b, b.image(height, width), scaled(b, 64, 0.25, 1.25), tuple(rng.randint(1, 4) for _ in "1234"))
    levels = features[-2:]
    while min(levels[-1].shape[2:]) > 2 and len(levels) < 6:
        inner = rng.choice([32, 64, 128, 256])
        y = conv_block(b, levels[-1], inner, 1)
        levels.append(depth_separable(b, y, 2 * inner, 3, 2) if light else conv_block(b, y, 2 * inner, 3, 2))
    classes = rng.choice(_CLASSES) + 1
    boxes, scores = [], []
    for level in levels:
        anchors = rng.choice([3, 4, 6])
        boxes.append(_flat_predictions(b, _predictor(b, level, 4 * anchors, light), 4))
        scores.append(_flat_predictions(b, _predictor(b, level, classes * anchors, light), classes))
    _outputs(b, boxes, scores, rng.choice(["Softmax", "Softmax", "Sigmoid", None]))


def _retina(b: GraphBuilder) -> None:
    """A feature pyramid of 3 to 5 levels with towers of convolutions on each."""
    rng = b.rng
    height, width = multiple_size(b, 32, 128, 512)
    features = backbone(b, b.image(height, width), scaled(b, 64, 0.25, 1.0), tuple(rng.randint(1, 4) for _ in "1234"))
    inner, deep = rng.choice([32, 64, 96, 128, 256]), rng.randint(0, 4)
    x = ops.conv(b, features[-1], inner, 1)
    levels = [x]
    for feature in features[-2:0:-1]:
        x = ops.add(b, ops.conv(b, feature, inner, 1), resize_to(b, x, feature.shape[2], feature.shape[3]))
        levels.insert(0, ops.conv(b, x, inner, 3))
    for _ in range(rng.randint(0, 2)):
        levels.append(ops.conv(b, ops.unary(b, "Relu", levels[-1]), inner, 3, 2))
    classes, anchors = rng.choice(_CLASSES), rng.choice([1, 3, 9])
    boxes, scores = [], []
    for level in levels:
        towers = []
        for _ in range(2):
            y = level
            for _ in range(deep):
                y = ops.unary(b, "Relu", ops.conv(b, y, inner, 3))
            towers.append(y)
        boxes.append(_flat_predictions(b, ops.conv(b, towers[0], 4 * anchors, 3), 4))
        scores.append(_flat_predictions(b, ops.conv(b, towers[1], classes * anchors, 3), classes))
    _outputs(b, boxes, scores, rng.choice(["Sigmoid", "Sigmoid", None]))
