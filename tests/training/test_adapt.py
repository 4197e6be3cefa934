"""adapt_models: a source that knows one profile, and few networks of another where convolutions are slower."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.untrained import untrained_narformer
from tests.training.analytic import FAMILIES, PROFILE, examples
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.flops import fit_flops
from tvm_narcost.models.kernel_ensemble import KernelEnsemble, correction_rows
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.training.adapt import Uncorrected, adapt_models
from tvm_narcost.training.ensemble import ensemble_us, fit_context_trees
from tvm_narcost.training.evaluate import fit_kernel_sum_to, measured_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.fit import FittedModels, dataset_digest

NEW = dataclasses.replace(PROFILE, id="box.openvino")
SLOWER = {"Conv": 1.6, "Relu": 0.5}  # than on the source's profile, by operator


def measured(families: Sequence[str], count: int, first: int = 0) -> list[Example]:
    """Networks as the new profile runs them."""
    found = [example for example in examples(families, first + count) if int(example.name.rpartition("-")[2]) >= first]
    return [_slowed(example) for example in found]


def _slowed(example: Example) -> Example:
    kernels_us = example.kernels_us * np.array([SLOWER.get(operator, 1.0) for operator in example.operators])
    return dataclasses.replace(example, kernels_us=kernels_us, latency_us=float(kernels_us.sum()))


@pytest.fixture(scope="module")
def source() -> FittedModels:
    """Trees that know the formula of the source's profile, beside a network whose say is made nought."""
    known = examples(tuple(FAMILIES), 12)
    trees = fit_context_trees(known, 0)
    doubled = dataclasses.replace(trees, base=2 * trees.base, threshold=_doubled_leaves(trees.threshold, trees.left))
    untrained = untrained_narformer()
    loud = untrained.ensemble.networks[0]
    last = {name: np.zeros_like(value) for name, value in loud.weights.items() if name.startswith("head.2.")}
    silent = dataclasses.replace(loud, weights={**loud.weights, **last})
    ensemble = KernelEnsemble((silent,), doubled)
    facts = dataclasses.replace(untrained.facts, config=NarFormerLatency.config_facts(ensemble))
    narformer = NarFormerLatency(ensemble, untrained.training_kernels, facts)
    flops = fit_flops([example.graph for example in known], measured_ms(known))
    return FittedModels(narformer, fit_kernel_sum_to(known, 0), flops)


def _doubled_leaves(threshold: NDArray[np.float32], left: NDArray[np.int32]) -> NDArray[np.float32]:
    return np.where(left == np.arange(len(left)), 2 * threshold, threshold)


@pytest.fixture(scope="module")
def steps() -> list[str]:
    return []


@pytest.fixture(scope="module")
def adapted(source: FittedModels, steps: list[str]) -> FittedModels:
    return adapt_models(
        source, measured(("plain", "bottleneck", "separable"), 4), NEW, command="narcost adapt", progress=steps.append
    )


def mape(ensemble: KernelEnsemble, test: Sequence[Example]) -> float:
    """Percent."""
    predicted_us = [float(kernels_us.sum()) for kernels_us in ensemble_us(ensemble, test)]
    ratios = [us / example.latency_us - 1 for us, example in zip(predicted_us, test, strict=True)]
    return 100 * float(np.mean(np.abs(ratios)))


def test_networks_teach_what_another_runtime_does_differently(source: FittedModels, adapted: FittedModels) -> None:
    """On families that took no part; one factor for all cannot tell convolutions from activations."""
    unseen, few = measured(("narrow", "mixed"), 8), measured(("plain", "bottleneck", "separable"), 4)
    base = Uncorrected(source.narformer.ensemble, few)
    factor = mape(base.corrected(base.fit_factor(range(len(few)))), unseen)
    assert mape(source.narformer.ensemble, examples(("narrow", "mixed"), 8)) < 8  # what it was trained for
    assert mape(source.narformer.ensemble, unseen) > 25
    by_few = mape(adapted.narformer.ensemble, unseen)
    many = adapt_models(source, measured(("plain", "bottleneck", "separable"), 50), NEW)
    assert mape(many.narformer.ensemble, unseen) < min(10, by_few)
    assert by_few < factor


def test_trees_are_believed_by_half_after_fifty_networks(source: FittedModels) -> None:
    """Fifty equal networks and a hundred say the same; what is made of it differs."""
    one = measured(("plain",), 1)
    base = Uncorrected(source.narformer.ensemble, one * 100)
    factor = base.fit_factor([0]).base
    by_fifty, by_hundred = (base.fit(range(count), 0) for count in (50, 100))
    rows = correction_rows(one[0].tokens, source.narformer.ensemble.log_efficiency([one[0].tokens])[0])
    said = [(found.predict(rows) - factor) / share for found, share in ((by_fifty, 1 / 2), (by_hundred, 2 / 3))]
    assert np.ptp(said[0]) > 0.3  # convolutions from activations
    assert np.allclose(said[0], said[1], atol=0.05)


