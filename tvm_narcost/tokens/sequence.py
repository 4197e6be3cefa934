"""TokenSequence: a network as float32 tokens of one schema."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TokenBatch", "TokenSequence", "pad_tokens"]


@dataclass(frozen=True)
class TokenSequence:
    """Tokens of one network.

    Attributes:
        values: float32 [tokens, width].
        schema: name of the schema that encoded them.
        version: its version; models refuse another.
    """

    values: NDArray[np.float32]
    schema: str
    version: int


@dataclass(frozen=True)
class TokenBatch:
    """Sequences of several networks, padded to the longest.

    Attributes:
        values: float32 [networks, tokens, width], zeros where padded.
        mask: bool [networks, tokens], true where a token is.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]


def pad_tokens(sequences: Sequence[NDArray[np.float32]]) -> TokenBatch:
    """Pad [tokens, width] arrays of one width to a batch."""
    longest = max(len(values) for values in sequences)
    width = sequences[0].shape[1]
    padded = np.zeros((len(sequences), longest, width), np.float32)
    mask = np.zeros((len(sequences), longest), np.bool_)
    for row, values in enumerate(sequences):
        padded[row, : len(values)] = values
        mask[row, : len(values)] = True
    return TokenBatch(padded, mask)
