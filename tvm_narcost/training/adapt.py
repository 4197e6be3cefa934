"""Adaptation: the artifact of one profile, corrected for another from a few networks that were measured there.

The source's members predict the new profile's kernels from the new profile's tokens, so its peak, bandwidths and
threads count already. What they are off by is learned as boosting goes on from them (a correction, see
:class:`tvm_narcost.models.kernel_ensemble.KernelEnsemble`): first one factor, then trees over the token, the predicted
efficiency and the predicted time, which count the more the more networks they were fitted to. The interval is
calibrated on families left out among the networks.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.kernel_ensemble import CORRECTION_COLUMNS, KernelEnsemble, correction_rows
from tvm_narcost.models.kernel_sum import KernelSum
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.models.training_kernels import TrainingKernels, extend_training_kernels
from tvm_narcost.models.trees import BoostedTrees, trees_of_booster
from tvm_narcost.predictor import LatencyModel
from tvm_narcost.training.ensemble import kernel_weight
from tvm_narcost.training.evaluate import measured_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.few import fit_interval_to_few
from tvm_narcost.training.fit import FittedModels, artifact_facts, judged_families, told_folds
from tvm_narcost.training.intervals import HeldOut, predict_held_out, weighted_quantile
from tvm_narcost.training.splits import family_places

__all__ = ["Uncorrected", "adapt_models"]

_FEWEST_NETWORKS = 5
_FOLDS = 5
_DOUBT = 50  # networks at which trees count for half of what they say: see docs/adapt.md
_FILE_FAMILY = "file"  # of every model file of a user's own; they have no more in common than families have

_SETTINGS = {
    "objective": "reg:absoluteerror", "eta": 0.08, "max_depth": 6, "min_child_weight": 0.1, "subsample": 0.8,
    "colsample_bytree": 0.6, "tree_method": "hist", "max_bin": 64, "base_score": 0.0, "nthread": 1,
}  # fmt: skip
_ROUNDS = 200


def adapt_models(
    source: FittedModels,
    examples: Sequence[Example],
    profile: HardwareProfile,
    *,
    seed: int = 0,
    command: str = "",
    progress: Callable[[str], None] = lambda step: None,
) -> FittedModels:
    """Fit the models of one profile to another.

    Args:
        source: of another profile, as ``narcost train`` made it.
        examples: networks measured on the new one, encoded for it.
        profile: the new one.
        seed: of row and column sampling.
        command: what the user called; kept in the artifact.
        progress: told each step.

    Raises:
        TrainingError: the source is of this very profile or adapted itself, or there are too few networks, or all of
            one family.
    """
    examples = [_as_own_family(example) for example in examples]
    _check(source, examples, profile.id)
    known = source.narformer.training_kernels
    base = Uncorrected(source.narformer.ensemble, examples)
    held_out: list[HeldOut] = []
    for group in told_folds(judged_families(examples), _FOLDS, progress):
        held_out += _hold_out(base, known, group, seed)
    progress("all networks")
    ensemble = base.corrected(base.fit(range(len(examples)), seed))
    kernels = _extended(known, examples)
    interval = fit_interval_to_few(held_out, source.narformer.facts.interval)
    facts = artifact_facts(examples, profile.id, ensemble, kernels, held_out, interval, command)
    facts = replace(facts, dataset={**facts.dataset, "adapted_from": _origin(source)})
    narformer = NarFormerLatency(ensemble, kernels, facts)
    return _with_baselines(source, narformer, examples, profile)


class Uncorrected:
    """An ensemble of another profile beside what was measured on the new one; corrections are fitted to the rest."""

    def __init__(self, ensemble: KernelEnsemble, examples: Sequence[Example]) -> None:
        """Predict each network once; the corrections to come all start from that."""
        self.examples = examples
        self._ensemble = ensemble
        self._logs = [ensemble.log_efficiency([example.tokens])[0] for example in examples]
        self._rows = [correction_rows(example.tokens, logs) for example, logs in zip(examples, self._logs, strict=True)]

    def corrected(self, correction: BoostedTrees) -> KernelEnsemble:
        """The ensemble with a correction."""
        return replace(self._ensemble, correction=correction)

    def fit_factor(self, chosen: Sequence[int]) -> BoostedTrees:
        """One factor for all kernels, from some of the networks, given by their places."""
        _, _, factor = self._off(chosen)
        leaf = np.zeros(1, np.int32)
        return BoostedTrees(CORRECTION_COLUMNS, factor, leaf, leaf, np.zeros(1, np.float32), leaf, leaf)

    def fit(self, chosen: Sequence[int], seed: int) -> BoostedTrees:
        """One factor, and trees that count for n / (n + _DOUBT) of what they say after n networks."""
        import xgboost

        off, weight, factor = self._off(chosen)
        rows = np.concatenate([self._rows[place] for place in chosen])
        booster = xgboost.train(
            {**_SETTINGS, "seed": seed}, xgboost.DMatrix(rows, label=off - factor, weight=weight), _ROUNDS
        )
        return replace(trees_of_booster(booster).scaled(len(chosen) / (len(chosen) + _DOUBT)), base=factor)

    def _off(self, chosen: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """What the kernels of some networks are off by, in logarithms, what each counts, [kernels]; and the median."""
        off = np.concatenate([self.examples[place].log_efficiency - self._logs[place] for place in chosen])
        weight = np.concatenate([kernel_weight(self.examples[place]) for place in chosen])
        return off, weight, weighted_quantile(off, weight, 0.5)


def _hold_out(base: Uncorrected, known: TrainingKernels, families: Collection[str], seed: int) -> list[HeldOut]:
    """Fit without families and without every graph of theirs that another family has too, and predict them."""
    test, rest = family_places(base.examples, families)
    if not rest:
        raise TrainingError(
            f"adapt: without families {sorted(families)} no other graph is left, expected networks of several shapes; "
            "measure others with `narcost profile --zoo all`"
        )
    kernels = _extended(known, [base.examples[place] for place in rest])
    ensemble = base.corrected(base.fit(rest, seed))
    return predict_held_out(ensemble, kernels, [base.examples[place] for place in test])


def _check(source: FittedModels, examples: Sequence[Example], profile_id: str) -> None:
    facts = source.narformer.facts
    if facts.profile == profile_id:
        raise TrainingError(
            f"adapt: the source is an artifact of {profile_id} itself, expected one of another profile; "
            f"to learn from more measurements run `narcost train --profile {profile_id}`"
        )
    if source.narformer.ensemble.correction is not None:
        raise TrainingError(
            f"adapt: the source, of {facts.profile}, was itself adapted, expected an artifact that `narcost train` "
            "made; adapt the one that it came from"
        )
    families = judged_families(examples)
    if len(examples) < _FEWEST_NETWORKS or len(families) < 2:
        raise TrainingError(
            f"adapt: got {len(examples)} stable networks of families {families}, expected at least {_FEWEST_NETWORKS} "
            f"of two families or more; measure some with `narcost profile --profile {profile_id} --zoo all --count 1`"
        )


def _as_own_family(example: Example) -> Example:
    """Model files of a user's own count as a family each."""
    return replace(example, family=f"file {example.name}") if example.family == _FILE_FAMILY else example


def _extended(known: TrainingKernels, examples: Sequence[Example]) -> TrainingKernels:
    return extend_training_kernels(known, [(example.operators, example.tokens) for example in examples])


def _origin(source: FittedModels) -> dict[str, object]:
    facts = source.narformer.facts
    return {
        "profile": facts.profile,
        "digest": facts.dataset["digest"],
        "networks": facts.dataset["networks"],
        "created": facts.created,
    }


def _with_baselines(
    source: FittedModels, narformer: NarFormerLatency, examples: Sequence[Example], profile: HardwareProfile
) -> FittedModels:
    """kernel-sum and FLOPs are shown beside; a factor each is all that they learn."""

    def log_factor(model: LatencyModel) -> float:
        predictions = model.predict(
            [example.graph for example in examples], [example.plan for example in examples], profile
        )
        predicted_ms = [prediction.latency_ms for prediction in predictions]
        return float(np.median(np.log(measured_ms(examples)) - np.log(predicted_ms)))

    trees, flops = source.kernel_sum.trees, source.flops
    kernel_sum = KernelSum(replace(trees, base=trees.base + log_factor(source.kernel_sum)))
    return FittedModels(narformer, kernel_sum, replace(flops, intercept=flops.intercept + log_factor(flops)))
