"""Read ONNX Runtime's profile: which kernel took how long in which run."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_narcost.database.measurement import KernelTime
from tvm_narcost.errors import MeasurementError

__all__ = ["ProfiledRun", "kernel_times", "read_trace", "unnamed"]

_SUFFIX = "_kernel_time"


@dataclass(frozen=True, slots=True)
class ProfiledRun:
    """One run in a trace: microseconds of the whole run, and (node name, microseconds) of each kernel, in order."""

    total_us: float
    kernels: tuple[tuple[str, float], ...]


def read_trace(path: Path) -> list[ProfiledRun]:
    """The runs in a trace file, in order.

    A trace is a JSON array of events in the order in which they ended: one ``<node name>_kernel_time`` a node, then
    one ``model_run``. Durations are whole microseconds, rounded down.

    Raises:
        MeasurementError: the file is missing, no JSON array, or an event lacks what it must have.
    """
    try:
        events: Any = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise MeasurementError(
            f"ONNX Runtime's trace {path.name}: {error}, expected a JSON array: measure this network again"
        ) from error
    runs: list[ProfiledRun] = []
    kernels: list[tuple[str, float]] = []
    try:
        for event in events:
            if event["cat"] == "Node" and event["name"].endswith(_SUFFIX):
                kernels.append((event["name"].removesuffix(_SUFFIX), float(event["dur"])))
            elif event["cat"] == "Session" and event["name"] == "model_run":
                runs.append(ProfiledRun(float(event["dur"]), tuple(kernels)))
                kernels = []
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MeasurementError(
            f"ONNX Runtime's trace {path.name} has an event without {error}, expected cat, name and dur: this version "
            "of ONNX Runtime writes another format, install the one that the profile names"
        ) from error
    return runs


def unnamed(op: str) -> str:
    """What nodes of one operator that have no name are counted under."""
    return f"unnamed {op}"


def kernel_times(runs: Sequence[ProfiledRun], names: Sequence[str], network: str) -> tuple[KernelTime, ...]:
    """The samples of each kernel of a plan.

    Args:
        runs: the runs to keep, warm-up left out.
        names: node name of each kernel, in the plan's order; :func:`unnamed` of its operator where it has none.
            Kernels of one name are told apart by their order.
        network: its name, for messages.

    Raises:
        MeasurementError: a run has a kernel that the plan has not, or the other way round.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for kernel, name in enumerate(names):
        places[name].append(kernel)
    samples: list[list[float]] = [[] for _ in names]
    for run in runs:
        found: dict[str, list[float]] = defaultdict(list)
        for name, duration_us in run.kernels:
            # A node without a name is traced as OPERATOR_INDEX, with its index in a graph that is not written out.
            found[name if name in places else unnamed(name.rpartition("_")[0])].append(duration_us)
        _check_complete(found, places, network)
        for name, durations_us in found.items():
            for kernel, duration_us in zip(places[name], durations_us, strict=True):
                samples[kernel].append(duration_us)
    return tuple(KernelTime(kernel, tuple(durations_us)) for kernel, durations_us in enumerate(samples))


def _check_complete(found: Mapping[str, Sequence[float]], places: Mapping[str, Sequence[int]], network: str) -> None:
    wrong = [
        f"{name!r} {len(found.get(name, ()))} times instead of {len(places.get(name, ()))}"
        for name in sorted(found.keys() | places.keys())
        if len(found.get(name, ())) != len(places.get(name, ()))
    ]
    if wrong:
        raise MeasurementError(
            f"ONNX Runtime's trace of {network!r} has {len(wrong)} kernels that do not match its optimised graph: "
            f"{', '.join(wrong[:5])}; expected each node once a run"
        )
