"""Random-wired networks: a random graph of the blocks of all families, so that kernels appear in unusual company."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation, classifier, conv_block
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.classic import hidden_layers
from tvm_narcost.zoo.sizes import image_size
from tvm_narcost.zoo.wild_blocks import ACTIVATIONS, BLOCKS, draw_channels

__all__ = ["build_random_wired"]

_MOST_CHANNELS = 1536


def _projected(b: GraphBuilder, x: Value, channels: int) -> Value:
    return x if x.shape[1] == channels else conv_block(b, x, channels, 1, act=None)


def _joined(b: GraphBuilder, values: list[Value]) -> Value:
    """One value of several of equal size: their sum, product with a gate, maximum, or concatenation."""
    if len(values) == 1:
        return values[0]
    how = b.rng.choice(["sum", "sum", "concat", "concat", "gate", "max"])
    if how == "concat" and sum(value.shape[1] for value in values) <= _MOST_CHANNELS:
        return ops.concat(b, values)
    channels = values[0].shape[1]
    first, *others = [_projected(b, value, channels) for value in values]
    if how == "gate":
        for other in others:
            first = ops.mul(b, first, ops.unary(b, "Sigmoid", other, 0.7))
        return first
    if how == "max":
        return b.node("Max", [first, *others], first.shape, max(v.level for v in (first, *others)))
    if b.spelling.residual == "Sum":
        return b.node("Sum", [first, *others], first.shape, sum(v.level for v in (first, *others)))
    for other in others:
        first = ops.add(b, first, other)
    return first


def _stage(b: GraphBuilder, x: Value, nodes: int) -> Value:
    """A random acyclic graph of blocks at one image size; whatever nothing uses is joined at the end."""
    rng = b.rng
    weights = [weight for weight, _ in BLOCKS]
    values, unused = [x], {0}
    span = rng.choice([1, 2, 4, 8])  # how far back a block looks: chains or wide graphs
    for _ in range(nodes):
        recent = range(max(0, len(values) - span), len(values))
        sources = rng.sample(recent, min(len(recent), rng.choices([1, 2, 3], [0.7, 0.22, 0.08])[0]))
        start = _joined(b, [values[source] for source in sources])
        unused -= set(sources)
        y = rng.choices(BLOCKS, weights)[0][1](b, start)
        if y.shape[1] > _MOST_CHANNELS or y.level > 1e4 or y.level < 1e-4:
            y = conv_block(b, y, draw_channels(b, min(y.shape[1], _MOST_CHANNELS // 2)), 1)
        unused.add(len(values))
        values.append(y)
    return _joined(b, [values[index] for index in sorted(unused)])


def _reduced(b: GraphBuilder, x: Value, near: int) -> Value:
    """Halve the image's size in one of several ways."""
    rng = b.rng
    channels = draw_channels(b, near)
    kind = rng.choice(["conv", "conv", "max", "average", "space"])
    if kind == "space" and x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0:
        shape = (x.shape[0], 4 * x.shape[1], x.shape[2] // 2, x.shape[3] // 2)
        return conv_block(b, b.node("SpaceToDepth", [x], shape, blocksize=2), channels, 1)
    if kind in ("max", "average"):
        pooled = ops.pool(b, x, "MaxPool" if kind == "max" else "AveragePool", 2, 2, ceil=True)
        return conv_block(b, pooled, channels, rng.choice([1, 3]), act=rng.choice(ACTIVATIONS))
    return conv_block(b, x, channels, rng.choice([2, 3, 3, 5, 7]), 2, padding=1, act=rng.choice(ACTIVATIONS))


def build_random_wired(b: GraphBuilder) -> None:
    """Stem, two to five stages of random graphs with reductions between them, a classifier or a dense output."""
    rng = b.rng
    height = image_size(b, 32, 320)
    width = height if rng.random() < 0.8 else image_size(b, 32, 320)
    channels = rng.choice([4, 8, 12, 16, 24, 32, 48, 64, rng.randint(4, 64)])
    x = b.image(height, width, rng.choice([1, 3, 3, 3, 4]))
    x = conv_block(b, x, channels, rng.choice([3, 3, 5, 7, 11]), rng.choice([1, 2, 2, 2, 4]))
    growth = rng.uniform(1.3, 2.2)
    per_stage = rng.choice([1, 2, 3, 4, 6, 8])
    for index in range(rng.randint(2, 5)):
        if index and min(x.shape[2:]) >= 4:
            x = _reduced(b, x, min(round(channels * growth**index), _MOST_CHANNELS // 2))
        x = _stage(b, x, rng.randint(1, per_stage))
    ending = rng.choices(["classifier", "hidden", "dense"], [0.7, 0.15, 0.15])[0]
    if ending == "hidden" and x.elements // b.batch <= 40_000:
        hidden_layers(b, x, rng.choice([128, 256, 512, 1024, 2048]), rng.choice([1, 2]))
    elif ending == "dense":
        b.output(activation(b, ops.conv(b, x, rng.choice([1, 2, 21, 64]), 1), rng.choice(["Sigmoid", "Relu"])))
    else:
        classifier(b, x)
