"""Trunk: one NAR-Former and one set of trees for several profiles, which are told the profile of each kernel.

Each token has the profile's numbers as columns besides, which to a linear embedding is a profile token added to every
kernel's: what was measured on one device teaches what another takes. For one profile the columns are constants, and are
folded into weights and trees: an artifact of a trunk is like any other and takes no longer.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import TrainingError
from tvm_narcost.models.kernel_ensemble import TREE_COLUMNS, KernelEnsemble
from tvm_narcost.models.trained_narformer import TrainedNarFormer
from tvm_narcost.models.trees import BoostedTrees
from tvm_narcost.tokens import default
from tvm_narcost.training.ensemble import train_ensemble
from tvm_narcost.training.examples import Example
from tvm_narcost.training.loop import DEFAULT_CONFIG, TrainingSettings

__all__ = ["PROFILE_COLUMNS", "Trunk", "profile_columns", "train_trunk"]

_RUNTIMES = ("onnxruntime", "openvino", "tvm")
_LOGGED = (
    "threads", "cores", "vector_bytes", "l1d_bytes", "l2_bytes", "l3_bytes", "peak_gflops", "l1_gb_s", "l2_gb_s",
    "l3_gb_s", "memory_gb_s", "call_overhead_us",
)  # fmt: skip
PROFILE_COLUMNS = (*_LOGGED, *_RUNTIMES)
"""What a token is told of its profile."""

_CONFIG = dataclasses.replace(DEFAULT_CONFIG, token_width=default.WIDTH + len(PROFILE_COLUMNS))


@dataclass(frozen=True)
class Trunk:
    """Members that were trained on the measurements of several profiles.

    Attributes:
        networks: over tokens with :data:`PROFILE_COLUMNS` before their position codes.
        trees: over the same without position codes; None for none.
    """

    networks: tuple[TrainedNarFormer, ...]
    trees: BoostedTrees | None

    def of(self, profile: HardwareProfile) -> KernelEnsemble:
        """The members for one profile, over plain ``default`` tokens."""
        told = profile_columns(profile)
        networks = tuple(network.with_known_columns(TREE_COLUMNS, told) for network in self.networks)
        return KernelEnsemble(networks, None if self.trees is None else self.trees.with_known_columns(told))


def train_trunk(
    measured: Mapping[HardwareProfile, Sequence[Example]],
    settings: TrainingSettings,
    seeds: Sequence[int],
    *,
    progress: Callable[[str], None] = lambda step: None,
) -> Trunk:
    """One NAR-Former a seed, and the trees from the first, on all profiles' networks together.

    Raises:
        TrainingError: no examples, or a runtime that has no column.
    """
    examples = []
    for profile, own in measured.items():
        columns = profile_columns(profile)
        examples += [_told(example, columns) for example in own]
    ensemble = train_ensemble(examples, settings, seeds, config=_CONFIG, progress=progress)
    return Trunk(ensemble.networks, ensemble.trees)


def _told(example: Example, columns: NDArray[np.float32]) -> Example:
    """The same network; each token has the profile's columns before its position codes."""
    told = np.tile(columns, (len(example.tokens), 1))
    parts = [example.tokens[:, :TREE_COLUMNS], told, example.tokens[:, TREE_COLUMNS:]]
    return dataclasses.replace(example, tokens=np.concatenate(parts, axis=1))


def profile_columns(profile: HardwareProfile) -> NDArray[np.float32]:
    """float32 [PROFILE_COLUMNS]: sizes and rates as powers of two, the peak of all threads, then which runtime.

    Raises:
        TrainingError: a runtime that has no column.
    """
    device, runtime = profile.device, profile.runtime
    if runtime.name not in _RUNTIMES:
        raise TrainingError(f"training: runtime {runtime.name!r} of {profile.id}, expected one of {_RUNTIMES}")
    bandwidth = dict(device.bandwidth_gb_s)
    quantities = (
        runtime.threads, device.cores, device.vector_bytes, device.l1d_bytes, device.l2_bytes, device.l3_bytes,
        dict(device.peak_gflops)["float32"] * runtime.threads,
        *(bandwidth[level] for level in ("l1", "l2", "l3", "memory")), device.call_overhead_us,
    )  # fmt: skip
    logged = [math.log2(1 + quantity) for quantity in quantities]
    return np.array([*logged, *(float(name == runtime.name) for name in _RUNTIMES)], np.float32)
