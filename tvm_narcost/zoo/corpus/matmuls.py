"""Random matrix products: dense layers, batched products of activations, attention."""

import math
from typing import Any

from tvm_narcost.errors import ZooError
from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation
from tvm_narcost.zoo.builder import FLOAT, Value
from tvm_narcost.zoo.corpus.draws import log_uniform, width
from tvm_narcost.zoo.corpus.pool import Pool
from tvm_narcost.zoo.corpus.sample import Sample

__all__ = ["MATMULS"]

_ACTIVATIONS = (
    "Relu", "Relu", "Gelu", "Gelu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Swish", "Elu", "Softplus", "Relu6",
)  # fmt: skip
_MOST_FEATURES = 16_384
_HEAD_SIZES = (8, 16, 24, 32, 32, 40, 48, 64, 64, 64, 72, 80, 96, 128, 128, 256)


def _rows(p: Pool) -> int:
    """Rows of a product: one (a classifier, a decoder's step), a few, or many."""
    return p.rng.choice([1, 1, log_uniform(p.rng, 2, 16), log_uniform(p.rng, 4, 512), log_uniform(p.rng, 64, 8192)])


def _columns(p: Pool, rows: int, size: int) -> int:
    """Columns that keep the product of [rows, size] affordable."""
    return p.budget("MatMul", 1, _MOST_FEATURES, lambda n: (2.0 * rows * n * size, rows * size + (size + rows) * n))


