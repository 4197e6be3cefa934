"""GoogLeNet: Inception v1 with LRN, and v2 with batch normalisation."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import classifier, conv_block, often_caffe
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.sizes import image_size, scaled

__all__ = ["build_googlenet", "inception_module"]


def _unit(b: GraphBuilder, x: Value, channels: int, kernel: int | tuple[int, int], stride: int, normed: bool) -> Value:
    if normed:
        return conv_block(b, x, channels, kernel, stride)
    return ops.unary(b, "Relu", ops.conv(b, x, channels, kernel, stride))


def inception_module(
    b: GraphBuilder, x: Value, widths: tuple[int, int, int, int, int, int], *, stride: int = 1, normed: bool = False,
    double_3x3: bool = False, pool: str = "MaxPool", factorised: int = 0,
) -> Value:  # fmt: skip
    """Parallel 1x1, 3x3, 5x5 (or twice 3x3, or 1xk and kx1) and pooling branches, joined.

    ``widths`` are 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pooling projection; with a stride of 2 the 1x1 branch
    and the projection are left out. ``factorised`` is k of the 1xk, kx1 pair in the place of the 5x5 branch.
    """
    one, three_in, three, five_in, five, projected = widths
    branches = [] if stride == 2 else [_unit(b, x, one, 1, 1, normed)]
    branches.append(_unit(b, _unit(b, x, three_in, 1, 1, normed), three, 3, stride, normed))
    deep = _unit(b, x, five_in, 1, 1, normed)
    if factorised:
        deep = _unit(b, _unit(b, deep, five, (1, factorised), 1, normed), five, (factorised, 1), stride, normed)
    elif double_3x3:
        deep = _unit(b, _unit(b, deep, five, 3, 1, normed), five, 3, stride, normed)
    else:
        deep = _unit(b, deep, five, 5, stride, normed)
    branches.append(deep)
    if stride == 2:
        # Rounds up, so that the branches have one size whether it is odd or even.
        branches.append(ops.pool(b, x, "MaxPool", 3, 2, 1))
    else:
        branches.append(_unit(b, ops.pool(b, x, pool, 3, 1, 1), projected, 1, 1, normed))
    return ops.concat(b, branches)


def build_googlenet(b: GraphBuilder) -> None:
    """Inception v1 (LRN, max pooling branches) or v2 (batch norm, twice 3x3); Szegedy 2014, Ioffe 2015."""
    rng = b.rng
    often_caffe(b)
    size = image_size(b, 64, 320)
    normed = rng.random() < 0.5
    lrn = not normed and rng.random() < 0.75
    base = scaled(b, 64, 0.25, 1.5)
    kernel = rng.choice([7, 7, 5, 3])
    x = _unit(b, b.image(size), base, kernel, 2, normed)
    x = ops.pool(b, x, "MaxPool", 3, 2, rng.choice([0, 1]), ceil=rng.random() < 0.5)
    x = ops.lrn(b, x) if lrn else x
    x = _unit(b, _unit(b, x, base, 1, 1, normed), base * 3, 3, 1, normed)
    x = ops.lrn(b, x) if lrn else x
    x = ops.pool(b, x, "MaxPool", 3, 2, rng.choice([0, 1]))
    strided = normed and rng.random() < 0.7
    double_3x3 = normed and rng.random() < 0.7
    factorised = rng.choice([5, 7]) if normed and rng.random() < 0.2 else 0
    depths = rng.choice([(2, 5, 2), (2, 4, 2), (rng.randint(1, 3), rng.randint(1, 6), rng.randint(1, 3))])
    for stage, depth in enumerate(depths):
        for index in range(depth):
            grown = base * (1 + stage * 0.8 + index * rng.uniform(0.1, 0.4))
            shares = (1.0, 1.5, 2.0, 0.3, 0.6, 0.6) if not double_3x3 else (1.0, 1.0, 1.2, 1.0, 1.4, 0.6)
            drawn = [max(4, round(grown * share * rng.uniform(0.7, 1.3))) for share in shares]
            one, three_in, three, five_in, five, projected = (
                w if base % 8 else max(8, round(w / 8) * 8) for w in drawn
            )
            last = index == depth - 1 and stage < len(depths) - 1
            x = inception_module(
                b, x, (one, three_in, three, five_in, five, projected), stride=2 if last and strided else 1,
                normed=normed, double_3x3=double_3x3, factorised=factorised,
                pool="AveragePool" if normed and not last else "MaxPool",
            )  # fmt: skip
            if last and not strided:
                x = ops.pool(b, x, "MaxPool", 3, 2, rng.choice([0, 1]))
    classifier(b, x)
