"""Activations and residual sums that ONNX Runtime computes inside of a convolution or matrix product."""

from relay_frontend.graph import AttributeValue
from tvm_narcost.fusion.draft import Draft, DraftNode, Value, sole_reader

__all__ = ["fuse_activations", "fuse_residual_sums", "inline_hard_swish"]

_CONV_ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", "HardSigmoid")
_GEMM_ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "HardSigmoid", "Selu", "Softplus", "Softsign")


def inline_hard_swish(draft: Draft) -> None:
    """HardSwish is a function, x times HardSigmoid(x), and runs as two kernels unless the layout rules fuse it."""
    for swish in draft.nodes("HardSwish"):
        x, kind = swish.inputs[0], swish.output.kind
        gate = draft.add("HardSigmoid", [x], [kind], {"alpha": 1 / 6, "beta": 0.5}, swish.name)
        product = draft.add("Mul", [x, gate.output], [kind], {}, swish.name)
        draft.replace(swish.output, product.output)
        draft.remove(swish)


def fuse_activations(draft: Draft) -> None:
    """Conv or Gemm, then an activation that alone reads it: one node with attribute ``activation``."""
    for node in draft.nodes("Conv", "Gemm"):
        reader = sole_reader(node.output)
        known = _CONV_ACTIVATIONS if node.op == "Conv" else _GEMM_ACTIVATIONS
        if reader is not None and reader.op in known and "activation" not in node.attributes:
            absorb_activation(draft, node, reader)


def absorb_activation(draft: Draft, node: DraftNode, activation: DraftNode) -> None:
    """Let ``node`` do what ``activation``, its only reader, does."""
    node.attributes["activation"] = activation.op
    if node.op == "Conv":
        parameters = _parameters(activation)
        if parameters:
            node.attributes["activation_params"] = parameters
    draft.replace(activation.output, node.output)
    draft.remove(activation)


def _parameters(activation: DraftNode) -> tuple[float, ...]:
    names = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "Clip": ("min", "max")}
    return tuple(
        float(value)
        for value in (_number(activation.attributes.get(name)) for name in names.get(activation.op, ()))
        if value is not None
    )


def _number(value: AttributeValue | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def fuse_residual_sums(draft: Draft) -> None:
    """Conv (plain layout, no activation), Add of another value of its shape, perhaps an activation: one Conv.

    The convolution takes the other value as its fourth input and has the attribute ``fused_sum``.
    """
    for conv in draft.nodes("Conv"):
        add = sole_reader(conv.output)
        if add is None or add.op != "Add" or conv.attributes.keys() & {"layout", "activation", "fused_sum"}:
            continue
        other = add.inputs[1] if add.inputs[0] is conv.output else add.inputs[0]
        if other.parameter or other.shape != conv.output.shape or len(conv.inputs) != 3:
            continue
        absorb_sum(draft, conv, add, other)
        reader = sole_reader(conv.output)
        if reader is not None and reader.op in _CONV_ACTIVATIONS:
            absorb_activation(draft, conv, reader)


def absorb_sum(draft: Draft, conv: DraftNode, add: DraftNode, other: Value) -> None:
    """Let ``conv`` add ``other`` to its result, as ``add`` does, its only reader."""
    draft.set_inputs(conv, (*conv.inputs, other))
    conv.attributes["fused_sum"] = 1
    draft.replace(add.output, conv.output)
    draft.remove(add)
