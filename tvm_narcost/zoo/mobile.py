"""Networks of inverted residuals: MobileNetV2, MobileNetV3, MnasNet, EfficientNet."""

from dataclasses import dataclass

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation, classifier, conv_block, flatten, global_pool, residual, squeeze_excite
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.sizes import image_size

__all__ = ["build_efficientnet", "build_mnasnet", "build_mobilenet_v2", "build_mobilenet_v3", "inverted_residual"]


@dataclass(frozen=True, slots=True)
class _Stage:
    """Blocks in a row: expansion of the first convolution, channels, number, first stride, kernel, excitation."""

    expansion: float
    channels: int
    depth: int
    stride: int
    kernel: int = 3
    excite: bool = False
    act: str = "Relu"


def inverted_residual(
    b: GraphBuilder, x: Value, channels: int, expansion: float, kernel: int, stride: int, act: str,
    squeezed: int = 0, gate: str = "Sigmoid", act_in_gate: str = "Relu",
) -> Value:  # fmt: skip
    """Expand by 1x1, depthwise, optional squeeze-excitation, project by 1x1; skip where the shape stays."""
    y = x
    inner = max(1, round(x.shape[1] * expansion))
    if inner != x.shape[1]:
        y = conv_block(b, y, inner, 1, act=act)
    y = conv_block(b, y, inner, kernel, stride, act=act, groups=inner)
    if squeezed:
        y = squeeze_excite(b, y, squeezed, act=act_in_gate, gate=gate)
    y = conv_block(b, y, channels, 1, act=None)
    return residual(b, y, x) if y.shape == x.shape else y


def _width(b: GraphBuilder) -> float:
    return b.rng.choice([0.25, 0.35, 0.5, 0.75, 1.0, 1.0, 1.3, 1.4, 1.5, 1.8, b.rng.uniform(0.25, 2.2)])


