"""Evaluation: each predictor is fitted on a split's training part and judged on its test part, all alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.flops import fit_flops
from tvm_narcost.models.flops_bytes import fit_flops_bytes
from tvm_narcost.models.kernel_sum import KernelSum, fit_kernel_sum
from tvm_narcost.tokens.paper import encode_graph
from tvm_narcost.training.ensemble import ensemble_us, train_ensemble
from tvm_narcost.training.examples import Example
from tvm_narcost.training.graph_predictors import predict_narformer_v2, predict_nn_former, predict_nnlp
from tvm_narcost.training.loop import TrainingSettings
from tvm_narcost.training.metrics import Metrics, compute_metrics
from tvm_narcost.training.paper_loop import PaperSettings, train_paper_network
from tvm_narcost.training.splits import Split, leave_family_out

__all__ = ["PREDICTORS", "FamilyResult", "fit_kernel_sum_to", "leave_one_family_out", "measured_ms"]

Predictor = Callable[[Split[Example], HardwareProfile, int], list[float]]
"""Fits on a split with a seed; predicted milliseconds of the split's test networks."""

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


def _flops(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
    model = fit_flops([example.graph for example in split.train], measured_ms(split.train))
    graphs, plans = [example.graph for example in split.test], [example.plan for example in split.test]
    return [prediction.latency_ms for prediction in model.predict(graphs, plans, profile)]


def _flops_bytes(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
    model = fit_flops_bytes([example.graph for example in split.train], measured_ms(split.train))
    graphs, plans = [example.graph for example in split.test], [example.plan for example in split.test]
    return [prediction.latency_ms for prediction in model.predict(graphs, plans, profile)]


def _roofline(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
    return [float(example.roofline_us.sum()) / 1e3 for example in split.test]


def _kernel_sum(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
    model = fit_kernel_sum_to(split.train, seed)
    predicted = []
    for example in split.test:
        logs = model.log_efficiency(example.tokens)
        predicted.append(float((example.yardstick_us * np.exp(logs)).sum()) / 1e3)
    return predicted


def _narformer(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
    ensemble = train_ensemble(split.train, TrainingSettings(), (seed,))
    return [float(kernels_us.sum()) / 1e3 for kernels_us in ensemble_us(ensemble, split.test)]


def _narformer_paper(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
    def measured(examples: Sequence[Example]) -> list[tuple[OpGraph, float]]:
        return [(example.graph, example.latency_us / 1e3) for example in examples]

    model = train_paper_network(measured(split.train), measured(split.validation), PaperSettings(), seed)
    return [model.latency_ms(encode_graph(example.graph)) for example in split.test]


PREDICTORS: Mapping[str, Predictor] = {
    "flops": _flops,
    "flops_bytes": _flops_bytes,
    "roofline": _roofline,
    "kernel_sum": _kernel_sum,
    "narformer": _narformer,
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
    """Train ``predictor`` on all families but one, judge it on that one.

    ``fit`` is what fits and predicts; None for the one of that name in :data:`PREDICTORS`.

    Raises:
        TrainingError: no network of that family, or too few of others.
    """
    split = leave_family_out(examples, family, validation=_VALIDATION)
    if len(split.train) < _FEWEST_NETWORKS:
        raise TrainingError(
            f"family {family!r}: {len(split.train)} networks of other families to train on, expected at least "
            f"{_FEWEST_NETWORKS}; measure more with `narcost profile --zoo all`"
        )
    predicted = (fit or PREDICTORS[predictor])(split, profile, seed)
    truth = measured_ms(split.test)
    return FamilyResult(predictor, family, seed, compute_metrics(predicted, truth), tuple(predicted), tuple(truth))
