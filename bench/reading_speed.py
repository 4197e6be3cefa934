"""Time from a model file to tokens, by pytest-benchmark: bench/results/reading_speed.json.

``python -m bench.reading_speed`` runs the benchmarks below and fits an exponent to the times of networks of 1,000 to
20,000 nodes (1 is linear). Tokens are those of both schemas, a kernel a node. Times are processor times.

What protobuf takes to parse the file is apart: of light_resnet50 it is taken off, since no reader can do without.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pytest_benchmark.fixture import BenchmarkFixture

from bench.facts import light_model, write_result
from bench.tokens_speed import fitted_exponent
from hardware_profiles import load_profile
from relay_frontend.load import load_graph
from relay_frontend.plan import FusionPlan
from tvm_narcost.tokens.default import encode_kernels
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.paper import encode_graph

__all__ = ["NODES", "branching_model", "chain_model", "summarize"]

NODES = (1000, 2000, 5000, 10_000, 20_000)
_PROFILE = "epyc-zen5.onnxruntime"
_CHANNELS = 8
_RESNET = light_model("resnet50")


def main() -> None:
    """Run the benchmarks, fit and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = [
            "--benchmark-enable", "--benchmark-timer=time.thread_time", "--benchmark-min-rounds=5",
            "--benchmark-max-time=0.5", f"--benchmark-json={report}", "--timeout=0",
        ]  # fmt: skip
        if pytest.main([__file__, "-q", *options]):
            sys.exit("a benchmark failed")
        found = json.loads(report.read_text())["benchmarks"]
    times = {row["name"]: [1e3 * seconds for seconds in row["stats"]["data"]] for row in found}
    result = summarize(times)
    print(json.dumps(result, indent=1))
    write_result("reading_speed", "bench.reading_speed", _PROFILE, result)


def summarize(times_ms: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, exponents, and light_resnet50 less its parsing; ``times_ms`` by name of the benchmark."""
    step = {name: median(row) for name, row in times_ms.items()}
    scaling = {}
    for shape in _SHAPES:
        for stage in ("graph", "tokens"):
            row = [step[f"test_file_to_{stage}[{shape}-{nodes}]"] for nodes in NODES]
            scaling[f"{shape}, file to {stage}"] = {"ms": row, "exponent": fitted_exponent(NODES, row)}
    parse, tokens = step["test_protobuf_alone_on_resnet50"], step["test_file_to_tokens_of_resnet50"]
    resnet = {"parse": parse, "file_to_tokens": tokens, "beyond_parsing": tokens - parse}
    return {"nodes": NODES, "scaling": scaling, "light_resnet50_ms": resnet}


# --------------------------------------------------------------------------------------------- the benchmarks


def test_protobuf_alone_on_resnet50(benchmark: BenchmarkFixture) -> None:
    """What no reader can do without."""
    model = benchmark(lambda: onnx.ModelProto.FromString(_RESNET.read_bytes()))
    assert len(model.graph.node) == 415


def test_file_to_tokens_of_resnet50(benchmark: BenchmarkFixture) -> None:
    """Reading, canonical form and tokens of both schemas."""
    assert benchmark(_tokens, _RESNET) == (125, 123)


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("shape", ["chain", "branching"])
def test_file_to_graph(benchmark: BenchmarkFixture, tmp_path: Path, shape: str, nodes: int) -> None:
    """Parsing, reading and canonical form."""
    path = _save(shape, nodes, tmp_path)
    graph = benchmark(load_graph, path)
    assert len(graph.nodes) == nodes


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("shape", ["chain", "branching"])
def test_file_to_tokens(benchmark: BenchmarkFixture, tmp_path: Path, shape: str, nodes: int) -> None:
    """And the tokens of both schemas."""
    path = _save(shape, nodes, tmp_path)
    assert benchmark(_tokens, path) == (nodes + 2, nodes)  # the paper's has a token for the input and one for the end


def _tokens(path: Path) -> tuple[int, int]:
    """How many tokens the schemas paper and default make of a file."""
    graph = load_graph(path)
    plan = FusionPlan(graph, tuple((index,) for index in range(len(graph.nodes))), "rules")
    kernel_facts.cache_clear()  # it remembers the facts of a plan that it has seen
    by_kernel = encode_kernels(kernel_facts(plan), load_profile(_PROFILE))
    return len(encode_graph(graph).sequence.values), len(by_kernel.values)


def _save(shape: str, nodes: int, folder: Path) -> Path:
    path = folder / f"{shape}-{nodes}.onnx"
    path.write_bytes(_SHAPES[shape](nodes).SerializeToString())
    return path


# --------------------------------------------------------------------------------------------- the networks


def chain_model(nodes: int) -> onnx.ModelProto:
    """Convolutions of 1x1 with weights of their own, each followed by two activations."""
    return _model(nodes, branching=False)


def branching_model(nodes: int) -> onnx.ModelProto:
    """As :func:`chain_model`, and instead of the second activation a sum with a value of up to seventeen before."""
    return _model(nodes, branching=True)


def _model(nodes: int, *, branching: bool) -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    made, weights, values = [], [], ["input"]
    attributes: dict[str, Any]
    for index in range(nodes):
        read, name = [values[-1]], f"value{index}"
        if index % 3 == 0:
            weight = generator.random((_CHANNELS, _CHANNELS, 1, 1), np.float32)
            weights.append(numpy_helper.from_array(weight, f"weight{index}"))
            op, attributes = "Conv", {"kernel_shape": [1, 1]}
            read.append(f"weight{index}")
        elif branching and index % 3 == 2:
            op, attributes = "Add", {}
            read.append(values[-min(len(values), 2 + index % 17)])
        else:
            op, attributes = ("Relu", "Sigmoid")[index % 3 - 1], {}
        made.append(helper.make_node(op, read, [name], name=f"{op}{index}", **attributes))
        values.append(name)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, _CHANNELS, 14, 14])
        for name in (values[0], values[-1])
    ]
    graph = helper.make_graph(made, f"speed-{nodes}", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


_SHAPES: dict[str, Callable[[int], onnx.ModelProto]] = {"chain": chain_model, "branching": branching_model}


if __name__ == "__main__":
    main()
