"""Each ablation trains, predicts, and is another model than the default."""

import dataclasses

import numpy as np
import pytest

from tests.training.analytic import PROFILE, examples
from tvm_narcost.training import ablations
from tvm_narcost.training.ablations import ABLATIONS
from tvm_narcost.training.loop import TrainingSettings
from tvm_narcost.training.splits import hold_out_families

SPLIT = hold_out_families(examples(("plain", "narrow", "mixed"), 4), ("mixed",), validation=0.2)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps: what is tested is that the one thing which is changed has an effect."""
    monkeypatch.setattr(ablations, "TrainingSettings", lambda: dataclasses.replace(TrainingSettings(), epochs=2))


@pytest.mark.parametrize("name", sorted(set(ABLATIONS) - {"default"}))
def test_an_ablation_is_not_the_default(name: str) -> None:
    changed = ABLATIONS[name](SPLIT, PROFILE, 0)
    assert len(changed) == len(SPLIT.test)
    assert np.isfinite(changed).all()
    assert min(changed) > 0
    assert not np.allclose(changed, ABLATIONS["default"](SPLIT, PROFILE, 0), rtol=1e-6)


def test_blanked_columns_are_zero_in_training_and_in_what_is_predicted() -> None:
    blanked = ablations._blanked(SPLIT.test, [0, 5])
    assert all(not example.tokens[:, [0, 5]].any() for example in blanked)
    kept = [column for column in range(blanked[0].tokens.shape[1]) if column not in (0, 5)]
    for before, after in zip(SPLIT.test, blanked, strict=True):
        assert np.array_equal(before.tokens[:, kept], after.tokens[:, kept])


def test_columns_to_keep_are_of_the_schema() -> None:
    with pytest.raises(KeyError, match="colour"):
        ablations._other_quantities(("batch", "colour"))
