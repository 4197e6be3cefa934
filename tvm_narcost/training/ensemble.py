"""Training of a KernelEnsemble: NAR-Formers from several seeds, and trees on the same kernels."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.kernel_sum import fit_trees
from tvm_narcost.models.narformer_config import NarFormerConfig
from tvm_narcost.models.trees import BoostedTrees
from tvm_narcost.tokens import default
from tvm_narcost.training.examples import Example
from tvm_narcost.training.loop import DEFAULT_CONFIG, TrainingSettings, train_network

__all__ = ["ensemble_us", "fit_context_trees", "kernel_weight", "train_ensemble"]

_UNIFORM = 0.3  # weight of a kernel: this much of an equal share, the rest its share of the network's time


def train_ensemble(
    examples: Sequence[Example],
    settings: TrainingSettings,
    seeds: Sequence[int],
    *,
    config: NarFormerConfig = DEFAULT_CONFIG,
    progress: Callable[[str], None] = lambda step: None,
) -> KernelEnsemble:
    """One NAR-Former a seed, and the trees from the first.

    Raises:
        TrainingError: no examples.
    """
    networks = []
    for seed in seeds:
        progress(f"member {seed}")
        networks.append(train_network(examples, settings, seed, config=config).trained())
    progress("trees")
    return KernelEnsemble(tuple(networks), fit_context_trees(examples, seeds[0]))


def fit_context_trees(examples: Sequence[Example], seed: int) -> BoostedTrees:
    """Trees that see what a kernel is and what ran before it: its token without position codes."""
    return fit_trees(
        np.concatenate([example.tokens[:, : -default.TOPOLOGY_WIDTH] for example in examples]),
        np.concatenate([example.log_efficiency for example in examples]),
        np.concatenate([kernel_weight(example) for example in examples]),
        seed,
    )


def kernel_weight(example: Example) -> NDArray[np.float64]:
    """What each kernel counts in a fit of trees, [kernels], sums to 1."""
    weight: NDArray[np.float64] = (1 - _UNIFORM) * example.share + _UNIFORM / len(example.share)
    return weight


def ensemble_us(ensemble: KernelEnsemble, examples: Sequence[Example]) -> list[NDArray[np.float64]]:
    """Predicted time of each kernel of each example, microseconds."""
    logs = ensemble.log_efficiency([example.tokens for example in examples])
    return [example.yardstick_us * np.exp(own) for example, own in zip(examples, logs, strict=True)]
