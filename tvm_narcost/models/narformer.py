"""NAR-Former: a transformer over tokens, fused in stages to one vector (Yi et al., CVPR 2023, section 3.3).

Two configurations share the blocks:

- ``paper``: tokens of the ``paper`` schema are the model's width; a depth token is appended; the fused vector and a
  static feature give one latency.
- ``default``: tokens of the ``default`` schema, one a kernel, are standardised and embedded; each kernel token, next
  to the fused vector of the whole network, gives the logarithm of its time over its roofline. The sum over kernels
  is the latency, so the breakdown is the prediction.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvm_narcost.models.linear import Linear
from tvm_narcost.models.narformer_config import FARTHEST, NarFormerConfig
from tvm_narcost.models.trained_narformer import TrainedNarFormer

__all__ = ["NarFormer"]


class Attention(nn.Module):
    """Multi-head attention of queries [B, Q, D] over keys and values [B, T, D]."""

    def __init__(self, config: NarFormerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = Linear(config.model_width, config.model_width)
        self.key_value = Linear(config.model_width, 2 * config.model_width)
        self.out = Linear(config.model_width, config.model_width)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        B, Q, D = x.shape
        split = (B, -1, self.heads, D // self.heads)
        q = self.query(x).view(split).transpose(1, 2)  # [B, H, Q, D/H]
        k, v = (part.view(split).transpose(1, 2) for part in self.key_value(memory).chunk(2, dim=-1))
        keep = None if mask is None else mask[:, None, None, :]  # [B, 1, 1, T]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=keep)
        out: Tensor = self.out(y.transpose(1, 2).reshape(B, Q, D))
        return out


class Block(nn.Module):
    """Pre-norm transformer block; ``memory`` is what is attended to, the queries themselves when None."""

    def __init__(self, config: NarFormerConfig) -> None:
        super().__init__()
        width = config.model_width
        self.query_norm = nn.LayerNorm(width)
        self.memory_norm = nn.LayerNorm(width)
        self.attention = Attention(config)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            Linear(width, config.feed_forward_ratio * width),
            nn.GELU(),
            Linear(config.feed_forward_ratio * width, width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, memory: Tensor | None = None) -> Tensor:
        query = self.query_norm(x)
        source = query if memory is None else self.memory_norm(memory)
        x = x + self.dropout(self.attention(query, source, mask))
        out: Tensor = x + self.dropout(self.feed_forward(x))
        return out


class FusionStage(nn.Module):
    """Aggregation block (learned queries over what came before), standard block, fusion block (over the tokens)."""

    def __init__(self, config: NarFormerConfig, queries: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, queries, config.model_width) * 0.02)
        self.aggregate = Block(config)
        self.standard = Block(config)
        self.fuse = Block(config)

    def forward(self, before: Tensor, before_mask: Tensor | None, tokens: Tensor, mask: Tensor | None) -> Tensor:
        x = self.queries.expand(len(tokens), -1, -1)  # [B, N_k, D]
        x = self.standard(self.aggregate(x, before_mask, before), None)
        out: Tensor = self.fuse(x, mask, tokens)
        return out


class NarFormer(nn.Module):
    """Tokens -> one value a kernel or one a network; see :class:`NarFormerConfig`."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: NarFormerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.model_width
        self.register_buffer("mean", torch.zeros(config.token_width))
        self.register_buffer("scale", torch.ones(config.token_width))
        self.embed: nn.Module = nn.Identity()
        if config.token_width != width or config.output == "kernels":
            coded = 0 if config.topology == "concat" else config.topology_width
            self.embed = Linear(config.token_width - coded, width)
        self.depth = Linear(config.token_width, width) if config.depth_token else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.encoder_blocks))
        stages = config.fusion_queries if config.pooling == "fusion" else ()
        self.stages = nn.ModuleList(FusionStage(config, queries) for queries in stages)
        if config.output == "kernels":
            parts = 2 if config.pooling == "none" else 3
            self.head = nn.Sequential(Linear(parts * width, width), nn.GELU(), Linear(width, 1))
        else:
            self.head = _tapering_head(width + config.static_width)

    def standardise(self, tokens: Tensor) -> None:
        """Take mean and scale of each column from training tokens [tokens, width]; constant columns keep scale 1."""
        deviation = tokens.std(dim=0)
        self.mean.copy_(tokens.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 1e-4, deviation, torch.ones_like(deviation)))

    def forward(
        self, tokens: Tensor, mask: Tensor, depth_code: Tensor | None = None, static: Tensor | None = None
    ) -> Tensor:
        """Predict.

        Args:
            tokens: float32 [B, T, token_width], padded.
            mask: bool [B, T], true where a token is.
            depth_code: float32 [B, token_width], the coded node count; with ``depth_token`` only.
            static: float32 [B, static_width]; with ``static_width`` only.

        Returns:
            [B, T] for ``kernels`` (values at padding mean nothing), [B] for ``network``.
        """
        if self.config.output == "kernels":  # the paper's tokens are sines and cosines, and stay as they are
            tokens = self._with_topology(((tokens - self.mean) / self.scale).clamp(-FARTHEST, FARTHEST))
        x = embedded = self.embed(tokens)  # [B, T, D]
        if self.depth is not None and depth_code is not None:
            x = torch.cat([x, F.relu(self.depth(depth_code))[:, None]], dim=1)
            mask = F.pad(mask, (0, 1), value=True)
        keep = _attended(mask)
        for block in self.blocks:
            x = block(x, keep)
        if self.config.output == "kernels":
            whole = [] if self.config.pooling == "none" else [self._pool(x, mask, keep)[:, None].expand_as(x)]
            out: Tensor = self.head(torch.cat([embedded, x, *whole], dim=-1))
            return out[..., 0]
        vector = self._pool(x, mask, keep)  # [B, D]
        if static is not None:
            vector = torch.cat([static, vector], dim=-1)
        out = self.head(vector)
        return out[:, 0]

    def trained(self) -> TrainedNarFormer:
        """The network as it is now, to predict with."""
        return TrainedNarFormer(self.config, {name: value.numpy().copy() for name, value in self.state_dict().items()})

    def _with_topology(self, tokens: Tensor) -> Tensor:
        """[B, T, token_width] -> [B, T, width of the embedding's input]."""
        coded = self.config.topology_width
        if self.config.topology == "concat" or not coded:
            return tokens
        rest, code = tokens[..., :-coded], tokens[..., -coded:]
        if self.config.topology == "none":
            return rest
        return torch.cat([rest[..., :coded] + code, rest[..., coded:]], dim=-1)

    def _pool(self, x: Tensor, mask: Tensor, keep: Tensor | None) -> Tensor:
        """[B, T, D] -> [B, D]; ``keep`` is ``mask`` as attention takes it."""
        if self.config.pooling == "mean":
            weight = mask[..., None].to(x.dtype)
            mean: Tensor = (x * weight).sum(dim=1) / weight.sum(dim=1)
            return mean
        fused, fused_mask = x, keep
        for stage in self.stages:
            fused, fused_mask = stage(fused, fused_mask, x, keep), None
        return fused[:, 0]


def _attended(mask: Tensor) -> Tensor | None:
    """Which tokens attention may look at; None for all."""
    return None if bool(mask.all()) else mask


def _tapering_head(width: int) -> nn.Sequential:
    """d, d/2, d/4, d/8, 1 with ReLU between and no activation at the end."""
    widths = [width, width // 2, width // 4, width // 8]
    layers: list[nn.Module] = []
    for entering, leaving in pairwise(widths):
        layers += [Linear(entering, leaving), nn.ReLU()]
    return nn.Sequential(*layers, Linear(widths[-1], 1))
