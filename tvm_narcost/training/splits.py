"""Splits: by family for what is held out, by graph hash inside the training families."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from relay_frontend.graph import OpGraph
from tvm_narcost.errors import TrainingError

__all__ = ["Split", "family_places", "hash_bucket", "hold_out_families", "leave_families_out", "split_by_hash"]


class _Measured(Protocol):
    @property
    def family(self) -> str: ...
    @property
    def graph(self) -> OpGraph: ...


Item = TypeVar("Item", bound=_Measured)


@dataclass(frozen=True)
class Split(Generic[Item]):
    """Disjoint lists; ``test`` takes no part in fitting, early stopping or the choice of settings."""

    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]


_BUCKETS = 1000


def hash_bucket(graph: OpGraph, buckets: int) -> int:
    """A stable number below ``buckets``; equal graphs get equal ones, so that no graph is on both sides of a split."""
    return int(graph.structural_hash()[:8], 16) % buckets


def split_by_hash(examples: Sequence[Item], *, validation: float, test: float = 0.0) -> Split[Item]:
    """Split all families alike; ``validation`` and ``test`` are fractions."""
    last_test, last_validation = test * _BUCKETS, (test + validation) * _BUCKETS

    def chosen(keep: Callable[[int], bool]) -> tuple[Item, ...]:
        return tuple(example for example in examples if keep(hash_bucket(example.graph, _BUCKETS)))

    return Split(
        train=chosen(lambda bucket: bucket >= last_validation),
        validation=chosen(lambda bucket: last_test <= bucket < last_validation),
        test=chosen(lambda bucket: bucket < last_test),
    )


def family_places(examples: Sequence[Item], families: Collection[str]) -> tuple[list[int], list[int]]:
    """Places of the networks of ``families``, and of the others without any graph that those have too."""
    inside = [place for place, example in enumerate(examples) if example.family in families]
    theirs = {examples[place].graph.structural_hash() for place in inside}
    return inside, [place for place, example in enumerate(examples) if example.graph.structural_hash() not in theirs]


def leave_families_out(examples: Sequence[Item], families: Collection[str]) -> tuple[list[Item], list[Item]]:
    """Networks of ``families``, and the others without any graph that those have too."""
    inside, rest = family_places(examples, families)
    return [examples[place] for place in inside], [examples[place] for place in rest]


def hold_out_families(examples: Sequence[Item], families: Collection[str], *, validation: float) -> Split[Item]:
    """Test on some families, train and validate on the others; a graph that is in both counts as theirs.

    Raises:
        TrainingError: no network is of one of the families, or none of another.
    """
    test, others = leave_families_out(examples, families)
    missing = sorted(set(families) - {example.family for example in test})
    if missing or not others:
        known = sorted({example.family for example in examples})
        raise TrainingError(
            f"family {', '.join(map(repr, missing or sorted(families)))}: {0 if missing else len(test)} networks, "
            f"expected one of {known} and another besides"
        )
    within = split_by_hash(others, validation=validation)
    return Split(within.train, within.validation, tuple(test))
