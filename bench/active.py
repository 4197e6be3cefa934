"""What measuring by disagreement buys against measuring at random: bench/results/active.json.

A simulation on networks that are all measured. From a start set drawn at random an ensemble is trained; each strategy
adds a batch of the pool to it, an ensemble is trained anew on all of that, and so on. Judged are families of which no
network is in the pool, and networks of the pool's own families that are kept out of it. ``random`` is the baseline, and
``networks`` the same without the kernel corpus; ``active`` is what ``narcost profile --active`` does, and ``doubt``
picks those networks on which members disagree most.

``--judge nnlqp`` keeps NNLQP's ten families out of the pool. Settings were chosen with ``--judge development``, which
keeps every third of the other families out, and NNLQP's from everything.

Each training is a row of a scratch file, so that a stopped run goes on where it was.
"""

import argparse
import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from bench.accuracy import OTHER_FAMILIES
from bench.facts import write_result
from bench.trainings import append_row, deviation, examples, family_metrics, read_rows, run_all, training_pool
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.training.active import family_weights, member_doubt, pick_networks
from tvm_narcost.training.ensemble import ensemble_us, train_ensemble
from tvm_narcost.training.evaluate import measured_ms, network_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.fit import dataset_digest
from tvm_narcost.training.loop import TrainingSettings
from tvm_narcost.training.metrics import compute_metrics
from tvm_narcost.zoo import CORPUS_FAMILIES, NNLQP_FAMILIES

__all__ = ["JUDGED", "STRATEGIES", "Setup", "Split", "pick", "split_networks", "summarise"]

JUDGED: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "nnlqp": (NNLQP_FAMILIES, ()),
    "development": (OTHER_FAMILIES[::3], NNLQP_FAMILIES),
}
"""Families to judge on, and further ones that take no part."""

STRATEGIES = ("random", "networks", "doubt", "active")

_START = "start"  # stands for every strategy before its first batch
_AVERAGING = 0.98  # of the weights: trainings are short
_BATCH = TrainingSettings().batch

Row = dict[str, Any]
Key = tuple[str, int, int]
"""Strategy, seed, round."""


@dataclass(frozen=True)
class Setup:
    """Of one simulation.

    Attributes:
        judge: key of :data:`JUDGED`.
        start, batch, rounds: networks measured at first and added a round, and how often.
        pool: most networks that can be picked from, the start set among them.
        judged: most networks of a family, and of the pool's families together ten times as many, that are judged on.
        steps: of a NAR-Former's training; one of them and the trees are the members.
    """

    judge: str = "nnlqp"
    start: int = 200
    batch: int = 200
    rounds: int = 3
    pool: int = 1500
    judged: int = 30
    steps: int = 400


@dataclass(frozen=True)
class Split:
    """``pool`` in random order, the start set first, and networks of ``unseen`` and ``seen`` families to judge on."""

    pool: tuple[Example, ...]
    unseen: tuple[Example, ...]
    seen: tuple[Example, ...]


