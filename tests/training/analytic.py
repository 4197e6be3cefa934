"""Small networks whose times follow a formula, so that training can be tested without measuring anything.

``member(family, seed)`` is a network of a few layers; ``example(family, seed)`` the same with a time for each kernel:
its yardstick times a factor that depends on what kind of layer it is.
"""

import functools
import random
from collections.abc import Sequence

import numpy as np

from hardware_profiles import DeviceFacts, HardwareProfile, MeasurementProtocol, RuntimeFacts
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, OpNode, TensorType
from relay_frontend.plan import FusionPlan
from tvm_narcost.database import KernelTime, LatencyRecord, Measurement
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.roofline import roofline
from tvm_narcost.training.examples import Example, encode_record

__all__ = ["FAMILIES", "PROFILE", "examples", "member", "one_kernel_a_node", "record"]

PROFILE = HardwareProfile(
    id="box.onnxruntime",
    device=DeviceFacts(
        name="box", cpu_model="Box", isa=("avx2",), cores=1, vector_bytes=32, l1d_bytes=2**15, l2_bytes=2**20,
        l3_bytes=2**24, peak_gflops=(("float32", 100.0),),
        bandwidth_gb_s=(("l1", 400.0), ("l2", 200.0), ("l3", 100.0), ("memory", 20.0)), call_overhead_us=5.0,
    ),
    runtime=RuntimeFacts("onnxruntime", "1.0", 1, "onnxruntime"),
    protocol=MeasurementProtocol(),
)  # fmt: skip

# kinds of layer that each family is made of
FAMILIES = {
    "plain": ("conv3", "relu"),
    "bottleneck": ("conv1", "relu", "conv3", "relu", "conv1", "add"),
    "separable": ("depthwise", "relu", "conv1"),
    "narrow": ("conv1", "relu", "depthwise", "add"),
    "mixed": ("depthwise", "conv3", "relu", "conv1", "add"),
}
_FACTORS = {"conv3": 1.2, "conv1": 2.0, "depthwise": 9.0, "relu": 1.5, "add": 3.0}


class _Chain:
    """A network under construction: one layer after another, all of one width and extent."""

    def __init__(self, channels: int, extent: int) -> None:
        self.channels = channels
        self.kind = TensorType((1, channels, extent, extent), "float32")
        self.nodes: list[OpNode] = []
        self.parameters: list[tuple[str, TensorType]] = []

    def add(self, layer: str) -> None:
        last = Edge(len(self.nodes) - 1) if self.nodes else Edge(GRAPH_INPUT)
        if layer == "relu":
            self.nodes.append(OpNode("Relu", (last,), (self.kind,), name=layer))
        elif layer == "add":
            before = Edge(max(len(self.nodes) - 3, 0))
            self.nodes.append(OpNode("Add", (last, before), (self.kind,), name=layer))
        else:
            self._convolve(layer, last)

    def _convolve(self, layer: str, last: Edge) -> None:
        kernel = 1 if layer == "conv1" else 3
        group = self.channels if layer == "depthwise" else 1
        weight = TensorType((self.channels, self.channels // group, kernel, kernel), "float32")
        attributes = (
            ("dilations", (1, 1)), ("group", group), ("kernel_shape", (kernel, kernel)), ("pads", (kernel // 2,) * 4),
            ("strides", (1, 1)),
        )  # fmt: skip
        edges = (last, Edge(PARAMETER, len(self.parameters)))
        self.parameters.append((f"w{len(self.parameters)}", weight))
        self.nodes.append(OpNode("Conv", edges, (self.kind,), attributes, layer))


@functools.cache
def member(family: str, seed: int) -> OpGraph:
    """Two to five rounds of a family's layers, 8 to 128 channels wide, 7 to 56 in extent."""
    draw = random.Random(f"{family} {seed}")
    chain = _Chain(8 * draw.randint(1, 16), 7 * draw.randint(1, 8))
    chain.add("conv3")
    for layer in FAMILIES[family] * draw.randint(2, 5):
        chain.add(layer)
    outputs = (Edge(len(chain.nodes) - 1),)
    return OpGraph(f"{family}-{seed}", tuple(chain.nodes), (("x", chain.kind),), tuple(chain.parameters), outputs)


def one_kernel_a_node(graph: OpGraph, planner: str = "onnxruntime") -> FusionPlan:
    """The plan of a runtime that fuses nothing."""
    return FusionPlan(graph, tuple((index,) for index in range(len(graph.nodes))), planner)


@functools.cache
def record(family: str, seed: int, profile: HardwareProfile = PROFILE) -> LatencyRecord:
    """The network as a database would return it, with the times of the formula."""
    graph = member(family, seed)
    plan = one_kernel_a_node(graph)
    factors = np.array([_FACTORS[node.name] for node in graph.nodes])
    kernels_us = roofline(kernel_facts(plan), profile).yardstick_us * factors
    latency_us = float(kernels_us.sum())
    measurement = Measurement(
        graph.structural_hash(), plan.plan_hash(), profile.id, (latency_us,) * 3, (1.0,) * 3,
        tuple(KernelTime(kernel, (float(time_us),)) for kernel, time_us in enumerate(kernels_us)), (), 1, "stable", "",
        "2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    source = {"zoo": family, "seed": seed}
    return LatencyRecord(graph, plan, measurement, family, f"{family}-{seed}", source)


def examples(families: Sequence[str], count: int) -> list[Example]:
    """``count`` networks of each family, encoded."""
    return [encode_record(record(family, seed), PROFILE) for family in families for seed in range(count)]
