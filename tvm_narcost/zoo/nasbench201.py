"""NAS-Bench-201: cells of four nodes whose six edges each carry one of five operations; Dong and Yang 2020."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import classifier, conv_block, norm, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.sizes import scaled

__all__ = ["build_nasbench201"]

OPERATIONS = ("none", "skip", "conv_1x1", "conv_3x3", "avg_pool_3x3")


def _edge(b: GraphBuilder, x: Value, operation: str) -> Value | None:
    if operation == "none":
        return None
    if operation == "skip":
        return x
    if operation == "avg_pool_3x3":
        return ops.pool(b, x, "AveragePool", 3, 1, 1)
    # ReLU, convolution, BatchNormalization, in this order.
    return conv_block(b, ops.unary(b, "Relu", x), x.shape[1], 1 if operation == "conv_1x1" else 3, act=None)


def _cell(b: GraphBuilder, x: Value, operations: dict[tuple[int, int], str]) -> Value:
    """Each node is the sum of what its incoming edges bring; a node that nothing reaches is left out."""
    used = {3}
    for source in (2, 1):
        if any(operations[source, target] != "none" for target in used if target > source):
            used.add(source)
    nodes: list[Value | None] = [x]
    for target in range(1, 4):
        total: Value | None = None
        for source in range(target if target in used else 0):
            start = nodes[source]
            arriving = None if start is None else _edge(b, start, operations[source, target])
            if arriving is not None:
                total = arriving if total is None else residual(b, total, arriving)
        nodes.append(total)
    return nodes[3] or x  # a cell whose output nothing reaches passes its input on


def _reduction(b: GraphBuilder, x: Value) -> Value:
    y = conv_block(b, ops.unary(b, "Relu", x), x.shape[1] * 2, 3, 2, act=None)
    y = conv_block(b, ops.unary(b, "Relu", y), y.shape[1], 3, act=None)
    skip = ops.pool(b, x, "AveragePool", 2, 2) if x.shape[2] % 2 == 0 else x
    return residual(b, y, ops.conv(b, skip, y.shape[1], 1, 1 if skip is not x else 2, padding=0, bias=False))


def build_nasbench201(b: GraphBuilder) -> None:
    """A random cell in the NAS-Bench-201 skeleton: 32x32 input, three stages of cells, channels 16, 32, 64."""
    rng = b.rng
    operations = {(s, t): rng.choice(OPERATIONS) for t in range(1, 4) for s in range(t)}
    if not any(operations[s, 3].startswith("conv") for s in range(3)):
        operations[0, 3] = rng.choice(OPERATIONS[2:4])
    cells = rng.choice([5, 5, 5, rng.randint(1, 10)])
    size = rng.choice([32, 32, 32, 32, 32, 16, 24, 40, 48, 64])
    channels = 16 if rng.random() < 0.3 else scaled(b, 16, 0.5, 6.0)
    x = conv_block(b, b.image(size), channels, 3, act=None)
    for stage in range(3):
        if stage:
            x = _reduction(b, x)
        for _ in range(cells):
            x = _cell(b, x, operations)
    if b.spelling.norm != "bias":
        x = norm(b, x)
    classifier(b, ops.unary(b, "Relu", x), rng.choice([10, 100, 120]))
