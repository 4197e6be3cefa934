"""NarFormerCostModel: narcost as MetaSchedule's cost model.

TVM has no registry of cost models; an instance is passed as ``cost_model=`` to ``ms.tune_tir`` and
``ms.relax_integration.tune_relax``.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.ir.utils import derived_object
from tvm.s_tir.meta_schedule.cost_model import PyCostModel
from tvm.s_tir.meta_schedule.utils import shash2hex
from tvm_ffi import register_error

from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.errors import ArtifactError, CompileError
from tvm_narcost.hook.metaschedule.nests import read_stores
from tvm_narcost.hook.metaschedule.records import latency_us, scheduled_function
from tvm_narcost.models.folders import ranker_folder
from tvm_narcost.models.ranker_artifact import ranker_facts, read_ranker, write_ranker
from tvm_narcost.models.schedule_ranker import new_ranker, predict_log_us
from tvm_narcost.tokens.store_tokens import StoreTokens, encode_stores
from tvm_narcost.training.fine_tune import FineTuneSettings, MeasuredSoFar

__all__ = ["NarFormerCostModel"]

# TVM calls the methods below through C++, and raises what it has not been told of as a RuntimeError.
for _error in (ArtifactError, CompileError):
    register_error(_error.__name__, _error)


@derived_object
class NarFormerCostModel(PyCostModel):  # type: ignore[misc]  # tvm has no types
    """A :class:`ScheduleRanker` that scores candidates and learns from each measured round.

    A score is the runs in a second that are predicted of the candidate: positive, and higher is better. The same seed
    and the same rounds give the same scores.

    An untrained model ranks by the roofline of each store until the first round is measured; a pretrained one comes
    from ``NarFormerCostModel.pretrained(profile)`` or ``load``.

    Attributes:
        profile: the device that candidates are to run on.
        facts: what the weights are and where they come from.
        measured: what it has been shown so far.
        seconds: spent so far in ``features``, ``predict`` and ``update``.
    """

    def __init__(
        self, profile: str | HardwareProfile, *, seed: int = 0, fine_tuning: FineTuneSettings | None = None
    ) -> None:
        """Make an untrained model.

        Args:
            profile: id of a profile, or one.
            seed: of the first weights, and of the order in which updates see candidates.
            fine_tuning: how an update learns. Its ``steps`` bound the time that one takes: on one core of the machine
                that narcost's figures come from, about two seconds with the default.
        """
        super().__init__()
        self.profile = load_profile(profile) if isinstance(profile, str) else profile
        self.seed = seed
        self.fine_tuning = fine_tuning or FineTuneSettings()
        self.ranker = new_ranker(seed)
        self.facts = ranker_facts(self.profile.id)
        self.seconds = {"features": 0.0, "predict": 0.0, "update": 0.0}
        self.measured = MeasuredSoFar()

    def load(self, path: str) -> None:
        """Take the weights that :meth:`save` or ``narcost train --schedules`` wrote; what was measured is forgotten.

        Raises:
            ArtifactError: missing, corrupt, or of another schema.
        """
        ranker, facts = read_ranker(Path(path))
        self.ranker, self.facts = ranker, facts
        self.measured = MeasuredSoFar()

    def save(self, path: str) -> None:
        """Write the weights as they are now into a folder: safetensors and JSON."""
        write_ranker(Path(path), self.ranker, self.facts)

    def predict(self, context: Any, candidates: Sequence[Any]) -> NDArray[np.float64]:
        """Runs in a second of each candidate, float64 [candidates]."""
        tokens = self._encode(candidates)
        start = time.perf_counter()
        log_us = predict_log_us(self.ranker, tokens)
        self.seconds["predict"] += time.perf_counter() - start
        scores: NDArray[np.float64] = np.exp(np.clip(np.log(1e6) - log_us, -50.0, 50.0))
        return scores

    def update(self, context: Any, candidates: Sequence[Any], results: Sequence[Any]) -> None:
        """Learn from a measured round; a failed measurement counts as slower than the slowest of its workload."""
        if not len(candidates):
            return
        tokens = self._encode(candidates)
        start = time.perf_counter()
        latencies = np.array([latency_us(result.run_secs) for result in results])
        self.measured.add(_workload_key(context), tokens, latencies)
        self.ranker = self.measured.learn(self.ranker, self.fine_tuning, self.seed, pretrained=bool(self.facts.dataset))
        self.seconds["update"] += time.perf_counter() - start

    @classmethod
    def pretrained(cls, profile: str | HardwareProfile, **settings: Any) -> "NarFormerCostModel":
        """A model with the weights that ship with narcost, or the user's own, for a profile.

        Args:
            profile: id of a profile, or one.
            settings: of the constructor.

        Raises:
            ArtifactError: there are none for this profile.
        """
        model = cls(profile, **settings)
        model.load(str(ranker_folder(model.profile.id)))
        return model

    def _encode(self, candidates: Sequence[Any]) -> StoreTokens:
        start = time.perf_counter()
        stores, argument_bytes = read_stores([scheduled_function(candidate.sch.mod) for candidate in candidates])
        tokens = encode_stores(stores, argument_bytes, self.profile)
        self.seconds["features"] += time.perf_counter() - start
        return tokens


def _workload_key(context: Any) -> str:
    return str(shash2hex(context.mod))