def _rounded(channels: float, divisor: int) -> int:
    return max(divisor, int(channels + divisor / 2) // divisor * divisor)


def _perturbed(b: GraphBuilder, stages: list[_Stage], act: str) -> list[_Stage]:
    """Random depth, kernels and expansions around the published ones, in most networks."""
    rng = b.rng
    if rng.random() < 0.2:
        return [_Stage(s.expansion, s.channels, s.depth, s.stride, s.kernel, s.excite, s.act or act) for s in stages]
    deeper = rng.choice([0.5, 0.7, 1.0, 1.0, 1.3, 1.6, 2.0])
    changed = []
    for s in stages:
        kernel = rng.choice([3, 5, 7]) if rng.random() < 0.25 else s.kernel
        expansion = rng.choice([2, 3, 4, 6, 6, 8, 2.5]) if s.expansion > 1 and rng.random() < 0.3 else s.expansion
        depth = max(1, round(s.depth * deeper + rng.choice([-1, 0, 0, 0, 1])))
        channels = round(s.channels * rng.uniform(0.8, 1.25))
        changed.append(_Stage(expansion, channels, depth, s.stride, kernel, s.excite, s.act or act))
    return changed


def _body(
    b: GraphBuilder, x: Value, stages: list[_Stage], width: float, divisor: int, squeeze: float, gate: str,
    act_in_gate: str,
) -> Value:  # fmt: skip
    for s in stages:
        for index in range(s.depth):
            stride = s.stride if index == 0 else 1
            reference = x.shape[1] if squeeze < 0.2 else x.shape[1] * s.expansion
            squeezed = max(1, round(reference * squeeze / (divisor if divisor > 1 else 1)) * divisor) if s.excite else 0
            if squeeze < 0.2:
                squeezed = max(4, x.shape[1] // 4) if s.excite else 0
            channels = _rounded(s.channels * width, divisor)
            x = inverted_residual(
                b, x, channels, s.expansion, s.kernel, stride, s.act, squeezed, gate, act_in_gate
            )  # fmt: skip
    return x


def _divisor(b: GraphBuilder) -> int:
    return b.rng.choices([8, 16, 4, 1], [0.7, 0.1, 0.1, 0.1])[0]


def build_mobilenet_v2(b: GraphBuilder) -> None:
    """MobileNetV2, Sandler et al. 2018; now and then V1 (plain depthwise-separable convolutions)."""
    rng = b.rng
    act = rng.choice(["Relu6", "Relu6", "Relu"])
    stages = [
        _Stage(1, 16, 1, 1), _Stage(6, 24, 2, 2), _Stage(6, 32, 3, 2), _Stage(6, 64, 4, 2), _Stage(6, 96, 3, 1),
        _Stage(6, 160, 3, 2), _Stage(6, 320, 1, 1),
    ]  # fmt: skip
    stages = [_Stage(s.expansion, s.channels, s.depth, s.stride, s.kernel, s.excite, act) for s in stages]
    width, divisor = _width(b), _divisor(b)
    x = conv_block(b, b.image(image_size(b, 32, 320)), _rounded(32 * width, divisor), 3, 2, act=act)
    if rng.random() < 0.12:
        for channels, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5,
                                 (1024, 2), (1024, 1)):  # fmt: skip
            x = conv_block(b, x, x.shape[1], 3, stride, act=act, groups=x.shape[1])
            x = conv_block(b, x, _rounded(channels * width, divisor), 1, act=act)
    else:
        x = _body(b, x, _perturbed(b, stages, act), width, divisor, 0.25, "Sigmoid", "Relu")
        x = conv_block(b, x, max(1280, round(1280 * width)) if rng.random() < 0.6 else round(1280 * width), 1, act=act)
    classifier(b, x)


def build_mobilenet_v3(b: GraphBuilder) -> None:
    """MobileNetV3 large and small: hard swish, squeeze-excitation; Howard et al. 2019."""
    rng = b.rng
    relu, hard = "Relu", "HardSwish"
    large = [
        _Stage(1, 16, 1, 1, 3, False, relu), _Stage(4, 24, 1, 2, 3, False, relu), _Stage(3, 24, 1, 1, 3, False, relu),
        _Stage(3, 40, 3, 2, 5, True, relu), _Stage(6, 80, 1, 2, 3, False, hard), _Stage(2.5, 80, 3, 1, 3, False, hard),
        _Stage(6, 112, 2, 1, 3, True, hard), _Stage(6, 160, 3, 2, 5, True, hard),
    ]  # fmt: skip
    small = [
        _Stage(1, 16, 1, 2, 3, True, relu), _Stage(4.5, 24, 1, 2, 3, False, relu),
        _Stage(3.67, 24, 1, 1, 3, False, relu), _Stage(4, 40, 3, 2, 5, True, hard), _Stage(3, 48, 2, 1, 5, True, hard),
        _Stage(6, 96, 3, 2, 5, True, hard),
    ]  # fmt: skip
    stages = rng.choice([large, large, small])
    width, divisor = _width(b), _divisor(b)
    x = conv_block(b, b.image(image_size(b, 96, 320)), _rounded(16 * width, divisor), 3, 2, act=hard)
    x = _body(b, x, _perturbed(b, stages, hard), width, divisor, 0.25, "HardSigmoid", relu)
    x = conv_block(b, x, x.shape[1] * 6, 1, act=hard)
    features = _rounded(rng.choice([1024, 1280]) * min(1.0, width), 8)
    if rng.random() < 0.5:
        x = activation(b, ops.gemm(b, flatten(b, global_pool(b, x)), features), hard)
    else:
        x = activation(b, ops.conv(b, global_pool(b, x), features, 1), hard)
        x = flatten(b, x)
    classifier(b, x)


def build_mnasnet(b: GraphBuilder) -> None:
    """MnasNet-A1 and B1; Tan et al. 2018."""
    rng = b.rng
    excite = rng.random() < 0.5
    stages = [
        _Stage(3, 24, 3, 2), _Stage(3, 40, 3, 2, 5, excite), _Stage(6, 80, 3, 2, 5), _Stage(6, 96, 2, 1, 3, excite),
        _Stage(6, 192, 4, 2, 5, excite), _Stage(6, 320, 1, 1),
    ]  # fmt: skip
    width, divisor = _width(b), _divisor(b)
    x = conv_block(b, b.image(image_size(b, 64, 320)), _rounded(32 * width, divisor), 3, 2)
    x = conv_block(b, x, x.shape[1], 3, groups=x.shape[1])
    x = conv_block(b, x, _rounded(16 * width, divisor), 1, act=None)
    x = _body(b, x, _perturbed(b, stages, "Relu"), width, divisor, 0.25, "Sigmoid", "Relu")
    classifier(b, conv_block(b, x, 1280, 1))


def build_efficientnet(b: GraphBuilder) -> None:
    """EfficientNet-B0 to B3 or so, and Lite (Relu6, no excitation); Tan and Le 2019."""
    rng = b.rng
    lite = rng.random() < 0.2
    act = "Relu6" if lite else "Swish"
    excite = not lite
    stages = [
        _Stage(1, 16, 1, 1, 3, excite), _Stage(6, 24, 2, 2, 3, excite), _Stage(6, 40, 2, 2, 5, excite),
        _Stage(6, 80, 3, 2, 3, excite), _Stage(6, 112, 3, 1, 5, excite), _Stage(6, 192, 4, 2, 5, excite),
        _Stage(6, 320, 1, 1, 3, excite),
    ]  # fmt: skip
    width, divisor = _width(b), _divisor(b)
    stages = [_Stage(s.expansion, s.channels, s.depth, s.stride, s.kernel, s.excite, act) for s in stages]
    x = conv_block(b, b.image(image_size(b, 64, 320)), _rounded(32 * width, divisor), 3, 2, act=act)
    x = _body(b, x, _perturbed(b, stages, act), width, divisor, 0.1, "Sigmoid", act)
    classifier(b, conv_block(b, x, _rounded(1280 * max(width, 0.5), divisor), 1, act=act))
