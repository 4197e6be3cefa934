"""Time of both token schemas against the size of a network, and from a model file to tokens.

Writes bench/results/tokens_speed.json: milliseconds by nodes for a chain and a branchy network, the exponent fitted to
them in logarithms (1 is linear), and light_resnet50 from its file to the tokens of each schema. Times are processor
times, on one thread.
"""

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from bench.facts import light_model, write_result
from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, OpNode, TensorType
from relay_frontend.onnx import from_onnx, read_onnx
from relay_frontend.passes import canonicalize
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.rules import plan_by_rules
from tvm_narcost.tokens.default import encode_kernels
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.paper import encode_graph

__all__ = ["branchy_graph", "chain_graph", "fitted_exponent", "milliseconds"]

NODES = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
_WIDTHS = (16, 24, 32, 48, 64, 96, 128)  # a real network repeats its widths, but has more than one


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    profile = load_profile(arguments.profile)
    scaling = {
        shape: _scaling(build, profile, arguments.repeats)
        for shape, build in (("chain", chain_graph), ("branchy", branchy_graph))
    }
    for shape, schemas in scaling.items():
        for schema, row in schemas.items():
            last = f"{NODES[-1]} nodes {row['ms'][-1]:.1f} ms"
            print(f"{shape:8} {schema:8} exponent {row['exponent']:.3f}  {last}", flush=True)
    resnet = _file_to_tokens("resnet50", profile)
    print({name: round(value, 2) for name, value in resnet.items()})
    result = {"nodes": NODES, "scaling": scaling, "light_resnet50_ms": resnet}
    write_result("tokens_speed", "bench.tokens_speed", arguments.profile, result)


def chain_graph(nodes: int) -> OpGraph:
    """Conv and Relu in turn, widths from a fixed list, each node reading the one before it."""
    return _graph(nodes, branches=False)


def branchy_graph(nodes: int) -> OpGraph:
    """As :func:`chain_graph`, and every third node adds a value from up to fifty nodes before."""
    return _graph(nodes, branches=True)


def _graph(nodes: int, *, branches: bool) -> OpGraph:
    made: list[OpNode] = []
    parameters: list[tuple[str, TensorType]] = []
    last: dict[int, list[int]] = {}  # width -> the nodes of that width, oldest first
    width, edge = 3, Edge(GRAPH_INPUT)
    for index in range(nodes):
        step = index % 3
        same = last.get(width, [])
        if branches and step == 2 and len(same) > 1:
            other = same[-min(len(same), 2 + index % 17)]
            node = OpNode("Add", (edge, Edge(other)), (_image(width),))
        elif step == 1:
            node = OpNode("Relu", (edge,), (_image(width),))
        else:
            made_width = _WIDTHS[(index // 9) % len(_WIDTHS)]
            parameters.append((f"w{index}", TensorType((made_width, width, 3, 3), "float32")))
            attributes = (
                ("dilations", (1, 1)), ("group", 1), ("kernel_shape", (3, 3)), ("pads", (1, 1, 1, 1)),
                ("strides", (1, 1)),
            )  # fmt: skip
            width = made_width
            weight = Edge(PARAMETER, len(parameters) - 1)
            node = OpNode("Conv", (edge, weight), (_image(width),), attributes)
        made.append(node)
        edge = Edge(index)
        last.setdefault(width, []).append(index)
        last[width] = last[width][-50:]
    inputs = (("input", _image(3)),)
    return OpGraph(f"speed-{nodes}", tuple(made), inputs, tuple(parameters), (edge,))


def _image(channels: int) -> TensorType:
    return TensorType((1, channels, 14, 14), "float32")


def _scaling(build: Callable[[int], OpGraph], profile: HardwareProfile, repeats: int) -> dict[str, dict[str, Any]]:
    """Milliseconds by nodes and the fitted exponent, of each schema."""
    times: dict[str, list[float]] = {"paper": [], "default": []}
    for nodes in NODES:
        graph = build(nodes)
        plan = _unit_plan(graph)
        times["paper"].append(milliseconds(partial(encode_graph, graph), repeats))
        times["default"].append(milliseconds(partial(_default_tokens, plan, profile), repeats))
    return {schema: {"ms": row, "exponent": fitted_exponent(NODES, row)} for schema, row in times.items()}


def _default_tokens(plan: FusionPlan, profile: HardwareProfile) -> object:
    kernel_facts.cache_clear()  # it remembers the facts of a plan that it has seen
    return encode_kernels(kernel_facts(plan), profile)


def _unit_plan(graph: OpGraph) -> FusionPlan:
    return FusionPlan(graph, tuple((index,) for index in range(len(graph.nodes))), "rules")


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Median processor time of a call, warm: it is made once before.

    Processor time, since nothing here has more than one thread, and others may be running on the same core.
    """
    call()
    times = []
    for _ in range(repeats):
        started = process_time()
        call()
        times.append((process_time() - started) * 1e3)
    return median(times)


def fitted_exponent(sizes: tuple[int, ...], times: list[float]) -> float:
    """Slope of log time against log size: 1 is linear."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def _file_to_tokens(network: str, profile: HardwareProfile) -> dict[str, float]:
    """Milliseconds of each step, and of all of them together, on one core and warm."""
    import onnx

    path = light_model(network)
    model = onnx.load(path)
    read = from_onnx(model)
    graph = canonicalize(read)
    plan = plan_by_rules(graph)

    def tokens() -> object:
        graph = canonicalize(read_onnx(path))
        return encode_graph(graph), _default_tokens(_unit_plan(graph), profile)

    def planned_tokens() -> object:
        graph = canonicalize(read_onnx(path))
        return encode_graph(graph), _default_tokens(plan_by_rules(graph), profile)

    steps: dict[str, Callable[[], object]] = {
        "parse": lambda: onnx.load(path),
        "read": lambda: from_onnx(model),
        "canonicalize": lambda: canonicalize(read),
        "paper_tokens": lambda: encode_graph(graph),
        "rules_plan": lambda: plan_by_rules(graph),
        "default_tokens": lambda: _default_tokens(plan, profile),
        "file_to_both": tokens,
        "file_to_both_planned_by_rules": planned_tokens,
    }
    return {name: milliseconds(step, 20) for name, step in steps.items()}


if __name__ == "__main__":
    main()
