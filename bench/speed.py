"""Time of each step from a file to milliseconds, one core: bench/results/speed.json.

Beside light_resnet50 a network of 239 operators is predicted, and two networks of each zoo family in one batch.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

import tvm_narcost
from bench.facts import light_model, write_result
from bench.trainings import one_thread_pool
from hardware_profiles import HardwareProfile
from relay_frontend import load_graph
from relay_frontend.onnx import from_onnx, load_model
from relay_frontend.passes import canonicalize
from relay_frontend.plan import FusionPlan
from tvm_narcost.api import NetworkPredictor
from tvm_narcost.fusion.planner import plan_without_runtime
from tvm_narcost.measure.pinning import allowed_cores, pinned
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.tokens.default import encode_kernels
from tvm_narcost.tokens.encoded import EncodedPlan, encode_plan
from tvm_narcost.tokens.facts import forget_nodes, kernel_facts
from tvm_narcost.tokens.paper import encode_graph
from tvm_narcost.zoo import CORPUS_FAMILIES, FAMILIES, generate

_RUNS = 30
_COLD_RUNS = 5
_LARGE = ("efficientnet", 9)
_BATCH_SEEDS = 2
_LONGEST_START_S = 300

ready: list[Barrier] = []
"""Where the processes of a batch on every core wait for each other."""


def main() -> None:
    """Measure on one core, a batch on all of them too, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime", help="whose models predict")
    parser.add_argument("--name", default="speed")
    arguments = parser.parse_args()
    every_core = _on_every_core(arguments.profile)
    print(f"on every core: {every_core}")
    with pinned(1):
        result = measure(arguments.profile)
        write_result(arguments.name, "bench.speed", arguments.profile, result | {"batch_on_every_core": every_core})


def measure(profile_id: str) -> dict[str, object]:
    """Figures of every step, with the models of a profile."""
    path = light_model("resnet50")
    predictor = tvm_narcost.load(profile_id)
    model = _narformer(predictor)
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
    result: dict[str, object] = {
        "network": path.name,
        "steps": steps,
        "large": _large_network(model, predictor.profile),
        "batch": _batch(model, predictor.profile),
    }
    print(f"large network: {result['large']}\nbatch: {result['batch']}")
    return result


def _narformer(predictor: NetworkPredictor) -> NarFormerLatency:
    if not isinstance(predictor.model, NarFormerLatency):
        raise SystemExit(
            f"profile {predictor.profile.id} has no NAR-Former, expected one with an artifact: narcost train"
        )
    return predictor.model


def _large_network(model: NarFormerLatency, profile: HardwareProfile) -> dict[str, object]:
    """One network of 239 operators: from its tokens, and from its plan, of kernels that were met before or not."""
    plan = _zoo_plan(*_LARGE, profile)
    encoded = encode_plan(plan, profile)
    return {
        "network": f"{_LARGE[0]} {_LARGE[1]}",
        "operators": len(plan.graph.nodes),
        "kernels": len(plan.kernels),
        "plan to default tokens": _timed(lambda: _encode(plan, profile)),
        "plan to default tokens, first kernels": _timed(lambda: _encode_first([plan], profile)),
        "predict, tokens known": _timed(lambda: model.predict_encoded([encoded])),
        "predict, plan known": _timed(lambda: model.predict_encoded([_encode(plan, profile)])),
        "predict, plan known, first kernels": _timed(lambda: model.predict_encoded(_encode_first([plan], profile))),
    }


def _batch(model: NarFormerLatency, profile: HardwareProfile) -> dict[str, object]:
    """Networks of all families, predicted in one call; networks a second."""
    plans = _batch_plans(profile)
    encoded = [_encode(plan, profile) for plan in plans]
    known = _timed(lambda: model.predict_encoded(encoded))
    met = _timed(lambda: model.predict_encoded([_encode(plan, profile) for plan in plans]))
    first = _timed(lambda: model.predict_encoded(_encode_first(plans, profile)))
    return {
        "networks": len(plans),
        "mean_kernels": round(statistics.mean(len(plan.kernels) for plan in plans), 1),
        "networks_a_second, tokens known": round(len(plans) / known["median_ms"] * 1e3),
        "networks_a_second, plan known": round(len(plans) / met["median_ms"] * 1e3),
        "networks_a_second, plan known, first kernels": round(len(plans) / first["median_ms"] * 1e3),
    }


def _batch_plans(profile: HardwareProfile) -> list[FusionPlan]:
    families = [family for family in FAMILIES if family not in CORPUS_FAMILIES]
    return [_zoo_plan(family, seed, profile) for family in families for seed in range(_BATCH_SEEDS)]


def _on_every_core(profile_id: str) -> dict[str, object]:
    """The same batch in a process on each core, all at the same time; networks a second of all together."""
    cores = allowed_cores() or (0,)
    with one_thread_pool(len(cores), _share, get_context("spawn").Barrier(len(cores))) as pool:
        rates = list(pool.map(_rate, [profile_id] * len(cores), cores))
    return {"cores": len(cores), "networks_a_second, tokens known": round(sum(rates))}


def _share(barrier: Barrier) -> None:
    ready.append(barrier)


def _rate(profile_id: str, core: int) -> float:
    """Networks a second of one process that has a core to itself, while the others do the same."""
    if allowed_cores():
        os.sched_setaffinity(0, (core,))
    predictor = tvm_narcost.load(profile_id)
    model = _narformer(predictor)
    encoded = [encode_plan(plan, predictor.profile) for plan in _batch_plans(predictor.profile)]
    model.predict_encoded(encoded)
    ready[0].wait(timeout=_LONGEST_START_S)
    started = time.perf_counter()
    for _ in range(_RUNS):
        model.predict_encoded(encoded)
    return _RUNS * len(encoded) / (time.perf_counter() - started)


def _zoo_plan(family: str, seed: int, profile: HardwareProfile) -> FusionPlan:
    model = generate(family, seed)
    opset = model.opset_import[0].version
    return plan_without_runtime(canonicalize(from_onnx(model)), profile, opset=opset)


def _encode(plan: FusionPlan, profile: HardwareProfile) -> EncodedPlan:
    """Encode as for a plan that was never seen, of kernels that were."""
    kernel_facts.cache_clear()
    encode_plan.cache_clear()
    return encode_plan(plan, profile)


def _encode_first(plans: Sequence[FusionPlan], profile: HardwareProfile) -> list[EncodedPlan]:
    """Encode one after another, as where no kernel had been seen before the first of them."""
    forget_nodes()
    return [_encode(plan, profile) for plan in plans]


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
    subprocess.run([sys.executable, "-m", "tvm_narcost.cli.main", *words], check=True, capture_output=True)


if __name__ == "__main__":
    main()
