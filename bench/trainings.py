"""Many trainings in processes of one thread each, and the scratch file from which a stopped run goes on."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import stdev
from typing import Any, TypeVar

from hardware_profiles import load_profile
from tvm_narcost.database.dataset import read_dataset
from tvm_narcost.measure.worker import end_with_parent
from tvm_narcost.training.evaluate import measured_ms
from tvm_narcost.training.examples import Example, encode_records
from tvm_narcost.training.metrics import Metrics, compute_metrics

__all__ = [
    "append_row", "deviation", "examples", "family_metrics", "one_thread_pool", "read_examples", "read_rows", "run_all",
    "training_pool",
]  # fmt: skip

Result = TypeVar("Result")

examples: list[Example] = []
"""The measured networks, in a process of :func:`training_pool`."""


def one_thread_pool(jobs: int, prepare: Callable[..., None], *arguments: Any) -> ProcessPoolExecutor:
    """Processes of one thread each that call ``prepare`` first, and end with the one that started them."""
    return ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (prepare, *arguments))


def _begin(prepare: Callable[..., None], *arguments: Any) -> None:
    import torch

    end_with_parent()
    torch.set_num_threads(1)
    prepare(*arguments)


def training_pool(jobs: int, dataset: Path, profile: str, most_a_family: int | None = None) -> ProcessPoolExecutor:
    """Processes that have the dataset's networks in :data:`examples`, at most so many of a family."""
    return one_thread_pool(jobs, _open, dataset, profile, most_a_family)


def _open(dataset: Path, profile: str, most_a_family: int | None) -> None:
    examples.extend(read_examples(dataset, profile, most_a_family))


def read_examples(dataset: Path, profile: str, most_a_family: int | None = None) -> Iterator[Example]:
    """The dataset's networks, encoded; the first so many of each family."""
    counts: dict[str, int] = {}
    for example in encode_records(read_dataset(dataset), load_profile(profile)):
        counts[example.family] = counts.get(example.family, 0) + 1
        if most_a_family is None or counts[example.family] <= most_a_family:
            yield example


def run_all(
    pool: ProcessPoolExecutor, run: Callable[..., Result], calls: Iterable[tuple[Any, ...]]
) -> Iterator[Result]:
    """Call ``run`` with each tuple of arguments; yields results as they come."""
    running = [pool.submit(run, *call) for call in calls]
    for future in as_completed(running):
        yield future.result()


def read_rows(scratch: Path) -> Iterator[dict[str, Any]]:
    """What earlier runs appended; nothing where there is no file."""
    if scratch.exists():
        for line in scratch.read_text().splitlines():
            yield json.loads(line)


def append_row(scratch: Path, row: dict[str, Any]) -> None:
    """Add one result; makes the folder."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with scratch.open("a") as file:
        file.write(json.dumps(row) + "\n")


def family_metrics(predicted_ms: Sequence[float], networks: Sequence[Example]) -> dict[str, Metrics]:
    """How far predictions are off, family by family, by name."""
    places: dict[str, list[int]] = {}
    for place, example in enumerate(networks):
        places.setdefault(example.family, []).append(place)
    truth = measured_ms(networks)
    return {
        family: compute_metrics([predicted_ms[place] for place in own], [truth[place] for place in own])
        for family, own in sorted(places.items())
    }


def deviation(values: Sequence[float]) -> float:
    """Standard deviation over seeds, to two digits; 0 of a single one."""
    return round(stdev(values), 2) if len(values) > 1 else 0.0
