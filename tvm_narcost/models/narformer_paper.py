"""The ``paper`` NAR-Former as a LatencyModel: one token an operator of the file, one latency a network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.models.narformer_config import NarFormerConfig
from tvm_narcost.predictor import Prediction
from tvm_narcost.tokens.paper import STATIC_WIDTH, WIDTH, PaperTokens, encode_graph
from tvm_narcost.tokens.sequence import pad_tokens

__all__ = ["PAPER_CONFIG", "PAPER_NARROW_CONFIG", "NarFormerPaper", "PaperBatch", "collate_paper"]

PAPER_CONFIG = NarFormerConfig(
    output="network", token_width=WIDTH, model_width=WIDTH, heads=WIDTH // 32, encoder_blocks=6,
    static_width=STATIC_WIDTH, depth_token=True,
)  # fmt: skip
# Half the width of the paper's accuracy experiments under the latency tokens, two blocks deep: what a CPU can train.
PAPER_NARROW_CONFIG = NarFormerConfig(
    output="network", token_width=WIDTH, model_width=96, heads=3, encoder_blocks=2, dropout=0.0,
    static_width=STATIC_WIDTH, depth_token=True,
)  # fmt: skip


@dataclass(frozen=True)
class PaperBatch:
    """tokens [B, T, 960], mask [B, T], depth_code [B, 960], static [B, 256]."""

    tokens: Tensor
    mask: Tensor
    depth_code: Tensor
    static: Tensor


def collate_paper(encoded: Sequence[PaperTokens]) -> PaperBatch:
    """Pad the tokens of several networks to one batch."""
    batch = pad_tokens([tokens.sequence.values for tokens in encoded])
    return PaperBatch(
        torch.from_numpy(batch.values),
        torch.from_numpy(batch.mask),
        torch.stack([torch.from_numpy(tokens.depth_code) for tokens in encoded]),
        torch.stack([torch.from_numpy(tokens.static) for tokens in encoded]),
    )


@dataclass(frozen=True)
class NarFormerPaper:
    """A trained ``network`` configuration; it knows neither plan nor kernels.

    Attributes:
        network: the transformer.
        log_target: it gives the logarithm of the milliseconds; the paper's gives milliseconds.
    """

    network: NarFormer
    log_target: bool = False

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        """See :class:`tvm_narcost.predictor.LatencyModel`; the profile is the one that it was trained on."""
        return [
            Prediction.of_point(self.latency_ms(encode_graph(graph)), plan.planner)
            for graph, plan in zip(graphs, plans, strict=True)
        ]

    def latency_ms(self, tokens: PaperTokens) -> float:
        """Predicted latency of one encoded network; without ``log_target`` nothing keeps it from being negative."""
        batch = collate_paper([tokens])
        with torch.inference_mode():
            value = float(self.network(batch.tokens, batch.mask, batch.depth_code, batch.static)[0])
        return math.exp(value) if self.log_target else value