def main() -> None:
    """Run the trainings that are missing, then write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--judge", choices=list(JUDGED), default=Setup.judge)
    for name in ("start", "batch", "rounds", "pool", "judged", "steps"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Setup, name))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--scratch", type=Path, default=Path("build/active.jsonl"))
    parser.add_argument("--name", default="active")
    arguments = parser.parse_args()
    setup = Setup(**{name: getattr(arguments, name) for name in asdict(Setup())})
    strategies = arguments.strategies.split(",")
    if not set(strategies) <= set(STRATEGIES):
        parser.error(f"--strategies {arguments.strategies}: expected some of {', '.join(STRATEGIES)}")
    with training_pool(arguments.jobs, arguments.dataset, arguments.profile) as pool:
        digest = pool.submit(_digest).result()
        facts = {**asdict(setup), "digest": digest}
        done = {
            (row["strategy"], row["seed"], row["round"]): row
            for row in read_rows(arguments.scratch)
            if row["setup"] == facts
        }
        for step in range(setup.rounds + 1):  # a round needs what was picked in the one before it
            tasks = [
                (strategy, seed, step)
                for seed in range(arguments.seeds)
                for strategy in (strategies if step else [_START])
            ]
            calls = [(*task, _added(done, task), strategies, setup) for task in tasks if task not in done]
            for row in run_all(pool, _train_once, calls):
                append_row(arguments.scratch, {"setup": facts, **row})
                done[row["strategy"], row["seed"], row["round"]] = row
                print(_line(row), flush=True)
    rows = [
        row for (strategy, seed, _), row in done.items() if seed < arguments.seeds and strategy in {*strategies, _START}
    ]
    summary = summarise(rows, strategies)
    print(json.dumps(summary, indent=1))
    runs = [{name: value for name, value in row.items() if name not in ("setup", "picks")} for row in rows]
    write_result(arguments.name, "bench.active", arguments.profile, {"setup": facts, "summary": summary, "runs": runs})


def _digest() -> str:
    return dataset_digest(examples)


def _line(row: Row) -> str:
    return (
        f"{row['strategy']} seed {row['seed']} round {row['round']}: {row['networks']} networks, "
        f"MAPE {row['unseen']:.2f} % on unseen families, {row['seen']:.2f} % on seen ones"
    )


def _added(done: Mapping[Key, Row], task: Key) -> list[str]:
    """Names of what a strategy added to the start set before this round."""
    strategy, seed, step = task
    rows = (done[strategy if earlier else _START, seed, earlier] for earlier in range(step))
    return [name for row in rows for name in row["picks"][strategy]]


def _train_once(
    strategy: str, seed: int, step: int, added: Sequence[str], strategies: Sequence[str], setup: Setup
) -> Row:
    """Train on what is measured by now, judge, and pick the next batch; of the start set, for every strategy."""
    split = _split(setup, seed)
    chosen = {example.name for example in split.pool[: setup.start]} | set(added)
    measured = [example for example in split.pool if example.name in chosen]
    rest = [example for example in split.pool if example.name not in chosen]
    ensemble = train_ensemble(measured, _settings(len(measured), setup.steps), (seed,))
    unseen_ms = network_ms(ensemble_us(ensemble, split.unseen))
    families = {family: found.mape for family, found in family_metrics(unseen_ms, split.unseen).items()}
    picking = [] if step == setup.rounds else [strategy] if step else strategies
    new = set(added[-setup.batch :])
    return {
        "strategy": strategy,
        "seed": seed,
        "round": step,
        "networks": len(measured),
        "kernels": sum(len(example.tokens) for example in measured),
        "unseen": round(mean(families.values()), 3),
        "seen": round(_mape(ensemble, split.seen), 3),
        "families": {family: round(mape, 3) for family, mape in families.items()},
        "added": dict(Counter(example.family for example in measured if example.name in new)),
        "picks": {name: [rest[index].name for index in pick(name, ensemble, rest, setup.batch)] for name in picking},
    }


@functools.cache
def _split(setup: Setup, seed: int) -> Split:
    """Hashing all graphs takes seconds: once a process."""
    return split_networks(examples, setup, seed)


def split_networks(networks: Sequence[Example], setup: Setup, seed: int) -> Split:
    """Draw who is picked from and who is judged on; no graph is on both sides.

    Raises:
        TrainingError: the pool has not enough networks for all rounds.
    """
    judged, left_out = JUDGED[setup.judge]
    order = [networks[index] for index in np.random.default_rng(seed).permutation(len(networks))]
    counts: Counter[str] = Counter()
    unseen = []
    for example in order:
        if example.family in judged and counts[example.family] < setup.judged:
            counts[example.family] += 1
            unseen.append(example)
    apart = {example.graph.structural_hash() for example in networks if example.family in judged}
    others = [
        example for example in order if example.family not in left_out and example.graph.structural_hash() not in apart
    ]
    seen = [example for example in others if example.family not in CORPUS_FAMILIES][: 10 * setup.judged]
    apart = {example.graph.structural_hash() for example in seen}
    pool = [example for example in others if example.graph.structural_hash() not in apart]
    needed = setup.start + setup.batch * setup.rounds
    if len(pool[: setup.pool]) < needed:
        raise TrainingError(
            f"active: {len(pool[: setup.pool])} networks to pick from, expected {needed} for --start, --batch and "
            "--rounds; lower them, or raise --pool"
        )
    return Split(tuple(pool[: setup.pool]), tuple(unseen), tuple(seen))


def pick(strategy: str, ensemble: KernelEnsemble, candidates: Sequence[Example], count: int) -> list[int]:
    """Indices of the next batch; ``candidates`` are in random order."""
    if strategy in ("random", "networks"):
        drawn = [
            index
            for index, candidate in enumerate(candidates)
            if strategy == "random" or candidate.family not in CORPUS_FAMILIES
        ]
        return drawn[:count]
    doubts = [member_doubt(ensemble, candidate) for candidate in candidates]
    if strategy == "doubt":
        return sorted(range(len(candidates)), key=lambda index: -doubts[index].share)[:count]
    weights = family_weights([candidate.family for candidate in candidates])
    return [found.index for found in pick_networks(candidates, doubts, count, weights=weights)]


def _settings(networks: int, steps: int) -> TrainingSettings:
    """As many epochs as take about so many steps."""
    return replace(TrainingSettings(), epochs=max(round(steps / -(-networks // _BATCH)), 1), averaging=_AVERAGING)


def _mape(ensemble: KernelEnsemble, networks: Sequence[Example]) -> float:
    return compute_metrics(network_ms(ensemble_us(ensemble, networks)), measured_ms(networks)).mape


def summarise(rows: Iterable[Row], strategies: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each number of networks: figures of each strategy over seeds.

    ``unseen`` and ``seen`` are MAPE on families out of the pool, all weighed alike, and on networks of the pool's
    families; ``gain`` is how much lower they are than random's of the same seed and round, in percent points.
    """
    found = {(row["strategy"], row["seed"], row["round"]): row for row in rows}
    last = max(step for _, _, step in found)
    seeds = sorted({seed for _, seed, _ in found})
    summary = []
    for step in range(1, last + 1):
        figures = {strategy: _figures(found, strategy, seeds, step) for strategy in strategies}
        summary.append({"networks": found[strategies[0], seeds[0], step]["networks"], "strategies": figures})
    start = [found[_START, seed, 0] for seed in seeds]
    first = {name: _spread([row[name] for row in start]) for name in ("unseen", "seen")}
    return [{"networks": start[0]["networks"], "strategies": {strategy: first for strategy in strategies}}, *summary]


def _figures(found: Mapping[Key, Row], strategy: str, seeds: Sequence[int], step: int) -> dict[str, Any]:
    rows = [found[strategy, seed, step] for seed in seeds]
    figures: dict[str, Any] = {"kernels": round(mean(row["kernels"] for row in rows))}
    for name in ("unseen", "seen"):
        figures[name] = _spread([row[name] for row in rows])
        if strategy != "random" and ("random", seeds[0], step) in found:
            gains = [found["random", seed, step][name] - found[strategy, seed, step][name] for seed in seeds]
            figures[f"{name}_gain"] = _spread(gains)
    return figures


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": round(mean(values), 2), "std": deviation(values)}


if __name__ == "__main__":
    main()
