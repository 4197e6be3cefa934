"""A whole network tuned with narcost's cost model and with TVM's XGBModel: bench/results/tuned_network.json.

``python -m bench.tuned_network`` runs ``narcost tune`` on light_squeezenet with each, as many trials and the same seed,
then times the networks that are compiled with the two databases, and with narcost's schedules by rule alone, in turn.
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
    parser.add_argument("--scratch", type=Path, default=Path("build/tuned_network"))
    arguments = parser.parse_args()
    profile = load_profile(arguments.profile)
    tuned = {
        model: _tune(model, arguments.profile, arguments.trials, arguments.seed, arguments.scratch / model)
        for model in _MODELS
    }
    folders = {"rules": None, **{model: arguments.scratch / model for model in _MODELS}}
    latency_ms = _latencies(folders, profile, arguments.scratch)
    result = {"network": _NETWORK, "trials": arguments.trials, "seed": arguments.seed, "latency_ms": latency_ms,
              "tuning": tuned}  # fmt: skip
    print(json.dumps(result, indent=1))
    write_result("tuned_network", "bench.tuned_network", arguments.profile, result)


def _tune(model: str, profile_id: str, trials: int, seed: int, folder: Path) -> dict[str, Any]:
    """Run the command; what it reports, and the wall time of all its runs."""
    command = [
        sys.executable,
        "-m",
        "tvm_narcost.cli.main",
        "tune",
        str(light_model(_NETWORK)),
        "--profile",
        profile_id,
    ]
    command += [
        "--trials",
        str(trials),
        "--seed",
        str(seed),
        "--cost-model",
        model,
        "--work-dir",
        str(folder),
        "--json",
    ]
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


def _latencies(folders: dict[str, Path | None], profile: HardwareProfile, scratch: Path) -> dict[str, float]:
    """Median milliseconds of the network with each database, and without one."""
    from tvm_narcost.hook.thread_pool import use_threads

    libraries = {name: _compile(folder, profile, scratch / f"{name}.so") for name, folder in folders.items()}
    with pinned(profile.runtime.threads):
        use_threads(profile.runtime.threads)
        graph = onnx.load(light_model(_NETWORK)).graph
        weights = {tensor.name for tensor in graph.initializer}
        (variable,) = (variable for variable in graph.input if variable.name not in weights)
        shape = [dimension.dim_value for dimension in variable.type.tensor_type.shape.dim]
        feed = [random_input(variable.name, tuple(shape), "float32")]
        runs: list[Callable[[], Any]] = [runner(library, feed) for library in libraries.values()]
        return {name: round(ms, 3) for name, ms in zip(libraries, in_turn(runs), strict=True)}


def _compile(folder: Path | None, profile: HardwareProfile, library: Path) -> Path:
    import tvm

    from tvm_narcost.hook.importing import import_onnx
    from tvm_narcost.hook.metaschedule.tuning_database import open_tuning_database
    from tvm_narcost.hook.pipeline import get_pipeline
    from tvm_narcost.hook.target import target_of

    module = import_onnx(with_weights(onnx.load(light_model(_NETWORK))))
    database = None if folder is None else open_tuning_database(folder)
    pipeline = get_pipeline(profile=profile, plan="default", database=database)
    tvm.compile(module, target_of(profile), relax_pipeline=pipeline).export_library(str(library))
    return library


if __name__ == "__main__":
    main()
