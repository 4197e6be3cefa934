"""Small graphs, written node by node."""

from hypothesis import strategies as st

from hardware_profiles import DeviceFacts, HardwareProfile, MeasurementProtocol, RuntimeFacts
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, AttributeValue, Edge, OpGraph, OpNode, TensorType
from relay_frontend.plan import FusionPlan


class Sketch:
    """A graph under construction; every method that makes a value returns its edge."""

    def __init__(self, *inputs: tuple[int, ...]) -> None:
        self.inputs = [(f"x{slot}", TensorType(shape, "float32")) for slot, shape in enumerate(inputs)]
        self.parameters: list[tuple[str, TensorType]] = []
        self.nodes: list[OpNode] = []

    def input(self, slot: int = 0) -> Edge:
        return Edge(GRAPH_INPUT, slot)

    def weight(self, *shape: int, dtype: str = "float32") -> Edge:
        self.parameters.append((f"w{len(self.parameters)}", TensorType(shape, dtype)))
        return Edge(PARAMETER, len(self.parameters) - 1)

    def shape(self, edge: Edge) -> tuple[int, ...]:
        if edge.source == GRAPH_INPUT:
            return self.inputs[edge.slot][1].shape
        if edge.source == PARAMETER:
            return self.parameters[edge.slot][1].shape
        return self.nodes[edge.source].outputs[edge.slot].shape

    def node(
        self, op: str, *operands: Edge, shape: tuple[int, ...] | None = None, **attributes: AttributeValue
    ) -> Edge:
        """One output; its shape is that of the first operand unless given."""
        shape = self.shape(operands[0]) if shape is None else shape
        return self.nodes_with(op, operands, [shape], attributes)[0]

    def nodes_with(
        self, op: str, operands: tuple[Edge, ...], shapes: list[tuple[int, ...]], attributes: dict[str, AttributeValue]
    ) -> list[Edge]:
        kinds = tuple(TensorType(shape, "float32") for shape in shapes)
        self.nodes.append(OpNode(op, operands, kinds, tuple(sorted(attributes.items()))))
        return [Edge(len(self.nodes) - 1, slot) for slot in range(len(shapes))]

    def conv(self, data: Edge, channels: int, kernel: int = 1, *, stride: int = 1, group: int = 1,
             bias: bool = True) -> Edge:  # fmt: skip
        """A square convolution that keeps the image's size at stride 1 (the kernel is odd)."""
        batch, inputs, height, width = self.shape(data)
        pad = kernel // 2
        operands = [data, self.weight(channels, inputs // group, kernel, kernel)]
        operands += [self.weight(channels)] if bias else []
        shape = (batch, channels, (height - 1) // stride + 1, (width - 1) // stride + 1)
        return self.node("Conv", *operands, shape=shape, dilations=(1, 1), group=group,
                         kernel_shape=(kernel, kernel), pads=(pad,) * 4, strides=(stride, stride))  # fmt: skip

    def matmul(self, left: Edge, right: Edge) -> Edge:
        return self.node("MatMul", left, right, shape=(*self.shape(left)[:-1], self.shape(right)[-1]))

    def done(self, *outputs: Edge) -> OpGraph:
        """The graph; its output is the last node's unless given."""
        last = outputs or (Edge(len(self.nodes) - 1),)
        return OpGraph("sketch", tuple(self.nodes), tuple(self.inputs), tuple(self.parameters), last)


def unit_plan(graph: OpGraph) -> FusionPlan:
    """Every node a kernel."""
    return FusionPlan(graph, tuple((index,) for index in range(len(graph.nodes))), "rules")


def round_profile(*, threads: int = 1, runtime: str = "onnxruntime") -> HardwareProfile:
    """A device of round figures, so that a bound can be worked out in one's head."""
    device = DeviceFacts(
        name="round", cpu_model="round", isa=("avx512f",), cores=4, vector_bytes=64,
        l1d_bytes=1_000, l2_bytes=10_000, l3_bytes=100_000,
        peak_gflops=(("float32", 100.0),),
        bandwidth_gb_s=(("l1", 400.0), ("l2", 200.0), ("l3", 100.0), ("memory", 10.0)),
        call_overhead_us=6.0,
    )  # fmt: skip
    facts = RuntimeFacts(runtime, "1.0", threads, "rules")
    return HardwareProfile(f"round.{runtime}", device, facts, MeasurementProtocol())


@st.composite
def layered(draw: st.DrawFn) -> OpGraph:
    """Rows of random operators, each on any values made before it."""
    sketch = Sketch((1, draw(st.integers(1, 40)), draw(st.integers(1, 9)), draw(st.integers(1, 9))))
    edges = [sketch.input()]
    for _ in range(draw(st.integers(1, 12))):
        data = draw(st.sampled_from(edges))
        same = [edge for edge in edges if sketch.shape(edge) == sketch.shape(data)]
        match draw(st.sampled_from(("conv", "relu", "add", "pool", "transpose"))):
            case "conv":
                edges.append(sketch.conv(data, draw(st.integers(1, 40)), draw(st.sampled_from((1, 3)))))
            case "relu":
                edges.append(sketch.node(draw(st.sampled_from(("Relu", "Sigmoid", "Clip", "Erf"))), data))
            case "add":
                edges.append(sketch.node(draw(st.sampled_from(("Add", "Mul"))), data, draw(st.sampled_from(same))))
            case "pool":
                edges.append(sketch.node("GlobalAveragePool", data, shape=(*sketch.shape(data)[:2], 1, 1)))
            case "transpose":
                shape = tuple(sketch.shape(data)[axis] for axis in (0, 1, 3, 2))
                edges.append(sketch.node("Transpose", data, shape=shape, perm=(0, 1, 3, 2)))
    return sketch.done()
