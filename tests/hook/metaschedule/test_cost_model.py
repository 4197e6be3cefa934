"""NarFormerCostModel: deterministic, learns from rounds, fails loudly, and tunes end to end."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule.runner import RunnerResult

from tests.hook.metaschedule.candidates import (
    TARGET,
    TellingBuilder,
    ToldRunner,
    context_of,
    matmul,
    random_candidates,
    results_of,
)
from tvm_narcost.errors import ArtifactError
from tvm_narcost.hook import NarFormerCostModel
from tvm_narcost.training.fine_tune import FineTuneSettings

PROFILE = "epyc-zen5.tvm"
FAST = FineTuneSettings(scratch_steps=40)


@pytest.fixture(scope="module")
def measured() -> tuple[ms.TuneContext, list[Any], list[RunnerResult]]:
    context = context_of(matmul(64))
    candidates = random_candidates(context, 32)
    return context, candidates, results_of(candidates)


def rank_agreement(scores: np.ndarray[Any, Any], results: list[RunnerResult]) -> float:
    """Share of pairs that scores and measurements put in the same order."""
    seconds = np.array([float(result.run_secs[0]) for result in results])
    first, second = np.triu_indices(len(seconds), 1)
    apart = seconds[first] != seconds[second]
    return float(((scores[first] > scores[second]) == (seconds[first] < seconds[second]))[apart].mean())


def test_scores_are_positive_float64_and_the_same_under_a_seed(measured: Any) -> None:
    context, candidates, _ = measured
    scores = NarFormerCostModel(PROFILE, seed=3).predict(context, candidates)
    assert scores.dtype == np.float64 and scores.shape == (32,) and (scores > 0).all()
    assert np.array_equal(scores, NarFormerCostModel(PROFILE, seed=3).predict(context, candidates))
    assert len(np.unique(scores)) > 1


def test_the_same_rounds_give_the_same_scores_and_rank_what_was_measured(measured: Any) -> None:
    context, candidates, results = measured
    scores = []
    for _ in range(2):
        model = NarFormerCostModel(PROFILE, seed=5, fine_tuning=FAST)
        for _ in range(2):
            model.update(context, candidates, results)
        scores.append(model.predict(context, candidates))
    assert np.array_equal(scores[0], scores[1])
    assert rank_agreement(scores[0], results) > 0.9
    assert set(model.seconds) == {"features", "predict", "update"} and min(model.seconds.values()) > 0


def test_candidates_do_not_change_each_others_scores(measured: Any) -> None:
    context, candidates, results = measured
    model = NarFormerCostModel(PROFILE, fine_tuning=FAST)
    model.update(context, candidates, results)
    together = model.predict(context, candidates)
    assert np.allclose(model.predict(context, candidates[:5]), together[:5], rtol=1e-4)


def test_failed_measurements_lower_scores(measured: Any) -> None:
    context, candidates, results = measured
    model = NarFormerCostModel(PROFILE, fine_tuning=FAST)
    best = int(np.argmin([float(result.run_secs[0]) for result in results]))
    failed = list(results)
    failed[best] = RunnerResult(None, "crashed")
    told, warned = (NarFormerCostModel(PROFILE, fine_tuning=FAST) for _ in range(2))
    told.update(context, candidates, results)
    warned.update(context, candidates, failed)
    rank_told = (told.predict(context, candidates) > told.predict(context, [candidates[best]])[0]).sum()
    rank_warned = (warned.predict(context, candidates) > warned.predict(context, [candidates[best]])[0]).sum()
    assert rank_warned > rank_told
    model.update(context, candidates[:1], failed[best : best + 1])  # nothing to compare: no error, nothing learned
    assert np.array_equal(model.predict(context, candidates), NarFormerCostModel(PROFILE).predict(context, candidates))


def test_a_round_that_failed_as_a_whole_is_no_error(measured: Any) -> None:
    context, candidates, _ = measured
    model = NarFormerCostModel(PROFILE, fine_tuning=FAST)
    model.update(context, candidates, [RunnerResult(None, "timeout")] * len(candidates))
    assert np.isfinite(model.predict(context, candidates)).all()


def test_saved_weights_score_alike_and_load_before_any_training(measured: Any, tmp_path: Path) -> None:
    context, candidates, results = measured
    trained = NarFormerCostModel(PROFILE, seed=1, fine_tuning=FAST)
    trained.save(str(tmp_path / "new"))
    fresh = NarFormerCostModel(PROFILE, seed=2)
    fresh.load(str(tmp_path / "new"))
    assert np.array_equal(fresh.predict(context, candidates), trained.predict(context, candidates))
    trained.update(context, candidates, results)
    trained.save(str(tmp_path / "trained"))
    fresh.load(str(tmp_path / "trained"))
    assert np.array_equal(fresh.predict(context, candidates), trained.predict(context, candidates))
    assert {path.suffix for path in (tmp_path / "trained").iterdir()} == {".json", ".safetensors"}


def test_another_schema_is_refused(tmp_path: Path) -> None:
    model = NarFormerCostModel(PROFILE)
    model.save(str(tmp_path))
    facts = json.loads((tmp_path / "ranker.json").read_text())
    (tmp_path / "ranker.json").write_text(json.dumps({**facts, "schema_version": 99}))
    with pytest.raises(ArtifactError, match="99.*expected"):
        model.load(str(tmp_path))
    with pytest.raises(ArtifactError, match="nowhere"):
        model.load(str(tmp_path / "nowhere"))


def test_tunes_a_workload_end_to_end(tmp_path: Path) -> None:
    model = NarFormerCostModel(PROFILE, fine_tuning=FAST)
    database = ms.tir_integration.tune_tir(
        matmul(32), TARGET, str(tmp_path), max_trials_global=24, num_trials_per_iter=12, builder=TellingBuilder(),
        runner=ToldRunner(), cost_model=model, num_tuning_cores=1, seed=1,
        strategy=ms.search_strategy.EvolutionarySearch(population_size=32, genetic_num_iters=1),
        # The default callbacks remove the folder of the artifact, which here is a number.
        measure_callbacks=[ms.measure_callback.AddToDatabase(), ms.measure_callback.UpdateCostModel()],
    )  # fmt: skip
    records = database.get_all_tuning_records()
    assert len(records) == 24
    assert sum(float(record.run_secs[0]) > 1 for record in records) == 6  # every fourth failed
    assert model.seconds["update"] > 0 and len(model.measured) == 24


def test_the_shipped_weights_rank_without_a_round(measured: Any) -> None:
    context, candidates, _ = measured
    model = NarFormerCostModel.pretrained(PROFILE, seed=7)
    assert model.facts.profile == PROFILE and model.facts.dataset["workloads"] > 50
    scores = model.predict(context, candidates)
    assert (scores > 0).all() and len(np.unique(scores)) > 16
    model.update(context, candidates, results_of(candidates))
    assert not np.array_equal(model.predict(context, candidates), scores)
    with pytest.raises(ArtifactError, match="narcost train --schedules"):
        NarFormerCostModel.pretrained("epyc-zen5.onnxruntime")
