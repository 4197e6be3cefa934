"""Products, linear layers and attention."""

from relay_frontend.graph import PARAMETER, Edge, TensorType
from relay_frontend.torch_export.call import NOT_MAPPED, Converter, TorchCall

__all__ = ["PRODUCTS"]


def _linear(call: TorchCall) -> Edge:
    """Gemm of a matrix with a bias, else a product and an addition."""
    data, weight, bias = call.tensor("input"), call.tensor("weight"), call.optional("bias")
    if bias is not None and len(call.type_of(data).shape) == 2:
        return call.add("Gemm", (data, weight, bias), call.output, transB=1)
    if len(call.type_of(weight).shape) == 2:
        weight = call.transpose(weight, (1, 0))
    product = call.add("MatMul", (data, weight), call.output)
    return product if bias is None else call.add("Add", (bias, product), call.output)


def _addmm(call: TorchCall) -> Edge:
    left, right, bias = call.tensor("mat1"), call.tensor("mat2"), call.tensor("self")
    factors = {"alpha": call.number("alpha", 1.0), "beta": call.number("beta", 1.0)}
    stored = call.builder.transposed.get(right.slot) if right.source == PARAMETER else None
    if stored is not None:  # the weight as it is stored, which is how a linear layer reads it
        return call.add("Gemm", (left, Edge(PARAMETER, stored), bias), call.output, transB=1, **factors)
    return call.add("Gemm", (left, right, bias), call.output, **factors)


def _product(first: str, second: str) -> Converter:
    return lambda call: call.add("MatMul", (call.tensor(first), call.tensor(second)), call.output)


def _baddbmm(call: TorchCall) -> Edge:
    def scaled(edge: Edge, factor: str) -> Edge:
        kind = call.type_of(edge)
        return edge if call.number(factor, 1) == 1 else call.add("Mul", (edge, call.scalar(kind.dtype)), kind)

    product = call.add("MatMul", (call.tensor("batch1"), call.tensor("batch2")), call.output)
    return call.add("Add", (scaled(product, "alpha"), scaled(call.tensor("self"), "beta")), call.output)


def _outer(call: TorchCall) -> Edge:
    name = "vec2" if call.has_tensor("vec2") else "other"
    return call.add("Einsum", (call.tensor("self"), call.tensor(name)), call.output, equation="i,j->ij")


def _einsum(call: TorchCall) -> Edge:
    equation = call.text("equation").replace(" ", "")
    return call.add("Einsum", call.tensors("tensors"), call.output, equation=equation)


def _attention(call: TorchCall) -> Edge | None:
    """Spelt out as torch.onnx does: both factors scaled by the scale's root, product, mask, softmax, product."""
    query, key, value = (call.tensor(name) for name in ("query", "key", "value"))
    shape, dtype = call.type_of(query).shape, call.type_of(query).dtype
    if len(shape) < 2 or call.number("dropout_p", 0.0) != 0:
        return NOT_MAPPED
    heads, kept = call.type_of(query).shape[:-2], call.type_of(key).shape[:-2]
    if call.flag("enable_gqa") and heads != kept:
        key, value = (_shared(call, edge, heads) for edge in (key, value))
    length = call.type_of(key).shape[-2]
    factor = (1,) if call.argument("scale") is None else ()
    rank = len(shape)
    turned = call.transpose(key, (*range(rank - 2), rank - 1, rank - 2))
    left, right = (call.add("Mul", (edge, call.scalar(dtype, factor)), call.type_of(edge)) for edge in (query, turned))
    scores = TensorType((*shape[:-1], length), dtype)
    found = call.add("MatMul", (left, right), scores)
    name = next((name for name in ("attn_mask", "attn_bias") if call.has_tensor(name)), None)
    mask = call.tensor(name) if name is not None else None
    truth = mask is not None and call.type_of(mask).dtype == "bool"
    if mask is not None and truth:
        kind = TensorType(call.type_of(mask).shape, dtype)
        mask = call.add("Where", (mask, call.scalar(dtype, (1,)), call.scalar(dtype, (1,))), kind)
    elif call.flag("is_causal"):
        mask = call.constant(TensorType((shape[-2], length), dtype))
    if mask is not None:
        found = call.add("Add", (found, mask), scores)
    found = call.add("Softmax", (found,), scores, axis=rank - 1)
    if truth:  # a row that attends to nothing
        nothing = call.add("IsNaN", (found,), TensorType(scores.shape, "bool"))
        found = call.add("Where", (nothing, call.scalar(dtype, (1,)), found), scores)
    made = TensorType((*shape[:-1], call.type_of(value).shape[-1]), dtype)
    return call.add("MatMul", (found, value), made)