def _matrix(p: Pool) -> Value:
    """[m, k]."""

    def draw() -> tuple[int, int]:
        rows = _rows(p)
        return rows, width(p.rng, 1, max(1, min(_MOST_FEATURES, p.most_elements // rows)))

    return p.obtain(2, lambda value: value.shape[1] <= 40_000, draw)


def _sequence(p: Pool) -> Value:
    """[n, s, k] or [n, a, b, k], as transformers have them."""
    rank = p.rng.choice([3, 3, 3, 4])

    def draw() -> tuple[int, ...]:
        lead = (p.rng.choice([1, 1, 1, 2, 4, 8]), *(log_uniform(p.rng, 1, 512) for _ in range(rank - 2)))
        return (*lead, width(p.rng, 1, max(1, min(4096, p.most_elements // math.prod(lead)))))

    return p.obtain(rank, lambda value: value.shape[-1] <= 20_000, draw)


def _gemm(p: Pool) -> Value:
    """Gemm in all its forms: either side transposed, alpha and beta, a bias of several shapes or none, activated."""
    b, rng = p.b, p.rng
    x = _matrix(p)
    trans_a = rng.random() < 0.15
    m, k = x.shape[::-1] if trans_a else x.shape
    n = _columns(p, m, k)
    trans_b = rng.random() < 0.6
    alpha, beta = (rng.choice([0.5, 0.125, 1.5]) if rng.random() < 0.12 else None for _ in range(2))
    inputs = [x, b.weight((n, k) if trans_b else (k, n), 1 / (k * x.level * (alpha or 1.0)))]
    bias = rng.choice(["row", "row", "row", "none", "column", "scalar", "full", "made"])
    if bias == "made":
        inputs.append(p.pick(lambda v: v.shape == (m, n)) or p.fresh((m, n)))
    elif bias != "none":
        inputs.append(b.weight({"row": (n,), "column": (m, 1), "scalar": (1,), "full": (m, n)}[bias], 0.05))
    attributes: dict[str, Any] = {"transA": 1 if trans_a else None, "transB": 1 if trans_b else None}
    y = b.node("Gemm", inputs, (m, n), 1.0, 2.0 * m * n * k, alpha=alpha, beta=beta, **attributes)
    return activation(b, y, p.quick_of(_ACTIVATIONS, y)) if rng.random() < 0.5 else y


def _dense(p: Pool) -> Value:
    """MatMul with a weight, mostly a bias, often an activation or a skip connection."""
    b, rng = p.b, p.rng
    x = _sequence(p) if rng.random() < 0.6 else _matrix(p)
    k = x.shape[-1]
    n = _columns(p, x.elements // k, k)
    if rng.random() < 0.2 and p.affordable("MatMul", 2.0 * x.elements * k, 2 * x.elements + k * k):
        n = k
    weight = b.weight((k, n), 1 / (k * x.level))
    y = b.node("MatMul", [x, weight], (*x.shape[:-1], n), 1.0, 2.0 * x.elements * n)
    if rng.random() < 0.7:
        bias = b.weight((n,), 0.05)
        y = ops.add(b, y, bias) if rng.random() < 0.7 else ops.add(b, bias, y)
    how = rng.random()
    if how < 0.4:
        return activation(b, y, p.quick_of(_ACTIVATIONS, y))
    return ops.add(b, y, p.like(y)) if how < 0.6 else y


def _narrow(p: Pool) -> Value:
    """A product with a very short inner axis, or a very long one."""
    b, rng = p.b, p.rng
    short = rng.random() < 0.5

    def draw() -> tuple[int, int]:
        k = log_uniform(rng, 1, 8) if short else log_uniform(rng, 2048, 65_536)
        return log_uniform(rng, 1, max(1, min(16_384, p.most_elements // k))), k

    x = p.obtain(2, lambda v: v.shape[1] <= 8 if short else v.shape[1] >= 1024, draw)
    m, k = x.shape
    n = _columns(p, m, k)
    return b.node("MatMul", [x, b.weight((k, n), 1 / (k * x.level))], (m, n), 1.0, 2.0 * m * n * k)


def _batched(p: Pool) -> Value:
    """Two activations of rank 2 to 4 multiplied; either may be transposed first, or broadcast over the batch."""
    b, rng = p.b, p.rng
    rank = rng.choice([2, 3, 3, 4, 4])

    def draw() -> tuple[int, ...]:
        lead = [log_uniform(rng, 1, 32) for _ in range(rank - 2)]
        return (*lead, log_uniform(rng, 1, 768), width(rng, 1, 768))

    x = p.obtain(rank, lambda v: v.elements <= p.most_elements and v.shape[-1] <= 8192, draw)
    batch, m, k = x.shape[:-2], x.shape[-2], x.shape[-1]
    if rng.random() < 0.3 and m > 1:
        x = ops.transpose(b, x, (*range(rank - 2), rank - 1, rank - 2))
        m, k = k, m
    count = math.prod(batch)
    n = p.budget("MatMul", 1, 2048, lambda e: (2.0 * count * m * k * e, count * (m * k + k * e + m * e)))
    if not p.affordable("MatMul", 2.0 * count * m * k * n, count * (m * k + k * n + m * n)):
        raise ZooError(f"the product of {x.shape} is dearer than the network allows, expected a cheaper one")
    other = p.pick(lambda v: v.shape[:-2] == batch and len(v.shape) == rank and v.shape[-2] == k and v.shape[-1] <= n
                   and v.name != x.name)  # fmt: skip
    turned = other is None and rng.random() < 0.5
    if other is None:
        lead = (*(1 if rng.random() < 0.3 else extent for extent in batch),) if rng.random() < 0.15 else batch
        other = p.fresh((*lead, n, k) if turned else (*lead, k, n))
    if turned:
        other = ops.transpose(b, other, (*range(rank - 2), rank - 1, rank - 2))
    n = other.shape[-1]
    y = b.node("MatMul", [x, other], (*batch, m, n), x.level * other.level * k, 2.0 * count * m * k * n)
    return ops.mul(b, y, b.scalar(float(f"{1 / max(k, 1) ** 0.5:.5g}"))) if rng.random() < 0.4 else y


def _attention(p: Pool) -> Value:
    """Softmax(q k^T) v of many head sizes and lengths: queries one (decoding), few or as many as keys; masks."""
    b, rng = p.b, p.rng
    for _ in range(40):
        size = rng.choice(_HEAD_SIZES) if rng.random() < 0.8 else log_uniform(rng, 4, 256)
        heads = rng.choice([1, 2, 3, 4, 6, 8, 8, 12, 16, 32])
        keys = log_uniform(rng, 1, 4096)
        queries = rng.choice([keys, keys, keys, 1, log_uniform(rng, 1, keys)])
        batch = rng.choice([1, 1, 1, 2, 4])
        flops = 2.0 * batch * heads * queries * keys * size
        elements = batch * heads * (queries * keys + (queries + keys) * size)
        if p.affordable("MatMul", 2 * flops, 3 * elements):
            break
    else:
        raise ZooError("no attention is affordable, expected one; draw again")
    flat = rng.random() < 0.4
    lead = (batch * heads,) if flat else (batch, heads)
    rank = len(lead) + 2
    q, k, v = (_heads(p, lead, length, size) for length in (queries, keys, keys))
    last = (*range(rank - 2), rank - 1, rank - 2)
    scale = b.scalar(float(f"{1 / math.sqrt(size):.5g}"))
    where = rng.choice(["before", "after", "after", "none"])
    q = ops.mul(b, q, scale) if where == "before" else q
    scores = b.node("MatMul", [q, ops.transpose(b, k, last)], (*lead, queries, keys), 1.0, flops)
    scores = ops.mul(b, scores, scale) if where == "after" else scores
    if rng.random() < 0.35:
        shape = (*(1 for _ in lead), queries if rng.random() < 0.6 else 1, keys)
        scores = ops.add(b, scores, p.fresh(shape) if rng.random() < 0.5 else b.weight(shape, 0.1))
    weights = b.node("Softmax", [Value(scores.name, scores.shape)], scores.shape, 1 / keys, axis=-1)
    y = b.node("MatMul", [weights, v], (*lead, queries, size), v.level, flops)
    if flat or rng.random() < 0.3:
        return y
    return ops.reshape(b, ops.transpose(b, y, (0, 2, 1, 3)), (batch, queries, heads * size))


def _heads(p: Pool, lead: tuple[int, ...], length: int, size: int) -> Value:
    """[*lead, length, size]: made before, split off a wide value, or an input."""
    b, rng = p.b, p.rng
    found = p.pick(lambda v: v.shape == (*lead, length, size))
    if found and rng.random() < 0.6:
        return found
    if len(lead) == 2 and rng.random() < 0.5:
        batch, heads = lead
        wide = p.pick(lambda v: v.shape == (batch, length, heads * size)) or p.fresh((batch, length, heads * size))
        return ops.transpose(b, ops.reshape(b, wide, (batch, length, heads, size)), (0, 2, 1, 3))
    return p.fresh((*lead, length, size))


def _einsum(p: Pool) -> Value:
    """Einsum in the spellings that attention and bilinear layers use."""
    b, rng = p.b, p.rng
    equation = rng.choice(["bij,bjk->bik", "bhid,bhjd->bhij", "bid,bjd->bij", "nk,km->nm", "bshd,hde->bse"])
    left, right = equation.split("->")[0].split(",")
    out = equation.split("->")[1]
    for _ in range(40):
        extent = {letter: log_uniform(rng, 1, 16 if letter in "bh" else 384) for letter in sorted({*left, *right})}
        shapes = [tuple(extent[letter] for letter in term) for term in (left, right, out)]
        flops = 2.0 * math.prod(extent.values())
        if p.affordable("MatMul", 2 * flops, 2 * sum(math.prod(shape) for shape in shapes)):
            break
    else:
        raise ZooError("no Einsum is affordable, expected one; draw again")
    summed = flops / 2 / math.prod(shapes[2])
    x = p.pick(lambda v: v.shape == shapes[0]) or p.fresh(shapes[0])
    constant = right in ("km", "hde")
    other = b.weight(shapes[1], 1 / summed) if constant else p.fresh(shapes[1])
    level = x.level if constant else summed * x.level
    return b.node("Einsum", [x, other], shapes[2], level, flops, dtype=FLOAT, equation=equation)


MATMULS: tuple[Sample, ...] = (
    Sample(4.0, _gemm), Sample(4.0, _dense), Sample(1.5, _narrow), Sample(3.0, _batched), Sample(2.5, _attention),
    Sample(0.7, _einsum),
)  # fmt: skip
