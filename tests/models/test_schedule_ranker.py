"""ScheduleRanker and its artifact: what is written comes back; what is spoiled is an ArtifactError."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tests.training.schedules import formula_schedules
from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.ranker_artifact import ranker_facts, read_ranker, write_ranker
from tvm_narcost.models.schedule_ranker import RANKER_CONFIG, ScheduleRanker, new_ranker, predict_log_us

TOKENS = formula_schedules(2, 8).tokens


def standardised(seed: int = 0) -> ScheduleRanker:
    ranker = new_ranker(seed)
    ranker.standardise(torch.from_numpy(TOKENS.values), torch.from_numpy(TOKENS.context))
    with torch.no_grad():
        weight = dict(ranker.head.named_parameters())["2.weight"]
        weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return ranker


def test_untrained_takes_each_store_for_its_bound() -> None:
    counts = TOKENS.counts
    expected = np.log(counts * 2.0**3)  # the bound's logarithm is 3 in every token
    assert np.allclose(predict_log_us(new_ranker(0), TOKENS), expected, atol=1e-5)


def test_what_never_varied_in_training_moves_nothing() -> None:
    """A ranker that has seen one device ranks for another as for that one."""
    here, elsewhere = TOKENS.context.copy(), TOKENS.context.copy()
    here[:, -1], elsewhere[:, -1] = 1.0, 4.0
    ranker = standardised()

    def predicted(context: NDArray[np.float32]) -> NDArray[np.float64]:
        return predict_log_us(ranker, dataclasses.replace(TOKENS, context=context))

    ranker.standardise(torch.from_numpy(TOKENS.values), torch.from_numpy(here))
    assert np.array_equal(predicted(elsewhere), predicted(here))
    ranker.standardise(torch.from_numpy(TOKENS.values), torch.from_numpy(here), constant_scale=1.0)
    assert not np.allclose(predicted(elsewhere), predicted(here))


def test_padding_changes_nothing() -> None:
    ranker = standardised()
    alone = predict_log_us(ranker, TOKENS)
    longest = int(TOKENS.counts.max())
    starts = np.cumsum(TOKENS.counts) - TOKENS.counts
    padded = np.full((len(alone), longest + 2, TOKENS.values.shape[1]), 7.0, np.float32)
    for row, (start, count) in enumerate(zip(starts, TOKENS.counts, strict=True)):
        padded[row, :count] = TOKENS.values[start : start + count]
    mask = torch.arange(longest + 2) < torch.from_numpy(TOKENS.counts)[:, None]
    together = ranker(torch.from_numpy(padded), mask, torch.from_numpy(TOKENS.context))
    assert np.allclose(together.detach().numpy(), alone, atol=1e-4)
    assert len(np.unique(np.round(alone, 4))) > 8


def test_written_and_read_ranks_alike(tmp_path: Path) -> None:
    ranker = standardised()
    facts = ranker_facts("epyc-zen5.tvm", metrics={"workloads_held_out_pairwise_accuracy": 0.5}, command="made here")
    write_ranker(tmp_path, ranker, facts)
    again, read = read_ranker(tmp_path)
    assert read == facts
    assert np.array_equal(predict_log_us(again, TOKENS), predict_log_us(ranker, TOKENS))


def _facts(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        document = json.loads((folder / "ranker.json").read_text())
        change(document)
        (folder / "ranker.json").write_text(json.dumps(document))

    return spoil


def _weights(change: Callable[[dict[str, np.ndarray[Any, Any]]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        weights = load_file(folder / "ranker.safetensors")
        change(weights)
        save_file(weights, folder / "ranker.safetensors")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_facts(lambda document: document.update(schema_version=2)), "expected"),
        (_facts(lambda document: document.update(schema="default")), "expected"),
        (_facts(lambda document: document.update(kind="narformer")), "expected"),
        (_facts(lambda document: document.update(format_version=[])), "expected"),
        (_facts(lambda document: document.pop("metrics")), "metrics"),
        (_facts(lambda document: document.update(extra=1)), "extra"),
        (_facts(lambda document: document.update(config=[])), "config"),
        (_facts(lambda document: document["config"].update(model_width=4096)), "do not belong together"),
        (_facts(lambda document: document["config"].update(token_width=3)), "do not belong together"),
        (_facts(lambda document: document["config"].update(heads=0)), "do not belong together"),
        (_facts(lambda document: document["config"].pop("fusion_queries")), "do not belong together"),
        (_weights(lambda weights: weights.pop("mean")), "do not belong together"),
        (_weights(lambda weights: weights.update(mean=weights["mean"].astype(np.float64))), "no float32"),
        (_weights(lambda weights: weights.update(mean=weights["mean"][:3].copy())), "do not belong together"),
        (_weights(lambda weights: weights["scale"].fill(0)), "not positive"),
        (_weights(lambda weights: weights["scale"].fill(np.nan)), "not finite"),
        (lambda folder: (folder / "ranker.json").write_text("[" * 100_000), "not JSON"),
        (lambda folder: (folder / "ranker.safetensors").write_bytes(b"\x80\x04pickle"), "safetensors"),
        (lambda folder: (folder / "ranker.safetensors").unlink(), "No such file"),
    ],
)
def test_spoiled_artifacts_are_refused(spoil: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    write_ranker(tmp_path, standardised(), ranker_facts("epyc-zen5.tvm"))
    spoil(tmp_path)
    with pytest.raises(ArtifactError, match=said):
        read_ranker(tmp_path)


def test_seeds_leave_torchs_own_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    new_ranker(1)
    assert torch.equal(torch.rand(1), expected)
    assert RANKER_CONFIG.dropout > 0  # and yet two predictions are the same: ranking is without it
    ranker = standardised()
    assert np.array_equal(predict_log_us(ranker, TOKENS), predict_log_us(ranker, TOKENS))
