"""Chains of elementary operators that ONNX Runtime knows as one: GELU and its kin, layer normalisation and its kin.

A draft has no values of constants, so that a chain is told by its shape: which operators, in which order, with a scalar
or a vector at the right place.
"""

from relay_frontend.graph import AttributeValue
from tvm_narcost.fusion.draft import Draft, DraftNode, Value, constant_operand, sole_reader

__all__ = ["fuse_gelu", "fuse_layer_normalization", "fuse_quick_gelu", "fuse_skip_layer_normalization"]


def scalar_operand(value: Value, *ops: str) -> Value | None:
    """What ``value`` is computed from by one of these operators with a constant scalar, or None."""
    node = value.producer
    operand = constant_operand(node) if node is not None and node.op in ops else None
    return operand[0] if operand is not None and operand[1].kind.elements == 1 else None


def scalar_reader(value: Value, *ops: str) -> DraftNode | None:
    """The only reader of ``value``, if it is one of these operators and its other operand a constant scalar."""
    reader = sole_reader(value)
    return reader if reader is not None and scalar_operand(reader.output, *ops) is value else None


def fuse_gelu(draft: Draft) -> None:
    """0.5 x (1 + erf(x / sqrt 2)) is Gelu; 0.5 x (1 + tanh(k (x + c x^3))) is FastGelu."""
    for node in draft.nodes("Erf", "Tanh"):
        source = scalar_operand(node.inputs[0], "Div", "Mul")
        x = source if node.op == "Erf" or source is None else _cubic(source)
        last = _gelu_end(node.output, x) if x is not None else None
        if x is not None and last is not None:
            made = draft.add("Gelu" if node.op == "Erf" else "FastGelu", [x], [last.output.kind], {}, node.name)
            _put_in_place(draft, last, made)


def _cubic(value: Value) -> Value | None:
    """What takes the place of x in x + c x^3."""
    add = value.producer
    if add is None or add.op != "Add" or len(add.inputs) != 2:
        return None
    for x, scaled in (add.inputs, add.inputs[::-1]):
        cube = scalar_operand(scaled, "Mul")
        if cube is not None and _power(cube) is x:
            return x
    return None


def _power(value: Value) -> Value | None:
    """What ``value`` is a power of, spelled as Pow or as products."""
    node = value.producer
    if node is None or node.op not in ("Pow", "Mul") or len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if node.op == "Pow":
        return first
    return first if second is first or _power(second) is first else (second if _power(first) is second else None)


def _gelu_end(value: Value, x: Value) -> DraftNode | None:
    """The last node of a GELU whose error function or tanh is ``value``."""
    add = scalar_reader(value, "Add")
    product = sole_reader(add.output) if add is not None else None
    if add is None or product is None or product.op != "Mul":
        return None
    other = product.inputs[1] if product.inputs[0] is add.output else product.inputs[0]
    if scalar_operand(other, "Mul") is x and other.uses == 1:
        return product
    if other is x:
        return scalar_reader(product.output, "Mul")
    last = sole_reader(product.output)
    if other.parameter and other.kind.elements == 1 and last is not None and last.op == "Mul" and x in last.inputs:
        return last
    return None


def fuse_quick_gelu(draft: Draft) -> None:
    """QuickGelu, known elsewhere as SiLU or swish, is x sigmoid(x) or x sigmoid(alpha x)."""
    for sigmoid in draft.nodes("Sigmoid"):
        product = sole_reader(sigmoid.output)
        if product is None or product.op != "Mul" or len(product.inputs) != 2:
            continue
        x = product.inputs[1] if product.inputs[0] is sigmoid.output else product.inputs[0]
        if x is sigmoid.inputs[0] or x is scalar_operand(sigmoid.inputs[0], "Mul"):
            made = draft.add("QuickGelu", [x], [product.output.kind], {"alpha": 1.0}, sigmoid.name)
            _put_in_place(draft, product, made)


def fuse_layer_normalization(draft: Draft) -> None:
    """(x - mean) / sqrt(mean square + epsilon) x gamma + beta, or without mean and beta, over the last axis."""
    for root in draft.nodes("Sqrt"):
        found = _normalized(root)
        if found is None:
            continue
        x, quotient, centred = found
        scale = _vector_reader(quotient, "Mul", x.shape[-1])
        if scale is None:
            continue
        gamma, last = scale
        if centred:
            shift = _vector_reader(last.output, "Add", x.shape[-1])
            if shift is None:
                continue
            beta, last = shift
            made = draft.add(
                "LayerNormalization", [x, gamma, beta], [last.output.kind], {"axis": len(x.shape) - 1}, root.name
            )
        else:
            made = draft.add("SimplifiedLayerNormalization", [x, gamma], [last.output.kind],
                             {"axis": -1, "stash_type": 1}, root.name)  # fmt: skip
        _put_in_place(draft, last, made)


def _normalized(root: DraftNode) -> tuple[Value, Value, bool] | None:
    """(x, the quotient, whether a mean is taken off x) of a square root that x is divided by."""
    quotient = sole_reader(root.output)
    mean_square = scalar_operand(root.inputs[0], "Add")
    square = _mean_of(mean_square) if mean_square is not None else None
    if quotient is None or quotient.op != "Div" or quotient.inputs[1] is not root.output or square is None:
        return None
    deviation = _power(square)
    if deviation is None or quotient.inputs[0] is not deviation:
        return None
    centre = deviation.producer
    if centre is not None and centre.op == "Sub" and _mean_of(centre.inputs[1]) is centre.inputs[0]:
        return centre.inputs[0], quotient.output, True
    return deviation, quotient.output, False


def _mean_of(value: Value) -> Value | None:
    """What ``value`` is the mean of, over the last axis."""
    node = value.producer
    if node is None or node.op != "ReduceMean" or not node.attributes.get("keepdims", 1):
        return None
    return node.inputs[0] if node.attributes.get("axes") in ((len(value.shape) - 1,), (-1,)) else None


def _vector_reader(value: Value, op: str, width: int) -> tuple[Value, DraftNode] | None:
    """(vector, node) where ``node`` alone reads ``value`` and combines it with a constant vector."""
    reader = sole_reader(value)
    operand = constant_operand(reader) if reader is not None and reader.op == op else None
    if reader is None or operand is None or operand[0] is not value or operand[1].shape != (width,):
        return None
    return operand[1], reader


def fuse_skip_layer_normalization(draft: Draft) -> None:
    """Add of two values of three axes that only a LayerNormalization over the last one reads: one kernel."""
    for norm in draft.nodes("LayerNormalization"):
        add = norm.inputs[0].producer
        if add is None or add.op != "Add" or norm.inputs[0].uses != 1 or len(norm.inputs) != 3:
            continue
        kinds = {value.kind for value in add.inputs}
        if kinds == {norm.output.kind} and len(norm.output.shape) == 3 and norm.attributes.get("axis") in (2, -1):
            inputs = [*add.inputs, *norm.inputs[1:]]
            made = draft.add("SkipLayerNormalization", inputs, [norm.output.kind], _epsilon(norm), norm.name)
            _put_in_place(draft, norm, made)


def _epsilon(norm: DraftNode) -> dict[str, AttributeValue]:
    return {name: value for name, value in norm.attributes.items() if name == "epsilon"}


def _put_in_place(draft: Draft, last: DraftNode, made: DraftNode) -> None:
    """Let ``made`` stand for a chain that ends with ``last``; what only the chain read goes with it."""
    draft.replace(last.output, made.output)
    draft.remove_chain([last.output])
