"""ScheduleRanker: how long a scheduled tensor program takes, by a NAR-Former over its stores.

The stores' tokens and a token for workload and profile pass through NAR-Former's encoder and multi-stage fusion (paper,
section 3.3). Each store then gets the logarithm of its time over its roofline; the sum over stores is the candidate's
time. Candidates of one workload are ranked by it, the sooner done the better.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tvm_narcost.models.narformer import Block, FusionStage
from tvm_narcost.models.narformer_config import NarFormerConfig
from tvm_narcost.tokens.store_tokens import CONTEXT_WIDTH, WIDTH, StoreTokens

__all__ = ["RANKER_CONFIG", "ScheduleRanker", "new_ranker", "predict_log_us"]

RANKER_CONFIG = NarFormerConfig(
    output="kernels", token_width=WIDTH, static_width=CONTEXT_WIDTH, model_width=64, heads=4, encoder_blocks=2,
    feed_forward_ratio=2, dropout=0.3,
)  # fmt: skip

_SILENT = 1e30  # a scale that leaves nothing of a column
_LONGEST_BATCH = 2048  # tokens of a batch with its padding


class ScheduleRanker(nn.Module):
    """Tokens of stores -> logarithm of the candidate's microseconds."""

    mean: Tensor
    scale: Tensor
    context_mean: Tensor
    context_scale: Tensor

    def __init__(self, config: NarFormerConfig = RANKER_CONFIG) -> None:
        super().__init__()
        self.config = config
        width = config.model_width
        for name, columns in (("", config.token_width), ("context_", config.static_width)):
            self.register_buffer(f"{name}mean", torch.zeros(columns))
            self.register_buffer(f"{name}scale", torch.ones(columns))
        self.embed = nn.Sequential(nn.Linear(config.token_width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.workload = nn.Linear(config.static_width, width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.encoder_blocks))
        self.stages = nn.ModuleList(FusionStage(config, queries) for queries in config.fusion_queries)
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)  # untrained, a store takes as long as its roofline says
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), last)

    def standardise(self, tokens: Tensor, context: Tensor, constant_scale: float = _SILENT) -> None:
        """Take mean and scale of each column from training data.

        A column that is constant there has taught the weights nothing. With the default ``constant_scale`` it is 0 from
        then on, whatever it holds: facts of a device other than the only one trained on move nothing. With 1 it counts
        by its difference, for weights that go on learning.
        """
        for name, values in (("", tokens), ("context_", context)):
            deviation = values.std(dim=0)
            getattr(self, f"{name}mean").copy_(values.mean(dim=0))
            getattr(self, f"{name}scale").copy_(deviation.where(deviation > 1e-4, constant_scale))

    def forward(self, tokens: Tensor, mask: Tensor, context: Tensor) -> Tensor:
        """Predict.

        Args:
            tokens: float32 [B, T, token_width], padded.
            mask: bool [B, T], true where a store is.
            context: float32 [B, static_width].

        Returns:
            [B], natural logarithm of microseconds.
        """
        log_bound = tokens[..., -1] * float(np.log(2))  # the last column of the schema
        embedded = self.embed(((tokens - self.mean) / self.scale).clamp(-8.0, 8.0))  # [B, T, D]
        workload = self.workload(((context - self.context_mean) / self.context_scale).clamp(-8.0, 8.0))
        x = torch.cat([embedded, workload[:, None]], dim=1)  # [B, T + 1, D]
        seen = F.pad(mask, (0, 1), value=True)
        keep = None if bool(seen.all()) else seen
        for block in self.blocks:
            x = block(x, keep)
        fused, fused_mask = x, keep
        for stage in self.stages:
            fused, fused_mask = stage(fused, fused_mask, x, keep), None
        whole = fused.expand(-1, embedded.shape[1], -1)
        efficiency = self.head(torch.cat([embedded, x[:, :-1], whole], dim=-1))[..., 0]  # [B, T]
        log_us = (log_bound + efficiency).masked_fill(~mask, -torch.inf)
        out: Tensor = torch.logsumexp(log_us, dim=1)
        return out


def new_ranker(seed: int, config: NarFormerConfig = RANKER_CONFIG) -> ScheduleRanker:
    """An untrained ranker; the same seed gives the same weights, and torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ScheduleRanker(config).eval()


def predict_log_us(ranker: ScheduleRanker, tokens: StoreTokens) -> NDArray[np.float64]:
    """Natural logarithm of the microseconds of each candidate, in batches of equal numbers of stores."""
    starts = np.concatenate([[0], np.cumsum(tokens.counts)[:-1]])
    out = np.empty(len(tokens.counts))
    values, context = torch.from_numpy(tokens.values), torch.from_numpy(tokens.context)
    with torch.inference_mode():
        for count in np.unique(tokens.counts):
            rows = np.flatnonzero(tokens.counts == count)
            batch = max(1, _LONGEST_BATCH // int(count))
            for first in range(0, len(rows), batch):
                part = rows[first : first + batch]
                places = torch.from_numpy(starts[part, None] + np.arange(count))
                mask = torch.ones(places.shape, dtype=torch.bool)
                out[part] = ranker(values[places], mask, context[torch.from_numpy(part)]).double().numpy()
    return out
