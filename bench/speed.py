"""Time of each step from a file to milliseconds, one core: bench/results/speed.json."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

import tvm_narcost
from bench.facts import light_model, write_result
from relay_frontend import load_graph
from relay_frontend.onnx import load_model
from tvm_narcost.tokens.default import encode_kernels
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.paper import encode_graph

_RUNS = 30
_COLD_RUNS = 5


def main() -> None:
    """Time light_resnet50 through every step, and the command line from a cold start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = light_model("resnet50")
    predictor = tvm_narcost.load(arguments.profile)
    graph = load_graph(path)
    plan = predictor.plan(load_model(path))
    steps = {
        "file to graph": _timed(lambda: load_graph(path)),
        "file to graph to paper tokens": _timed(lambda: encode_graph(load_graph(path))),
        "plan to default tokens": _timed(lambda: encode_kernels(kernel_facts(plan), predictor.profile)),
        "plan, by ONNX Runtime": _timed(lambda: predictor.plan(load_model(path))),
        "predict, plan known, model alone": _timed(lambda: predictor.model.predict([graph], [plan], predictor.profile)),
        "predict, plan known, all figures": _timed(lambda: predictor.predict_plan(graph, plan)),
        "narcost --help, cold": _timed(lambda: _run("--help"), _COLD_RUNS),
        "narcost predict, cold": _timed(lambda: _run("predict", str(path)), _COLD_RUNS),
    }
    for step, figures in steps.items():
        print(f"{step}: {figures['median_ms']:.2f} ms")
    write_result("speed", "bench.speed", arguments.profile, {"network": path.name, "steps": steps})


def _timed(step: Callable[[], object], runs: int = _RUNS) -> dict[str, float]:
    """Median and 90th percentile of several runs, after one to warm up."""
    step()
    samples_ms = []
    for _ in range(runs):
        started = time.perf_counter()
        step()
        samples_ms.append((time.perf_counter() - started) * 1e3)
    return {
        "median_ms": round(statistics.median(samples_ms), 3),
        "p90_ms": round(statistics.quantiles(samples_ms, n=10)[-1], 3),
        "runs": runs,
    }


def _run(*words: str) -> None:
    command = [sys.executable, "-m", "tvm_narcost.cli.main", *words]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
