"""Constants that go into the weights of a convolution, sums that go into a matrix product, reshapes of reshapes."""

from relay_frontend.graph import AttributeValue, TensorType
from tvm_narcost.fusion.draft import Draft, DraftNode, Value, constant_operand, sole_reader

__all__ = ["fold_channel_constants", "fold_padding", "fold_scale_into_matmul", "fold_sum_into_gemm", "merge_reshapes"]


def fold_channel_constants(draft: Draft) -> None:
    """Conv, then Mul or Add of one constant a channel that alone reads it: it goes into weights and bias."""
    for conv in draft.nodes("Conv"):
        reader = sole_reader(conv.output)
        while reader is not None and reader.op in ("Mul", "Add") and conv.inputs[1].parameter:
            constant = reader.inputs[-1]  # ONNX Runtime looks for it in the second place only
            if not constant.parameter or not _is_per_channel(constant.shape, conv.output.shape, reader.op):
                break
            if reader.op == "Add" and len(conv.inputs) == 2:
                kind = TensorType((conv.output.shape[1],), constant.kind.dtype)
                draft.set_inputs(conv, (*conv.inputs, Value(kind, parameter=True, name=constant.name)))
            draft.replace(reader.output, conv.output)
            draft.remove(reader)
            reader = sole_reader(conv.output)


def _is_per_channel(constant: tuple[int, ...], result: tuple[int, ...], op: str) -> bool:
    per_channel = (result[1], *(1 for _ in result[2:]))
    return constant in (per_channel, (1, *per_channel)) or (op == "Mul" and constant == ())


def fold_padding(draft: Draft) -> None:
    """Pad with zeros along spatial axes before a convolution that alone reads it: it goes into ``pads``."""
    for pad in draft.nodes("Pad"):
        conv, pads, rank = sole_reader(pad.output), pad.integers("pads"), len(pad.output.shape)
        zeros = pad.attributes.get("mode", "constant") == "constant" and pad.attributes.get("value", 0.0) == 0.0
        if conv is None or conv.op != "Conv" or not zeros or len(pad.inputs) != 1 or len(pads) != 2 * rank:
            continue
        own, added = conv.integers("pads"), (*pads[2:rank], *pads[rank + 2 :])
        if len(own) != len(added) or any((*pads[:2], *pads[rank : rank + 2])):
            continue
        conv.attributes["pads"] = tuple(inner + outer for inner, outer in zip(own, added, strict=True))
        draft.set_inputs(conv, (pad.inputs[0], *conv.inputs[1:]))
        draft.remove(pad)


def fold_sum_into_gemm(draft: Draft) -> None:
    """MatMul by a matrix, then Add of a vector: Gemm, between two reshapes where the data has more than two axes."""
    for product in draft.nodes("MatMul"):
        add = sole_reader(product.output)
        if add is None or add.op != "Add" or product.attributes:
            continue
        bias = add.inputs[1] if add.inputs[0] is product.output else add.inputs[0]
        data, weight = product.inputs
        if len(weight.shape) == 2 and len(data.shape) > 1 and bias.shape == weight.shape[1:]:
            _make_gemm(draft, product, add, bias)


def _make_gemm(draft: Draft, product: DraftNode, add: DraftNode, bias: Value) -> None:
    data, weight = product.inputs
    dtype, flat = data.kind.dtype, len(data.shape) == 2
    rows = data.kind.elements // max(data.shape[-1], 1)
    if not flat:
        data = _reshape(draft, data, (rows, data.shape[-1]))
    attributes: dict[str, AttributeValue] = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    kind = TensorType((rows, weight.shape[1]), dtype)
    result = draft.add("Gemm", [data, weight, bias], [kind], attributes, product.name).output
    if not flat:
        result = _reshape(draft, result, add.output.shape)
    draft.replace(add.output, result)
    draft.remove(add)
    draft.remove(product)


def _reshape(draft: Draft, value: Value, shape: tuple[int, ...]) -> Value:
    return draft.add("Reshape", [value], [TensorType(shape, value.kind.dtype)], {"shape": shape}).output


def merge_reshapes(draft: Draft) -> None:
    """Reshape of a reshape that nobody else reads: one."""
    for node in draft.nodes("Reshape"):
        reader = sole_reader(node.output)
        while reader is not None and reader.op == "Reshape" and reader.inputs[0] is node.output:
            draft.set_inputs(reader, (node.inputs[0], *reader.inputs[1:]))
            draft.remove(node)
            node, reader = reader, sole_reader(reader.output)


def fold_scale_into_matmul(draft: Draft) -> None:
    """Mul or Div by a scalar before or after a MatMul: attribute ``alpha``.

    A draft has no values of constants, so that alpha is 1; what matters is that there is one kernel less.
    """
    for product in draft.nodes("MatMul"):
        for value in list(product.inputs):
            scale = value.producer
            if scale is not None and value.uses == 1 and _scaled(scale) is not None:
                draft.replace(value, _scaled(scale) or value)
                draft.remove(scale)
                product.attributes["alpha"] = 1.0
        reader = sole_reader(product.output)
        if reader is not None and _scaled(reader) is product.output:
            draft.replace(reader.output, product.output)
            draft.remove(reader)
            product.attributes["alpha"] = 1.0


def _scaled(node: DraftNode) -> Value | None:
    """What a node multiplies by (or divides by) a constant scalar."""
    operand = constant_operand(node) if node.op in ("Mul", "Div") else None
    if operand is None or operand[1].kind.elements != 1 or (node.op == "Div" and node.inputs[0].parameter):
        return None
    return operand[0]
