"""What an operator costs: FLOPs and bytes, from types alone.

FLOPs, by category:

- convolution, matmul, recurrent: 2 x MAC. Biases, alpha and beta are not counted, as is the field's custom. An
  activation or a residual sum that a runtime fused into the operator counts 1 an output element each, so that a fused
  graph and the one it came from agree.
- Taps that fall in padding are part of ``flops``, as the field counts, and apart in ``padding_flops``: ONNX Runtime
  skips them, at high dilation up to three quarters of all. For a transposed convolution these are the taps whose
  result is cropped away. Where the taps fall follows from ``pads``; ``auto_pad`` is for the readers to resolve.
- pooling: 1 a tap (global pooling and MaxUnpool: 1 an input element; MaxRoiPool, of unknown window: 1 an output one).
- attention: 2 x MAC of the products, of a fused input projection too, and 5 a score for the softmax. LinearAttention:
  2 x MAC of updating its state and of reading it, 1 an element more for a gate. RotaryEmbedding: 3 a rotated element.
- normalization: 7 an element (mean, centre, square, sum, divide, scale, shift); BatchNormalization 2 (folded scale and
  shift), RMSNormalization 4, the Skip variants 1 more, EmbedLayerNormalization 2 more, LRN 2 x size + 3.
- softmax: 5 an element (maximum, subtract, exponential, sum, divide).
- reduction: 1 an input element. NegativeLogLikelihoodLoss 1 a target; SoftmaxCrossEntropyLoss the softmax besides.
- elementwise, activation: 1 an output element, whatever the function; Sum, Max, Min of n inputs n - 1; a bias, gate or
  split that is part of the operator 1 more.
- quantization: 2 an element; DynamicQuantizeLinear 4 (two more for the range).
- resize: 2 a tap: none for nearest, 2 taps (linear) or 4 (cubic) along each axis that changes; AffineGrid 2 x MAC.
- transforms (DFT, STFT, Rfft, Irfft): 5 n log2 n, half of it where one side is real. Det 2/3 n^3, Inverse 2 n^3.
- data_movement, view, layout, control: 0. other: 1 an output element, a mere placeholder, but NonMaxSuppression (13 a
  pair of boxes, at most), Unique (n log2 n) and what reads each element once (NonZero, TfIdfVectorizer).
- opaque (outside the table): 0, and all bytes of inputs and outputs.

Bytes are those of dense tensors, each input and output touched once:

- view operators count none; they rename memory.
- Gather, Slice and their like read of the table only as much as they write; embeddings likewise.
- Inputs that are shapes, axes, scales and so on (``OperatorSpec.data_inputs``) count none.
"""

from dataclasses import dataclass
from functools import lru_cache

from relay_frontend.errors import InvalidGraphError, UnsupportedOperatorError
from relay_frontend.flops import FLOPS_RULES
from relay_frontend.graph import PARAMETER, AttributeValue, OpGraph, OpNode, TensorType
from relay_frontend.ops import OPERATORS, OperatorSpec, operator_spec

__all__ = ["GraphCost", "OperatorCost", "graph_cost", "operator_cost"]


@dataclass(frozen=True, slots=True)
class OperatorCost:
    """FLOPs and bytes of one operator; the module says how they are counted.

    Attributes:
        flops: floating-point (or integer) operations, taps in padding included.
        padding_flops: the part of ``flops`` whose taps fall in padding.
        input_bytes: activations read.
        parameter_bytes: constants read.
        output_bytes: activations written.
    """

    flops: int
    padding_flops: int
    input_bytes: int
    parameter_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class GraphCost:
    """FLOPs and bytes of a network.

    Attributes:
        flops: sum over the operators.
        padding_flops: sum over the operators.
        parameters: elements of the parameters that some operator computes with, each parameter once. Constants that
            are only shapes, axes and so on are none.
        parameter_bytes: their size, each once.
        activation_bytes: sum of what the operators write.
        memory_bytes: memory traffic if every operator ran by itself: activations and constants read, plus activations
            written, summed over the operators. A constant that two operators read counts twice here.
        unknown_operators: operators that the table does not have, sorted, each once; always empty if strict. They
            count no FLOPs, and all the bytes of their inputs and outputs.
    """

    flops: int
    padding_flops: int
    parameters: int
    parameter_bytes: int
    activation_bytes: int
    memory_bytes: int
    unknown_operators: tuple[str, ...] = ()


