"""NarFormerConfig: the sizes of a NAR-Former, and which of its parts it has."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["FARTHEST", "NarFormerConfig"]

# No network of narcost's comes near these; a config out of a corrupt file may.
_WIDEST = 4096
_DEEPEST = 64

FARTHEST = 8.0
"""Deviations from a column's mean that a token may be; what is farther counts as that."""


@dataclass(frozen=True)
class NarFormerConfig:
    """Sizes of a NAR-Former.

    Attributes:
        output: ``kernels`` gives a value a token, ``network`` one value a network.
        token_width: width of a token as encoded.
        model_width: width of the transformer; tokens are projected to it where it differs.
        static_width: width of the static feature that joins the fused vector; 0 for none.
        encoder_blocks: standard blocks over the tokens.
        fusion_queries: learned queries of each fusion stage, the last one 1.
        feed_forward_ratio: hidden width of the feed-forward network over the model width.
        dropout: of what attention and feed-forward add to the residual stream.
        depth_token: append ReLU(Linear(depth code)) as the last token (paper, equation 9).
        topology_width: columns at the end of a token that code where it and its sources stand; 0 for none.
        topology: what becomes of them: ``concat`` embeds them with the rest, ``add`` adds them to the first columns
            of the token before it is embedded, as positional encodings are, ``none`` leaves them out.
        pooling: what stands for the whole network beside each token: ``fusion`` in stages, ``mean`` of the tokens
            after the encoder, ``none``; for the output ``kernels``.
    """

    output: Literal["kernels", "network"]
    token_width: int
    model_width: int
    heads: int
    encoder_blocks: int
    fusion_queries: tuple[int, ...] = (4, 2, 1)
    feed_forward_ratio: int = 4
    dropout: float = 0.1
    static_width: int = 0
    depth_token: bool = False
    topology_width: int = 0
    topology: Literal["concat", "add", "none"] = "concat"
    pooling: Literal["fusion", "mean", "none"] = "fusion"

    @property
    def seen_columns(self) -> int:
        """The first columns of a token; all others have no part in what comes out."""
        return self.token_width - (self.topology_width if self.topology == "none" else 0)

    def __post_init__(self) -> None:
        if self.output not in ("kernels", "network"):
            raise ValueError(f"output {self.output!r}, expected 'kernels' or 'network'")
        self._check_topology()
        self._check_sizes()

    def _check_topology(self) -> None:
        poolings = ("fusion", "mean", "none") if self.output == "kernels" else ("fusion",)
        if self.topology not in ("concat", "add", "none") or self.pooling not in poolings:
            raise ValueError(
                f"topology {self.topology!r} and pooling {self.pooling!r}, expected concat, add or none, and "
                f"{' or '.join(poolings)}"
            )
        if not 0 <= 2 * self.topology_width <= self.token_width:
            raise ValueError(f"topology_width {self.topology_width}, expected from 0 to half of {self.token_width}")

    def _check_sizes(self) -> None:
        limits = {
            "token_width": _WIDEST,
            "model_width": _WIDEST,
            "heads": _WIDEST,
            "encoder_blocks": _DEEPEST,
            "feed_forward_ratio": _DEEPEST,
        }
        wrong = [
            f"{name} {getattr(self, name)}" for name, most in limits.items() if not 1 <= getattr(self, name) <= most
        ]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: expected from 1 to {limits}")
        if self.model_width % self.heads:
            raise ValueError(f"model_width {self.model_width}, expected a multiple of heads {self.heads}")
        if not (isinstance(self.dropout, int | float) and 0 <= self.dropout < 1):
            raise ValueError(f"dropout {self.dropout!r}, expected a share from 0 to below 1")
        queries = self.fusion_queries
        if not 1 <= len(queries) <= _DEEPEST or not 1 <= min(queries) <= max(queries) <= _DEEPEST or queries[-1] != 1:
            raise ValueError(
                f"fusion_queries {queries[:8]}, expected up to {_DEEPEST} stages, the last one with 1 query"
            )
