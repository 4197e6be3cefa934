"""A NAR-Former in ONNX Runtime says what it says in torch."""

from typing import Any

import numpy as np
import pytest
import torch

from tvm_narcost.models.narformer import NarFormer, NarFormerConfig
from tvm_narcost.models.narformer_session import NarFormerSession

WEIGHT = np.array([[1, 1, 1, 1, 1, 1, 1], [2, 1, 3, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0, 0]], np.float32)


def network(**options: Any) -> NarFormer:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"token_width": 20, "model_width": 16, "heads": 2, "encoder_blocks": 2, "topology_width": 4}
    built = NarFormer(NarFormerConfig(output="kernels", **{**sizes, **options})).eval()
    built.standardise(3 * torch.randn(100, built.config.token_width) + 1)
    return built


def largest_difference(built: NarFormer) -> float:
    tokens = np.random.default_rng(0).normal(1, 9, (*WEIGHT.shape, 20)).astype(np.float32)  # some beyond what counts
    with torch.inference_mode():
        expected = built(torch.from_numpy(tokens), torch.from_numpy(WEIGHT)).numpy()
    assert np.ptp(expected[WEIGHT > 0]) > 0.1
    return float(np.abs(NarFormerSession(built).predict(tokens, WEIGHT) - expected)[WEIGHT > 0].max())


@pytest.mark.parametrize("topology", ["concat", "add", "none"])
@pytest.mark.parametrize("pooling", ["fusion", "mean", "none"])
def test_it_says_what_the_network_says(topology: str, pooling: str) -> None:
    assert largest_difference(network(topology=topology, pooling=pooling)) < 1e-5


@pytest.mark.parametrize(
    "options",
    [
        {"heads": 4, "model_width": 32, "feed_forward_ratio": 2},
        {"encoder_blocks": 1, "fusion_queries": (1,)},
        {"encoder_blocks": 3, "fusion_queries": (8, 3, 2, 1)},
        {"topology_width": 0},
    ],
    ids=str,
)
def test_of_any_size(options: dict[str, Any]) -> None:
    assert largest_difference(network(**options)) < 1e-5


def test_dropout_is_for_training() -> None:
    assert largest_difference(network(dropout=0.5)) < 1e-5


def test_as_many_threads_as_torch_has() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        session = NarFormerSession(network())
    finally:
        torch.set_num_threads(before)
    assert session._session.get_session_options().intra_op_num_threads == 3
