"""A whole network tuned with narcost's cost model and with TVM's XGBModel: bench/results/tuned_network.json.

``python -m bench.tuned_network`` runs ``narcost tune`` on light_squeezenet with each, as many trials and the same seed,
then times the networks in turn: compiled with the records of either alone, with those that are faster than narcost's
own schedules (what ``open_schedules`` gives), and with narcost's own schedules alone.
A stopped command goes on where it was; wall times of tunings are of the runs that measured something.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from bench.facts import light_model, write_result
from bench.schedules import in_turn, runner
from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.hook import open_schedules
from tvm_narcost.measure.inputs import random_input
from tvm_narcost.measure.pinning import pinned
from tvm_narcost.measure.weights import with_weights

__all__ = ["main"]

_NETWORK = "squeezenet"
_MODELS = ("narcost", "xgb")
_WALL = "wall_s.json"


def main() -> None:
    """Tune with each model, compile, time and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="epyc-zen5.tvm")
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, metavar="DIR", help="narcost's, in place of the profile's own")
    parser.add_argument("--scratch", type=Path, default=Path("build/tuned_network"))
    parser.add_argument("--name", default="tuned_network", help="of the result (default: %(default)s)")
    arguments = parser.parse_args()
    profile = load_profile(arguments.profile)
    tuned = {model: _tune(model, arguments, arguments.scratch / model) for model in _MODELS}
    found = {model: open_schedules(arguments.scratch / model) for model in _MODELS}
    databases = {"own": None, **{model: both.database for model, both in found.items()},
                 **{f"{model} and own": both for model, both in found.items()}}  # fmt: skip
    latency_ms = _latencies(databases, profile, arguments.scratch)
    result = {"network": _NETWORK, "trials": arguments.trials, "seed": arguments.seed, "latency_ms": latency_ms,
              "tuning": tuned}  # fmt: skip
    print(json.dumps(result, indent=1))
    write_result(arguments.name, "bench.tuned_network", arguments.profile, result)


def _tune(model: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the command; what it reports, and the wall time of all its runs."""
    command = [sys.executable, "-m", "tvm_narcost.cli.main", "tune", str(light_model(_NETWORK)), "--json"]
    command += ["--profile", arguments.profile, "--trials", str(arguments.trials), "--seed", str(arguments.seed)]
    command += ["--cost-model", model, "--work-dir", str(folder)]
    if model == "narcost" and arguments.weights is not None:
        command += ["--weights", str(arguments.weights)]
    started = time.perf_counter()
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    report: dict[str, Any] = json.loads(found.stdout)
    path = folder.with_name(f"{folder.name}-{_WALL}")
    spent = json.loads(path.read_text()) if path.exists() else 0.0
    if report["measured"]:
        spent += time.perf_counter() - started
        path.write_text(json.dumps(spent))
    return {"wall_s": round(spent, 1), "measured": report["measured"] + report["measured_before"],
            "failed": report["failed"]}  # fmt: skip


def _latencies(databases: dict[str, Any], profile: HardwareProfile, scratch: Path) -> dict[str, float]:
    """Median milliseconds of the network with each database, and without one."""
    from tvm_narcost.hook.thread_pool import use_threads

    libraries = {name: _compile(found, profile, scratch / f"{name}.so") for name, found in databases.items()}
    with pinned(profile.runtime.threads):
        use_threads(profile.runtime.threads)
        graph = onnx.load(light_model(_NETWORK)).graph
        weights = {tensor.name for tensor in graph.initializer}
        (variable,) = (variable for variable in graph.input if variable.name not in weights)
        shape = [dimension.dim_value for dimension in variable.type.tensor_type.shape.dim]
        feed = [random_input(variable.name, tuple(shape), "float32")]
        runs: list[Callable[[], Any]] = [runner(library, feed) for library in libraries.values()]
        return {name: round(ms, 3) for name, ms in zip(libraries, in_turn(runs), strict=True)}


def _compile(database: Any, profile: HardwareProfile, library: Path) -> Path:
    import tvm

    from tvm_narcost.hook.importing import import_onnx
    from tvm_narcost.hook.pipeline import get_pipeline
    from tvm_narcost.hook.target import target_of

    module = import_onnx(with_weights(onnx.load(light_model(_NETWORK))))
    pipeline = get_pipeline(profile=profile, plan="default", database=database)
    tvm.compile(module, target_of(profile), relax_pipeline=pipeline).export_library(str(library))
    return library


if __name__ == "__main__":
    main()
