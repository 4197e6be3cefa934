"""Leave-one-family-out, every predictor alike."""

import dataclasses
from collections.abc import Sequence

import pytest

from tests.training.analytic import FAMILIES, PROFILE, examples
from tvm_narcost.errors import TrainingError
from tvm_narcost.training import evaluate, graph_predictors
from tvm_narcost.training.evaluate import (
    PREDICTORS,
    fit_kernel_sum_to,
    judge_families_held_out,
    leave_one_family_out,
    measured_ms,
)
from tvm_narcost.training.examples import Example
from tvm_narcost.training.graph_loop import GraphSettings
from tvm_narcost.training.loop import TrainingSettings
from tvm_narcost.training.paper_loop import PaperSettings
from tvm_narcost.training.splits import Split


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """As little training as runs at all: what is tested is who is trained on what."""
    brief = dataclasses.replace(TrainingSettings(), epochs=1, batch=8)
    monkeypatch.setattr(evaluate, "settings_for", lambda _: brief)
    monkeypatch.setattr(evaluate, "PaperSettings", lambda: PaperSettings(looks=1, steps=2))
    monkeypatch.setattr(graph_predictors, "GraphSettings", lambda **_: GraphSettings(epochs=1))
    monkeypatch.setattr(evaluate, "_VALIDATION", 0.2)


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_each_predictor_is_judged_on_the_held_out_family(quick: None, predictor: str) -> None:
    measured = examples(["plain", "narrow", "mixed"], 6)
    result = leave_one_family_out(measured, predictor, "mixed", 0, PROFILE)
    assert (result.predictor, result.family, result.seed) == (predictor, "mixed", 0)
    assert result.measured_ms == tuple(measured_ms([example for example in measured if example.family == "mixed"]))
    assert len(result.predicted_ms) == result.metrics.networks == 6
    again = leave_one_family_out(measured, predictor, "mixed", 0, PROFILE)
    # float32 sums may differ in the last place from one run to the next, by where their arrays lie in memory
    assert again.predicted_ms == pytest.approx(result.predicted_ms, rel=1e-5, abs=1e-6)


def test_predictors_that_see_kernels_beat_flops_on_an_unseen_family() -> None:
    """Kernels of the held-out family are known from others; its mix of them is not."""
    measured = examples(list(FAMILIES), 8)
    by_kernels = leave_one_family_out(measured, "kernel_sum", "mixed", 0, PROFILE).metrics
    by_flops = leave_one_family_out(measured, "flops", "mixed", 0, PROFILE).metrics
    assert by_kernels.mape < 5.0
    assert by_kernels.mape < 0.5 * by_flops.mape


def test_roofline_is_a_lower_bound() -> None:
    result = leave_one_family_out(examples(["plain", "mixed"], 4), "roofline", "mixed", 0, PROFILE)
    assert all(bound < measured for bound, measured in zip(result.predicted_ms, result.measured_ms, strict=True))


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Families of the networks that kernel-sum is fitted to."""
    families: list[str] = []

    def note(measured: Sequence[Example], seed: int) -> object:
        families.extend(example.family for example in measured)
        return fit_kernel_sum_to(measured, seed)

    monkeypatch.setattr(evaluate, "fit_kernel_sum_to", note)
    return families


def test_kernel_sum_and_flops_are_fitted_without_the_test_family(fitted: list[str]) -> None:
    leave_one_family_out(examples(["plain", "narrow", "mixed"], 3), "kernel_sum", "narrow", 0, PROFILE)
    assert set(fitted) == {"plain", "mixed"}


def test_family_that_was_not_measured() -> None:
    with pytest.raises(TrainingError, match="family 'toaster': 0 networks, expected one of"):
        leave_one_family_out(examples(["plain", "mixed"], 2), "flops", "toaster", 0, PROFILE)


def test_too_few_networks_of_other_families(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = tuple(examples(["plain", "mixed"], 2))
    monkeypatch.setattr(evaluate, "hold_out_families", lambda *_, **__: Split(measured[:1], (), measured[2:]))
    with pytest.raises(TrainingError, match="1 networks of other families to train on, expected at least 2"):
        leave_one_family_out(measured, "flops", "mixed", 0, PROFILE)


def test_families_held_out_together_take_no_part_and_are_judged_apart(fitted: list[str]) -> None:
    measured = examples(["plain", "narrow", "mixed"], 3)
    results = judge_families_held_out(measured, "kernel_sum", ("narrow", "plain"), 0, PROFILE)
    assert set(fitted) == {"mixed"}
    assert [result.family for result in results] == ["narrow", "plain"]
    for result in results:
        own = [example for example in measured if example.family == result.family]
        assert result.measured_ms == tuple(measured_ms(own))
        assert len(result.predicted_ms) == len(own)
