"""How far two measurements of the same network agree: bench/results/noise_floor.json.

Over networks that were measured more than once (``narcost profile --again``), under the same plan. How far off one
measurement is as a prediction of the next is what a predictor would show that had learned the first by heart. One that
knew the true latency would be off by less: by 1/sqrt(2) of it, where the noise of both is alike and independent.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.facts import write_result
from tvm_narcost.database.dataset import read_dataset
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.database.records import LatencyRecord
from tvm_narcost.training.examples import measured_latency_us

__all__ = ["Repeat", "agreement", "find_repeats", "session_starts", "summarise"]

BANDS_MS = (("below 1 ms", 0.0, 1.0), ("1 to 10 ms", 1.0, 10.0), ("above 10 ms", 10.0, float("inf")))
_SESSION_GAP_S = 600.0  # a network takes seconds; a longer pause between two means that a run had ended


@dataclass(frozen=True)
class Repeat:
    """Two stable measurements of one network, one after the other; medians in milliseconds.

    Attributes:
        same_session: no pause of more than ten minutes, and no change of environment, in the run that took both.
        hours: between them.
    """

    network: str
    family: str
    first_ms: float
    second_ms: float
    same_session: bool
    hours: float


def main() -> None:
    """Compare what the dataset has twice and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime")
    parser.add_argument("--name", default="noise_floor")
    arguments = parser.parse_args()
    repeats = find_repeats(list(read_dataset(arguments.dataset)))
    if not repeats:
        parser.error(
            f"{arguments.dataset}: no network measured twice; measure some with `narcost profile --again 0.03`"
        )
    summary = summarise(repeats)
    for name, figures in summary.items():
        if figures["pairs"]:
            print(f"{name}: {figures['pairs']} pairs, MAPE {figures['mape']:.2f} %, p90 {figures['p90']:.4f}")
    pairs = [{name: _rounded(value) for name, value in asdict(repeat).items()} for repeat in repeats]
    result = {"session_gap_s": _SESSION_GAP_S, "summary": summary, "pairs": pairs}
    write_result(arguments.name, "bench.noise_floor", arguments.profile, result)


def find_repeats(records: Sequence[LatencyRecord]) -> list[Repeat]:
    """Each stable measurement with the one that superseded it."""
    starts = session_starts(
        [_time_s(found) for record in records for found in (*record.earlier, record.measurement) if found.measured_at]
    )
    return [
        _repeat(record, first, second, starts)
        for record in records
        if record.measurement.verdict == "stable"
        for first, second in pairwise((*record.earlier, record.measurement))
    ]


def session_starts(times_s: Iterable[float]) -> list[float]:
    """When each session began, ascending: the first time, and each after a pause of more than ten minutes."""
    ordered = sorted(times_s)
    return ordered[:1] + [later for before, later in pairwise(ordered) if later - before > _SESSION_GAP_S]


def _repeat(record: LatencyRecord, first: Measurement, second: Measurement, starts: list[float]) -> Repeat:
    before_s, after_s = _time_s(first), _time_s(second)
    sessions = np.searchsorted(starts, [before_s, after_s], side="right")
    return Repeat(
        network=record.name,
        family=record.family,
        first_ms=measured_latency_us(first) / 1e3,
        second_ms=measured_latency_us(second) / 1e3,
        same_session=bool(sessions[0] == sessions[1] and first.lasting_facts == second.lasting_facts),
        hours=(after_s - before_s) / 3600,
    )


def _time_s(measurement: Measurement) -> float:
    return datetime.fromisoformat(measurement.measured_at).timestamp()


def summarise(repeats: Sequence[Repeat]) -> dict[str, dict[str, float]]:
    """Figures over all pairs, by band of the second latency, and by whether one session took both."""
    groups = {"all": list(repeats)}
    for name, low, high in BANDS_MS:
        groups[name] = [repeat for repeat in repeats if low <= repeat.second_ms < high]
    groups["same session"] = [repeat for repeat in repeats if repeat.same_session]
    groups["different sessions"] = [repeat for repeat in repeats if not repeat.same_session]
    return {name: agreement(group) for name, group in groups.items()}


def agreement(repeats: Sequence[Repeat]) -> dict[str, float]:
    """Figures of some pairs; only their count where there is none.

    ``mean``, ``median`` and ``p90`` are of |log(second / first)|. ``drift`` is the median of the log itself, and
    ``mean_without_drift`` the mean distance from it: what is left when all of a session is slower alike. ``mape`` takes
    the first as the prediction of the second, percent.
    """
    if not repeats:
        return {"pairs": 0}
    first, second = (np.array([getattr(repeat, name) for repeat in repeats]) for name in ("first_ms", "second_ms"))
    logs = np.log(second / first)
    drift = float(np.median(logs))
    figures = {
        "mean": np.abs(logs).mean(),
        "median": np.median(np.abs(logs)),
        "p90": np.quantile(np.abs(logs), 0.9),
        "drift": drift,
        "mean_without_drift": np.abs(logs - drift).mean(),
        "hours": np.median([repeat.hours for repeat in repeats]),
        "mape": 100 * np.abs(first / second - 1).mean(),
    }
    return {"pairs": len(repeats), **{name: round(float(value), 5) for name, value in figures.items()}}


def _rounded(value: Any) -> Any:
    return round(value, 5) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