def test_one_factor_is_all_where_one_factor_is_it(source: FittedModels) -> None:
    halved = [
        dataclasses.replace(example, kernels_us=example.kernels_us / 2, latency_us=example.latency_us / 2)
        for example in examples(("plain", "bottleneck", "separable"), 4)
    ]
    found = adapt_models(source, halved, NEW)
    correction = found.narformer.ensemble.correction
    assert correction is not None
    assert correction.base == pytest.approx(-math.log(2), abs=0.05)


def test_facts_say_where_it_comes_from(source: FittedModels, adapted: FittedModels) -> None:
    facts, few = adapted.narformer.facts, measured(("plain", "bottleneck", "separable"), 4)
    assert (facts.profile, facts.command, facts.config["correction"]) == ("box.openvino", "narcost adapt", True)
    assert facts.dataset["digest"] == dataset_digest(few)
    assert facts.dataset["networks"] == 12
    assert facts.dataset["adapted_from"] == {
        "profile": PROFILE.id,
        "digest": source.narformer.facts.dataset["digest"],
        "networks": 20,
        "created": source.narformer.facts.created,
    }


def test_steps_are_told(adapted: FittedModels, steps: list[str]) -> None:
    assert steps == [
        "fold 1/3: without bottleneck",
        "fold 2/3: without plain",
        "fold 3/3: without separable",
        "all networks",
    ]


def test_artifact_comes_back(adapted: FittedModels, tmp_path: Path) -> None:
    adapted.save(tmp_path / "artifact")
    opened = FittedModels.open(tmp_path / "artifact")
    test = measured(("mixed",), 3)
    graphs, plans = [example.graph for example in test], [example.plan for example in test]
    for before, after in (
        (adapted.kernel_sum, opened.kernel_sum), (adapted.flops, opened.flops),
    ):  # fmt: skip
        assert after.predict(graphs, plans, NEW) == before.predict(graphs, plans, NEW)
    before_ms = [found.latency_ms for found in adapted.narformer.predict(graphs, plans, NEW)]
    after_ms = [found.latency_ms for found in opened.narformer.predict(graphs, plans, NEW)]
    assert after_ms == pytest.approx(before_ms, rel=0.01)


def test_baselines_learn_one_factor(source: FittedModels, adapted: FittedModels) -> None:
    few = measured(("plain", "bottleneck", "separable"), 4)
    graphs, plans = [example.graph for example in few], [example.plan for example in few]
    for former, model in (
        (source.kernel_sum, adapted.kernel_sum), (source.flops, adapted.flops),
    ):  # fmt: skip
        predicted = np.array([found.latency_ms for found in model.predict(graphs, plans, NEW)])
        formerly = np.array([found.latency_ms for found in former.predict(graphs, plans, NEW)])
        assert np.allclose(predicted / formerly, predicted[0] / formerly[0])
        assert np.median(predicted / measured_ms(few)) == pytest.approx(1.0, abs=0.02)


def test_kernels_of_both_are_known(source: FittedModels, adapted: FittedModels) -> None:
    before, after = source.narformer.training_kernels, adapted.narformer.training_kernels
    for operator, points in before.points.items():
        assert np.array_equal(after.points[operator][: len(points)], points)
        assert after.limits[operator] >= before.limits[operator]


@pytest.mark.parametrize(("families", "count"), [(("plain", "mixed"), 2), (("plain",), 12), ((), 0)])
def test_too_little_to_adapt_to(source: FittedModels, families: tuple[str, ...], count: int) -> None:
    with pytest.raises(TrainingError, match=f"got {len(families) * count} stable.*box.openvino --zoo all --count 1"):
        adapt_models(source, measured(families, count), NEW)


def test_files_of_a_user_count_as_a_family_each(source: FittedModels) -> None:
    files = [dataclasses.replace(example, family="file") for example in measured(("plain", "separable"), 3)]
    found = adapt_models(source, files, NEW)
    assert found.narformer.facts.dataset["families"] == [
        f"file {name}-{seed}" for name in ("plain", "separable") for seed in range(3)
    ]


def test_source_of_the_profile_itself(source: FittedModels) -> None:
    with pytest.raises(TrainingError, match="an artifact of box.onnxruntime itself, expected one of another"):
        adapt_models(source, measured(("plain", "separable"), 4), PROFILE)


def test_source_that_was_adapted_itself(adapted: FittedModels) -> None:
    other = dataclasses.replace(PROFILE, id="box.tvm")
    with pytest.raises(TrainingError, match="of box.openvino, was itself adapted"):
        adapt_models(adapted, measured(("plain", "separable"), 4), other)


def test_same_graph_in_two_families_only(source: FittedModels) -> None:
    one = measured(("plain",), 1)[0]
    twins = [dataclasses.replace(one, family=family) for family in ("plain", "separable", "mixed") for _ in range(2)]
    with pytest.raises(TrainingError, match="no other graph is left"):
        adapt_models(source, twins, NEW)
