"""Evaluation: each predictor is fitted on a split's training part and judged on its test part, all alike."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.flops import fit_flops
from tvm_narcost.models.flops_bytes import fit_flops_bytes
from tvm_narcost.models.kernel_sum import KernelSum, fit_kernel_sum
from tvm_narcost.predictor import LatencyModel
from tvm_narcost.tokens.paper import encode_graph
from tvm_narcost.training.ensemble import ensemble_us, train_ensemble
from tvm_narcost.training.examples import Example
from tvm_narcost.training.graph_predictors import predict_narformer_v2, predict_nn_former, predict_nnlp
from tvm_narcost.training.loop import settings_for
from tvm_narcost.training.metrics import Metrics, compute_metrics
from tvm_narcost.training.paper_loop import PaperSettings, train_paper_network
from tvm_narcost.training.splits import Split, hold_out_families

__all__ = [
    "KERNEL_PREDICTORS", "PREDICTORS", "FamilyResult", "KernelPredictor", "Predictor", "fit_kernel_sum_to",
    "judge_families_held_out", "kernel_sum_us", "leave_one_family_out", "measured_ms", "network_ms",
]  # fmt: skip

Predictor = Callable[[Split[Example], HardwareProfile, int], list[float]]
"""Fits on a split with a seed; predicted milliseconds of the split's test networks."""

KernelPredictor = Callable[[Split[Example], HardwareProfile, int], list[NDArray[np.float64]]]
"""The same for those that predict each kernel: microseconds, [kernels] of each test network."""

_VALIDATION = 0.05
_FEWEST_NETWORKS = 2  # that a line can be fitted to


@dataclass(frozen=True)
class FamilyResult:
    """Figures of one predictor, trained without one family, on that family."""

    predictor: str
    family: str
    seed: int
    metrics: Metrics
    predicted_ms: tuple[float, ...]
    measured_ms: tuple[float, ...]


def measured_ms(examples: Sequence[Example]) -> list[float]:
    """Median latency of each, milliseconds."""
    return [example.latency_us / 1e3 for example in examples]


def fit_kernel_sum_to(examples: Sequence[Example], seed: int) -> KernelSum:
    """Fit kernel-sum to the kernels of measured networks."""
    return fit_kernel_sum(
        np.concatenate([example.tokens for example in examples]),
        np.concatenate([example.log_efficiency for example in examples]),
        np.concatenate([example.share for example in examples]),
        seed,
    )


def kernel_sum_us(model: KernelSum, examples: Sequence[Example]) -> list[NDArray[np.float64]]:
    """Predicted time of each kernel of each example, microseconds."""
    return [example.yardstick_us * np.exp(model.log_efficiency(example.tokens)) for example in examples]


def network_ms(kernels_us: Iterable[NDArray[np.float64]]) -> list[float]:
    """Latency of each network from the times of its kernels, milliseconds."""
    return [float(times_us.sum()) / 1e3 for times_us in kernels_us]


def _by_graph(fit: Callable[[Sequence[OpGraph], Sequence[float]], LatencyModel]) -> Predictor:
    """A model that is fitted to whole graphs and knows no chance."""

    def predict(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
        model = fit([example.graph for example in split.train], measured_ms(split.train))
        graphs, plans = [example.graph for example in split.test], [example.plan for example in split.test]
        return [prediction.latency_ms for prediction in model.predict(graphs, plans, profile)]

    return predict


def _summed(fit: KernelPredictor) -> Predictor:
    return lambda split, profile, seed: network_ms(fit(split, profile, seed))


def _roofline(split: Split[Example], profile: HardwareProfile, seed: int) -> list[NDArray[np.float64]]:
    return [example.roofline_us for example in split.test]


def _kernel_sum(split: Split[Example], profile: HardwareProfile, seed: int) -> list[NDArray[np.float64]]:
    return kernel_sum_us(fit_kernel_sum_to(split.train, seed), split.test)


def _narformer(split: Split[Example], profile: HardwareProfile, seed: int) -> list[NDArray[np.float64]]:
    return ensemble_us(train_ensemble(split.train, settings_for(split.train), (seed,)), split.test)


def _narformer_paper(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
    def measured(examples: Sequence[Example]) -> list[tuple[OpGraph, float]]:
        return [(example.graph, example.latency_us / 1e3) for example in examples]

    model = train_paper_network(measured(split.train), measured(split.validation), PaperSettings(), seed)
    return [model.latency_ms(encode_graph(example.graph)) for example in split.test]


KERNEL_PREDICTORS: Mapping[str, KernelPredictor] = {
    "roofline": _roofline,
    "kernel_sum": _kernel_sum,
    "narformer": _narformer,
}

PREDICTORS: Mapping[str, Predictor] = {
    "flops": _by_graph(fit_flops),
    "flops_bytes": _by_graph(fit_flops_bytes),
    **{name: _summed(fit) for name, fit in KERNEL_PREDICTORS.items()},
    "narformer_paper": _narformer_paper,
    "nnlp": predict_nnlp,
    "narformer_v2": predict_narformer_v2,
    "nn_former": predict_nn_former,
}


def leave_one_family_out(
    examples: Sequence[Example],
    predictor: str,
    family: str,
    seed: int,
    profile: HardwareProfile,
    fit: Predictor | None = None,
) -> FamilyResult:
    """Train ``predictor`` on all families but one, judge it on that one; see :func:`judge_families_held_out`."""
    (result,) = judge_families_held_out(examples, predictor, (family,), seed, profile, fit)
    return result


def judge_families_held_out(
    examples: Sequence[Example],
    predictor: str,
    families: Sequence[str],
    seed: int,
    profile: HardwareProfile,
    fit: Predictor | None = None,
) -> list[FamilyResult]:
    """Train ``predictor`` on all families but some, judge it on each of those.

    A twentieth of the networks of the others is there to validate.

    Args:
        examples: measured networks of all families.
        predictor: what the results are named by.
        families: to be held out together; one result each, in this order.
        seed: of the training.
        profile: where they were measured.
        fit: what fits and predicts; None for the one of that name in :data:`PREDICTORS`.

    Raises:
        TrainingError: no network of one of the families, or too few of others.
    """
    split = hold_out_families(examples, families, validation=_VALIDATION)
    if len(split.train) < _FEWEST_NETWORKS:
        raise TrainingError(
            f"family {', '.join(map(repr, families))}: {len(split.train)} networks of other families to train on, "
            f"expected at least {_FEWEST_NETWORKS}; measure more with `narcost profile --zoo all`"
        )
    predicted = dict(zip(map(id, split.test), (fit or PREDICTORS[predictor])(split, profile, seed), strict=True))
    results = []
    for family in families:
        own = [example for example in split.test if example.family == family]
        values, truth = [predicted[id(example)] for example in own], measured_ms(own)
        metrics = compute_metrics(values, truth)
        results.append(FamilyResult(predictor, family, seed, metrics, tuple(values), tuple(truth)))
    return results
