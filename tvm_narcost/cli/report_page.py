"""The page of ``narcost report``: one network on one profile or several, as HTML that needs nothing but itself.

Names come from a model file, so that everything is escaped; the page has no script and may load nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePath

from tvm_narcost.api import KernelPrediction, NetworkPrediction
from tvm_narcost.cli.tables import milliseconds, scaled

__all__ = ["report_page"]

_KERNELS_SHOWN = 40
_BLOCKS = 400  # of the row of kernels in the order in which they run; more are too thin to see
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d1f", "#6f4e9c")
_OTHER = "other"
_OTHER_COLOUR = "#8a8f98"


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of time: what it is, its colour, how long it takes and what that is of the whole."""

    label: str
    colour: str
    predicted_ms: float
    share: float


@dataclass(frozen=True, slots=True)
class _Row:
    """A kernel of the table; rates over its own predicted time."""

    kernel: KernelPrediction
    colour: str
    gflops: float
    gb_s: float


@dataclass(frozen=True, slots=True)
class _Section:
    """What the page shows of one profile."""

    prediction: NetworkPrediction
    measured_ms: float | None
    doubts: str
    categories: tuple[_Part, ...]
    order: tuple[_Part, ...]
    largest: tuple[_Row, ...]
    rest: _Part | None


def report_page(
    predictions: Sequence[NetworkPrediction],
    measured_ms: Sequence[float | None],
    doubts: Sequence[str],
    *,
    command: str,
    made: str,
) -> str:
    """HTML of one network.

    Args:
        predictions: of the same network, one a profile.
        measured_ms: what a database has of it on each profile, milliseconds; None for nothing.
        doubts: why each prediction deserves less trust; empty for no reason.
        command: what the user called.
        made: the time, and the version that made it.
    """
    import jinja2

    colour_of = _colours(predictions)
    sections = [
        _section(prediction, own_ms, own_doubts, colour_of)
        for prediction, own_ms, own_doubts in zip(predictions, measured_ms, doubts, strict=True)
    ]
    longest_ms = max(prediction.interval_ms[1] for prediction in predictions)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"ms": milliseconds, "scaled": scaled}
    template = files("tvm_narcost.cli").joinpath("report.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        sections=sections,
        network=predictions[0],
        title=PurePath(predictions[0].model).name or "network",
        longest_ms=longest_ms or 1.0,  # a network without kernels takes no time
        command=command,
        made=made,
    )


def _colours(predictions: Sequence[NetworkPrediction]) -> dict[str, str]:
    """A colour for each category that has one; those that take the most time, on whatever profile, come first."""
    shares: dict[str, float] = {}
    for prediction in predictions:
        for kernel in prediction.kernels:
            shares[kernel.category] = shares.get(kernel.category, 0.0) + kernel.share
    largest = sorted(shares, key=lambda category: (-shares[category], category))[: len(_COLOURS)]
    return dict(zip(largest, _COLOURS, strict=False))


def _section(
    prediction: NetworkPrediction, measured_ms: float | None, doubts: str, colour_of: dict[str, str]
) -> _Section:
    kernels = sorted(prediction.kernels, key=lambda kernel: -kernel.predicted_ms)
    rest = kernels[_KERNELS_SHOWN:]
    return _Section(
        prediction,
        measured_ms,
        doubts,
        _categories(prediction, colour_of),
        _order(prediction, colour_of),
        tuple(_row(kernel, colour_of) for kernel in kernels[:_KERNELS_SHOWN]),
        _part(f"{len(rest)} more kernels", _OTHER_COLOUR, rest) if rest else None,
    )


def _categories(prediction: NetworkPrediction, colour_of: dict[str, str]) -> tuple[_Part, ...]:
    """Time by category, the largest first, what has no colour of its own last."""
    found: dict[str, list[KernelPrediction]] = {}
    for kernel in prediction.kernels:
        found.setdefault(kernel.category if kernel.category in colour_of else _OTHER, []).append(kernel)
    parts = [_part(label, colour_of.get(label, _OTHER_COLOUR), own) for label, own in found.items()]
    return tuple(sorted(parts, key=lambda part: (part.label == _OTHER, -part.predicted_ms)))


def _order(prediction: NetworkPrediction, colour_of: dict[str, str]) -> tuple[_Part, ...]:
    """Kernels as they run; so many neighbours together that there are no more than _BLOCKS."""
    kernels = prediction.kernels
    together = max(-(-len(kernels) // _BLOCKS), 1)
    runs = [kernels[first : first + together] for first in range(0, len(kernels), together)]
    longest = [max(own, key=lambda kernel: kernel.predicted_ms) for own in runs]
    labels = [
        kernel.name if len(own) == 1 else f"{len(own)} kernels, of which longest {kernel.name}"
        for own, kernel in zip(runs, longest, strict=True)
    ]
    return tuple(
        _part(label, _colour(kernel, colour_of), own) for label, kernel, own in zip(labels, longest, runs, strict=True)
    )


def _row(kernel: KernelPrediction, colour_of: dict[str, str]) -> _Row:
    time_us = max(kernel.predicted_ms * 1e3, 1e-9)
    return _Row(kernel, _colour(kernel, colour_of), kernel.flops / time_us / 1e3, kernel.bytes / time_us / 1e3)


def _colour(kernel: KernelPrediction, colour_of: dict[str, str]) -> str:
    return colour_of.get(kernel.category, _OTHER_COLOUR)


def _part(label: str, colour: str, kernels: Sequence[KernelPrediction]) -> _Part:
    return _Part(label, colour, sum(kernel.predicted_ms for kernel in kernels), sum(kernel.share for kernel in kernels))