def _shared(call: TorchCall, edge: Edge, heads: tuple[int, ...]) -> Edge:
    """Key or value of grouped queries: each of its heads serves several of the query's."""
    kind = call.type_of(edge)
    *lead, count, length, width = kind.shape
    times = heads[-1] // count
    apart = call.add(
        "Unsqueeze", (edge,), TensorType((*lead, count, 1, length, width), kind.dtype), axes=(len(lead) + 1,)
    )
    wide = call.add("Expand", (apart,), TensorType((*lead, count, times, length, width), kind.dtype))
    return call.reshape(wide, (*heads, length, width))


def _lstm_cell(call: TorchCall) -> Edge | tuple[Edge, ...] | None:
    """One step: both products, then the gates one by one."""
    hidden, state = call.tensors("hx")
    biases = [call.optional(name) for name in ("b_ih", "b_hh")]
    gates = TensorType((call.output.shape[0], 4 * call.output.shape[1]), call.output.dtype)
    parts = []
    for data, weight, bias in zip((call.tensor("input"), hidden), ("w_ih", "w_hh"), biases, strict=True):
        matrix = call.tensor(weight)
        if bias is None:
            parts.append(call.add("MatMul", (data, call.transpose(matrix, (1, 0))), gates))
        else:
            parts.append(call.add("Gemm", (data, matrix, bias), gates, transB=1))
    total = call.add("Add", (parts[1], parts[0]), gates)
    kind = call.output
    inward, forget, cell, outward = call.add_all("Split", (total,), (kind,) * 4, axis=1)
    kept, let_in, leave = (call.add("Sigmoid", (gate,), kind) for gate in (forget, inward, outward))
    candidate = call.add("Tanh", (cell,), kind)
    products = (call.add("Mul", pair, kind) for pair in ((kept, state), (let_in, candidate)))
    made = call.add("Add", tuple(products), kind)
    return call.add("Mul", (leave, call.add("Tanh", (made,), kind)), kind), made


def _cosine_similarity(call: TorchCall) -> Edge:
    first, second = call.tensor("x1"), call.tensor("x2")
    whole, made = call.type_of(first), call.output
    axis = call.axis("dim", 1, len(whole.shape))

    def dot(left: Edge, right: Edge) -> Edge:
        return call.add("ReduceSum", (call.add("Mul", (left, right), whole),), made, axes=(axis,), keepdims=0)

    product, lengths = dot(first, second), call.add("Mul", (dot(first, first), dot(second, second)), made)
    bounded = call.add("Max", (call.add("Sqrt", (lengths,), made), call.scalar(made.dtype, (1,))), made)
    return call.add("Div", (product, bounded), made)


PRODUCTS: dict[str, Converter] = {
    "linear": _linear, "addmm": _addmm, "mm": _product("self", "mat2"), "bmm": _product("self", "mat2"),
    "matmul": _product("self", "other"), "mv": _product("self", "vec"), "dot": _product("self", "tensor"),
    "vdot": _product("self", "other"), "baddbmm": _baddbmm, "outer": _outer, "ger": _outer, "einsum": _einsum,
    **dict.fromkeys(
        ("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu",
         "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
         "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_attention_math"),
        _attention,
    ),
    "lstm_cell": _lstm_cell, "cosine_similarity": _cosine_similarity,
}  # fmt: skip
