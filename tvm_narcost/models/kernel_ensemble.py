"""KernelEnsemble: NAR-Formers and boosted trees that predict the same kernels; the mean of their logarithms counts.

Transformers see the whole network and err smoothly; trees see one kernel with what ran before it and follow the
steps that blocking and cache sizes make. They fail on different families, and their disagreement tells where.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.models.distinct import distinct_rows
from tvm_narcost.models.trained_narformer import TrainedNarFormer
from tvm_narcost.models.trees import BoostedTrees
from tvm_narcost.tokens import default
from tvm_narcost.tokens.sequence import pad_tokens

__all__ = ["CORRECTION_COLUMNS", "TREE_COLUMNS", "KernelEnsemble", "correction_rows"]

TREE_COLUMNS = default.WIDTH - default.TOPOLOGY_WIDTH
"""Trees see a token without its position codes: they would split on where in a network a kernel stood."""

CORRECTION_COLUMNS = TREE_COLUMNS + 2
"""A correction sees what the trees see, and what the members make of the kernel: see :func:`correction_rows`."""

_BATCH_TOKENS = 256  # padding counted; more of them are no faster
_YARDSTICK = len(default.OPERATORS) + len(default.CATEGORIES) + len(default.ACTIVATIONS)
_YARDSTICK += default.QUANTITIES.index("roofline_us")  # the token's logarithm of the yardstick


def correction_rows(tokens: NDArray[np.float32], logs: NDArray[np.float64]) -> NDArray[np.float32]:
    """What a correction goes by: the token, the predicted efficiency, and the predicted time.

    Args:
        tokens: ``default`` tokens, [kernels, default.WIDTH].
        logs: predicted log(time / yardstick), [kernels].

    Returns:
        float32 [kernels, CORRECTION_COLUMNS]; the last two in powers of two.
    """
    efficiency = logs / np.log(2)
    predicted = np.stack([efficiency, efficiency + tokens[:, _YARDSTICK]], axis=1)
    return np.concatenate([tokens[:, :TREE_COLUMNS], predicted.astype(np.float32)], axis=1)


@dataclass(frozen=True)
class KernelEnsemble:
    """Members that were trained on the same measurements.

    Attributes:
        networks: trained alike from different seeds; one at least.
        trees: fitted on the first TREE_COLUMNS columns; None for none.
        correction: what the members are off by on another profile than the one that they were trained on, in
            logarithms, over the columns of :func:`correction_rows`; None where there is no other.
    """

    networks: tuple[TrainedNarFormer, ...]
    trees: BoostedTrees | None
    correction: BoostedTrees | None = None

    def log_efficiency(self, tokens: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
        """Mean of :meth:`member_logs` over the members; [kernels] for each plan."""
        return [logs.mean(axis=0) for logs in self.member_logs(tokens)]

    def member_logs(self, tokens: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
        """log(time / yardstick) by each member, the trees last; the correction moves all of them alike.

        Args:
            tokens: ``default`` tokens of each plan, float32 [kernels, default.WIDTH].

        Returns:
            float64 [members, kernels] for each plan.
        """
        lengths = [len(values) for values in tokens]
        if not any(lengths):
            return [np.zeros((self.members, 0)) for _ in tokens]
        found = self._uncorrected(tokens)
        if self.correction is None:
            return found
        rows = [correction_rows(values, logs.mean(axis=0)) for values, logs in zip(tokens, found, strict=True)]
        added = np.split(self.correction.predict(np.concatenate(rows)), np.cumsum(lengths)[:-1])
        return [logs + own for logs, own in zip(found, added, strict=True)]

    def _uncorrected(self, tokens: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
        """Networks repeat their blocks: of kernels that no member can tell apart, one is computed."""
        columns = max(TREE_COLUMNS, *(network.config.seen_columns for network in self.networks))
        rows = np.concatenate(tokens)
        kept, place = distinct_rows(rows[:, :columns])
        rows = rows[kept]
        places = np.split(place, np.cumsum([len(values) for values in tokens])[:-1])
        own = [np.unique(found, return_inverse=True, return_counts=True) for found in places]
        found = self._by_networks([rows[kernels] for kernels, _, _ in own], [counts for _, _, counts in own])
        logs = [by_network[:, back] for by_network, (_, back, _) in zip(found, own, strict=True)]
        if self.trees is None:
            return logs
        by_trees = self.trees.sums(rows[:, :TREE_COLUMNS])
        return [np.concatenate([mine, by_trees[None, found]]) for mine, found in zip(logs, places, strict=True)]

    def _by_networks(
        self, tokens: Sequence[NDArray[np.float32]], counts: Sequence[NDArray[np.intp]]
    ) -> list[NDArray[np.float64]]:
        """[networks, tokens] for each plan; ``counts``, [tokens] of each, says how many kernels a token stands for."""
        lengths = [len(values) for values in tokens]
        found = [np.zeros((len(self.networks), 0))] * len(tokens)
        for chosen in _batches(lengths):
            batch = pad_tokens([tokens[index] for index in chosen])
            weight = np.zeros(batch.mask.shape, np.float32)
            weight[batch.mask] = np.concatenate([counts[index] for index in chosen])
            padded = np.stack([network.predict(batch.values, weight) for network in self.networks]).astype(np.float64)
            for row, index in enumerate(chosen):
                found[index] = padded[:, row, : lengths[index]]
        return found

    @property
    def members(self) -> int:
        """How many there are, trees counted as one."""
        return len(self.networks) + (self.trees is not None)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of networks that go together, those of like length, so that little is padded; empty ones in none."""
    batch: list[int] = []
    for index in sorted((index for index, length in enumerate(lengths) if length), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
