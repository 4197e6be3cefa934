"""TrainedNarFormer: what training leaves of a NAR-Former, evaluated by ONNX Runtime.

torch spends more time between the operators of so small a network than in them, and takes seconds to import.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.models.narformer_config import FARTHEST, NarFormerConfig
from tvm_narcost.models.narformer_graph import OPSETS, narformer_graph
from tvm_narcost.models.session import new_session

__all__ = ["STANDARD", "TrainedNarFormer"]

STANDARD = ("mean", "scale")
"""What tokens are standardised with: weights that are not learned."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class TrainedNarFormer:
    """A NAR-Former of output ``kernels``.

    Attributes:
        config: of the network.
        weights: float32, by the names that they have in :class:`~tvm_narcost.models.narformer.NarFormer`.

    Raises:
        ValueError: another output, or weights that are not those of the config.
    """

    config: NarFormerConfig
    weights: Mapping[str, NDArray[np.float32]]

    def __post_init__(self) -> None:
        if self.config.output != "kernels" or self.config.depth_token or self.config.static_width:
            raise ValueError(f"{self.config}: expected output 'kernels' and neither depth token nor static feature")
        expected, found = _shapes(self.config), {name: value.shape for name, value in self.weights.items()}
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        if wrong:
            name = wrong[0]
            raise ValueError(f"{name}: shape {found.get(name)}, expected {expected.get(name)}")
        if not (self.weights["scale"] > 0).all():
            raise ValueError("scale is not positive")

    def predict(self, tokens: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """What :meth:`NarFormer.forward` gives each of the tokens.

        Args:
            tokens: float32 [B, T, token_width], padded.
            weight: float32 [B, T], how many equal tokens each one stands for, 0 where none is.

        Returns:
            float32 [B, T]; values at padding mean nothing.
        """
        found: NDArray[np.float32] = self._session.run(None, {"tokens": tokens, "weight": weight})[0]
        return found

    @cached_property
    def _session(self) -> Any:
        return new_session(narformer_graph(self.config, self.weights), *OPSETS)

    def stored(self) -> dict[str, NDArray[np.floating]]:
        """The weights as an artifact keeps them: what was learned in half precision."""
        return {name: value if name in STANDARD else value.astype(np.float16) for name, value in self.weights.items()}

    def as_stored(self) -> Self:
        """The network as its artifact will give it back."""
        return replace(self, weights={name: value.astype(np.float32) for name, value in self.stored().items()})

    def with_known_columns(self, first: int, values: NDArray[np.float32]) -> Self:
        """The same network over tokens without some columns, whose values are known.

        What they give to the embedding is the same for every token, and becomes part of its bias.

        Args:
            first: the first of the columns, before those that code topology.
            values: float32 [columns].

        Raises:
            ValueError: the network adds topology to its tokens before they are embedded.
        """
        if self.config.topology == "add":
            raise ValueError(f"topology {self.config.topology!r}, expected tokens that are embedded column by column")
        known = slice(first, first + len(values))
        weights = dict(self.weights)
        told = ((values - weights["mean"][known]) / weights["scale"][known]).clip(-FARTHEST, FARTHEST)
        weights["embed.bias"] = weights["embed.bias"] + weights["embed.weight"][:, known] @ told
        for name in (*STANDARD, "embed.weight"):
            weights[name] = np.delete(weights[name], known, axis=-1)
        config = replace(self.config, token_width=self.config.token_width - len(values))
        return replace(self, config=config, weights=weights)


def _shapes(config: NarFormerConfig) -> Shapes:
    """Of every weight of a network of output ``kernels``."""
    width = config.model_width
    coded = 0 if config.topology == "concat" else config.topology_width
    shapes: Shapes = {name: (config.token_width,) for name in STANDARD}
    shapes |= _linear("embed", config.token_width - coded, width)
    for index in range(config.encoder_blocks):
        shapes |= _block(f"blocks.{index}", config)
    for index, queries in enumerate(config.fusion_queries if config.pooling == "fusion" else ()):
        shapes[f"stages.{index}.queries"] = (1, queries, width)
        for part in ("aggregate", "standard", "fuse"):
            shapes |= _block(f"stages.{index}.{part}", config)
    parts = 2 if config.pooling == "none" else 3
    return shapes | _linear("head.0", parts * width, width) | _linear("head.2", width, 1)


def _block(name: str, config: NarFormerConfig) -> Shapes:
    width, hidden = config.model_width, config.feed_forward_ratio * config.model_width
    shapes: Shapes = {}
    for norm in ("query_norm", "memory_norm", "feed_forward.0"):
        shapes |= {f"{name}.{norm}.weight": (width,), f"{name}.{norm}.bias": (width,)}
    for part, leaving in (("query", width), ("key_value", 2 * width), ("out", width)):
        shapes |= _linear(f"{name}.attention.{part}", width, leaving)
    return shapes | _linear(f"{name}.feed_forward.1", width, hidden) | _linear(f"{name}.feed_forward.3", hidden, width)


def _linear(name: str, entering: int, leaving: int) -> Shapes:
    return {f"{name}.weight": (leaving, entering), f"{name}.bias": (leaving,)}
