"""How fast TVM's code is under the project's schedules: bench/results/schedules.json.

``build`` compiles twelve networks for each number of threads, ``time`` runs them and ONNX Runtime in turn on the same
files and writes the result. They are two commands so that the second can run alone on a quiet core. The networks: the
nine of the onnx package, and the first of the zoo's BERTs, ViTs and ConvNeXts that takes two GFLOP. Their weights are
drawn at random, because outputs computed from equal weights would agree whatever is computed.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bench.facts import LIGHT_NETWORKS, light_model, write_result
from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.measure.inputs import random_input
from tvm_narcost.measure.pinning import pinned
from tvm_narcost.measure.weights import with_unique_weights, with_weights
from tvm_narcost.zoo import generate

__all__ = ["ZOO_NETWORKS", "in_turn", "main", "runner", "summary", "with_logits", "with_random_weights"]

ZOO_NETWORKS = {"bert": 1, "vit": 3, "convnext": 3}
"""Family -> seed."""

UNSCHEDULED = "squeezenet"
"""The network that is compiled without the schedules as well."""

_BUDGET_S = 0.6  # of each way to run a network
_BLOCKS = 4
_REST_S = 0.1


def main() -> None:
    """Build, or time and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["build", "time"])
    parser.add_argument("--profile", default="epyc-zen5.tvm")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/narcost-schedules"))
    parser.add_argument("--networks", nargs="+", default=[*LIGHT_NETWORKS, *ZOO_NETWORKS])
    arguments = parser.parse_args()
    # Most threads first: TVM makes its own once, and they stay on the cores that the process had then.
    counts = sorted(arguments.threads, reverse=True)
    profiles = [_with_threads(load_profile(arguments.profile), threads) for threads in counts]
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    if arguments.verb == "build":
        for name in arguments.networks:
            print(name, _build(name, profiles, arguments.scratch), flush=True)
        return
    rows = [_time(name, profile, arguments.scratch) for profile in profiles for name in arguments.networks]
    rows.sort(key=lambda row: int(row["threads"]))
    result = {"summary": summary(rows), "networks": rows}
    print(result["summary"])
    write_result("schedules", "bench.schedules", arguments.profile, result)


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For each number of threads: ratio of TVM to ONNX Runtime over the networks, and the largest error."""
    found = {}
    for threads in sorted({row["threads"] for row in rows}):
        of = [row for row in rows if row["threads"] == threads]
        found[str(threads)] = {
            "geometric_mean": round(geometric_mean(row["ratio"] for row in of), 3),
            "worst": max(row["ratio"] for row in of),
            "relative_error": max(row["relative_error"] for row in of),
        }
    return found


def _with_threads(profile: HardwareProfile, threads: int) -> HardwareProfile:
    return dataclasses.replace(profile, runtime=dataclasses.replace(profile.runtime, threads=threads))


def _model(name: str) -> onnx.ModelProto:
    model = generate(name, ZOO_NETWORKS[name]) if name in ZOO_NETWORKS else onnx.load(light_model(name))
    return with_logits(with_random_weights(with_unique_weights(with_weights(model))))


def with_random_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model whose floating-point ConstantOfShape weights are drawn at random; activations keep their size."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    shapes = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer if len(item.dims) <= 1}
    draw = np.random.default_rng(0)
    nodes = list(changed.graph.node)
    del changed.graph.node[:]
    for node in nodes:
        shape = shapes.get(node.input[0]) if node.op_type == "ConstantOfShape" else None
        value = node.attribute[0].t if node.attribute else None
        if shape is None or value is None or value.data_type != onnx.TensorProto.FLOAT or np.prod(shape) <= 1:
            changed.graph.node.append(node)
            continue
        if len(shape) == 1:  # a bias, a scale, a mean or a variance: near to what it was
            array = float(numpy_helper.to_array(value).ravel()[0]) * (1 + 0.2 * draw.random(shape)) + 0.01
        else:
            array = draw.normal(size=shape) / np.sqrt(shape[0] if len(shape) == 2 else np.prod(shape[1:]))
        changed.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), node.output[0]))
    return changed


def with_logits(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model without the Softmax at its end, behind which errors do not show."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    wanted = {output.name for output in changed.graph.output}
    for node in reversed(changed.graph.node):
        if node.output[0] in wanted and node.op_type == "Reshape":
            wanted.add(node.input[0])
        elif node.output[0] in wanted and node.op_type == "Softmax":
            node.CopyFrom(helper.make_node("Identity", [node.input[0]], [node.output[0]], name=node.name))
    return changed


def _build(name: str, profiles: list[HardwareProfile], scratch: Path) -> dict[str, float]:
    """Compile a network for each profile; seconds that each took."""
    import tvm
    from tvm import relax

    from tvm_narcost.hook.default_groups import tvm_plan
    from tvm_narcost.hook.importing import import_onnx
    from tvm_narcost.hook.lower import lower
    from tvm_narcost.hook.prepare import prepare
    from tvm_narcost.hook.target import target_of
    from tvm_narcost.hook.variant import Variant

    model = _model(name)
    onnx.save(model, scratch / f"{name}.onnx")
    module = import_onnx(model)
    spent = {}
    for profile in profiles:
        started = time.perf_counter()
        prepared = prepare(module, profile, variant=Variant(layout="NHWC"))
        lowered = lower(prepared, tvm_plan(prepared), profile)
        target = target_of(profile)
        executable = tvm.compile(lowered, target, relax_pipeline=tvm.transform.Sequential([]))
        spent[f"{profile.runtime.threads} threads"] = round(time.perf_counter() - started, 1)
        executable.export_library(str(scratch / f"{name}-{profile.runtime.threads}.so"))
    if name == UNSCHEDULED:
        target = target_of(profiles[0])
        executable = tvm.compile(module, target, relax_pipeline=relax.get_default_pipeline(target))
        executable.export_library(str(scratch / f"{name}-unscheduled.so"))
    return spent


def _time(name: str, profile: HardwareProfile, scratch: Path) -> dict[str, Any]:
    """Latencies of one network side by side, and how far its outputs are from ONNX Runtime's."""
    import onnxruntime

    from tvm_narcost.hook.thread_pool import use_threads

    threads = profile.runtime.threads
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # not a line for each unused initializer
    with pinned(threads):
        use_threads(threads)
        session = onnxruntime.InferenceSession(scratch / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
        kinds = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32"}
        feed = {item.name: random_input(item.name, item.shape, kinds[item.type]) for item in session.get_inputs()}
        run = runner(scratch / f"{name}-{threads}.so", list(feed.values()))
        expected = session.run(None, feed)
        error = max(map(_relative_error, run(), expected))
        ours, theirs = in_turn([run, lambda: session.run(None, feed)])
        row = {
            "network": name,
            "threads": threads,
            "tvm_ms": round(ours, 3),
            "onnxruntime_ms": round(theirs, 3),
            "ratio": round(ours / theirs, 3),
            "relative_error": float(f"{error:.2g}"),
        }
        if name == UNSCHEDULED and threads == 1:
            slow = runner(scratch / f"{name}-unscheduled.so", list(feed.values()))
            row["unscheduled_ms"] = round(in_turn([slow])[0], 3)
    print(row, flush=True)
    return row


def runner(library: Path, feed: list[NDArray[Any]]) -> Callable[[], list[NDArray[Any]]]:
    """A call of a compiled network on these inputs, which returns its outputs."""
    import tvm
    from tvm import relax

    main = relax.VirtualMachine(tvm.runtime.load_module(str(library)), tvm.cpu())["main"]
    tensors = [tvm.runtime.tensor(array) for array in feed]

    def run() -> list[NDArray[Any]]:
        found = main(*tensors)
        return [item.numpy() for item in ([found] if isinstance(found, tvm.runtime.Tensor) else found)]

    return run


def _relative_error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def in_turn(runs: list[Callable[[], Any]]) -> list[float]:
    """Median milliseconds of each, in blocks that take turns.

    Between two blocks the threads of the one before come to rest: until then they keep cores busy that the next needs.
    """
    samples: list[list[float]] = [[] for _ in runs]
    for _ in range(_BLOCKS):
        for run, taken in zip(runs, samples, strict=True):
            time.sleep(_REST_S)
            run()
            started = time.perf_counter()
            ends = started + _BUDGET_S / _BLOCKS
            while started < ends:
                run()
                ended = time.perf_counter()
                taken.append(1e3 * (ended - started))
                started = ended
    return [median(taken) for taken in samples]


if __name__ == "__main__":
    main()