def operator_cost(graph: OpGraph, index: int) -> OperatorCost:
    """The cost of node ``index`` of ``graph``.

    Raises:
        UnsupportedOperatorError: the table does not have its operator, and it is not opaque.
        InvalidGraphError: its inputs, types or attributes do not fit the operator.
    """
    node = graph.nodes[index]
    return OperatorCost(*_count_node(graph, index, node, operator_spec(node.op)))


def graph_cost(graph: OpGraph, *, strict: bool = True) -> GraphCost:
    """The cost of a whole network.

    Args:
        graph: the network.
        strict: whether an operator that the table does not have is an error, rather than reported in the result.

    Raises:
        UnsupportedOperatorError: strict, and there are such operators; names them all.
        InvalidGraphError: inputs, types or attributes of a node do not fit its operator.
    """
    flops = padding_flops = activation_bytes = memory_bytes = 0
    unknown: set[str] = set()
    weights: set[int] = set()
    for index, node in enumerate(graph.nodes):
        spec = OPERATORS.get(node.op)
        if spec is None:
            unknown.add(node.op)
            spec = OperatorSpec(node.op, "control")
        counted = _count_node(graph, index, node, spec)
        flops += counted[0]
        padding_flops += counted[1]
        memory_bytes += counted[2] + counted[3] + counted[4]
        activation_bytes += counted[4]
        weights.update(edge.slot for edge in node.inputs[: spec.data_inputs] if edge.source == PARAMETER)
    if unknown and strict:
        raise UnsupportedOperatorError(
            f"network {graph.name!r} uses {', '.join(sorted(unknown))}, expected operators of the operator table: "
            "add them to relay_frontend/ops.py or ask without strict"
        )
    kinds = [graph.parameters[slot][1] for slot in weights]
    return GraphCost(
        flops=flops,
        padding_flops=padding_flops,
        parameters=sum(kind.elements for kind in kinds),
        parameter_bytes=sum(kind.bytes for kind in kinds),
        activation_bytes=activation_bytes,
        memory_bytes=memory_bytes,
        unknown_operators=tuple(sorted(unknown)),
    )


def _count_node(graph: OpGraph, index: int, node: OpNode, spec: OperatorSpec) -> tuple[int, int, int, int, int]:
    """(flops, padding_flops, input_bytes, parameter_bytes, output_bytes)."""
    try:
        if node.op in FLOPS_RULES:
            flops, padding_flops = _rule_flops(node.op, node.attributes, graph.input_types(index), node.outputs)
        elif spec.flops_per_element:
            counted = graph.type_of(node.inputs[0]) if spec.category == "reduction" else node.outputs[0]
            flops, padding_flops = spec.flops_per_element * _elements(counted), 0
        else:
            flops = padding_flops = 0
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidGraphError(
            f"node {index} ({node.op} {node.name!r}) of {graph.name!r}: {error}, expected inputs, types and attributes "
            f"as ONNX defines them for {node.op}; got {graph.input_types(index)} -> {node.outputs}, {node.attributes}"
        ) from error
    if spec.category == "view":
        return flops, padding_flops, 0, 0, 0
    return flops, padding_flops, *_count_bytes(graph, node, spec)


def _count_bytes(graph: OpGraph, node: OpNode, spec: OperatorSpec) -> tuple[int, int, int]:
    """(input_bytes, parameter_bytes, output_bytes)."""
    output_bytes = 0
    for kind in node.outputs:
        output_bytes += _bytes(kind)
    input_bytes = parameter_bytes = 0
    for position, edge in enumerate(node.inputs[: spec.data_inputs]):
        count = _bytes(graph.type_of(edge))
        if position < spec.partial_inputs and count > output_bytes:
            count = output_bytes
        if edge.source == PARAMETER:
            parameter_bytes += count
        else:
            input_bytes += count
    return input_bytes, parameter_bytes, output_bytes


@lru_cache(maxsize=65536)
def _rule_flops(
    op: str,
    attributes: tuple[tuple[str, AttributeValue], ...],
    inputs: tuple[TensorType, ...],
    outputs: tuple[TensorType, ...],
) -> tuple[int, int]:
    return FLOPS_RULES[op](dict(attributes), inputs, outputs)


@lru_cache(maxsize=65536)
def _elements(kind: TensorType) -> int:
    return kind.elements


@lru_cache(maxsize=65536)
def _bytes(kind: TensorType) -> int:
    return kind.bytes
