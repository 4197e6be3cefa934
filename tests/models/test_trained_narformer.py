"""A trained NAR-Former says in ONNX Runtime what it says in torch."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.models.narformer_config import NarFormerConfig

WEIGHT = np.array([[1, 1, 1, 1, 1, 1, 1], [2, 1, 3, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]], np.float32)
TOKENS = np.random.default_rng(0).normal(1, 9, (*WEIGHT.shape, 20)).astype(np.float32)  # some beyond what counts


def network(**options: Any) -> NarFormer:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"token_width": 20, "model_width": 16, "heads": 2, "encoder_blocks": 2, "topology_width": 4}
    built = NarFormer(NarFormerConfig(output="kernels", **{**sizes, **options})).eval()
    built.standardise(3 * torch.randn(100, built.config.token_width) + 1)
    return built


def largest_difference(built: NarFormer) -> float:
    found = built.trained().predict(TOKENS, WEIGHT)
    differences = []
    for tokens, weight, own in zip(TOKENS, WEIGHT.astype(int), found, strict=True):
        every = torch.from_numpy(np.repeat(tokens, weight, axis=0))[None]  # each as often as it stands for itself
        with torch.inference_mode():
            expected = built(every, torch.ones(every.shape[:2], dtype=torch.bool))[0].numpy()
        assert len(expected) == 1 or np.ptp(expected) > 0.1
        differences.append(np.abs(np.repeat(own, weight) - expected).max())
    return float(max(differences))


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


@pytest.mark.parametrize("pooling", ["fusion", "mean", "none"])
def test_weights_are_those_of_the_config(pooling: str) -> None:
    trained = network(pooling=pooling).trained()
    for name, value in trained.weights.items():
        for wrong in ({**trained.weights, name: value[:-1]}, {**trained.weights, "colour": value}):
            with pytest.raises(ValueError, match=r"shape .*, expected"):
                dataclasses.replace(trained, weights=wrong)
        with pytest.raises(ValueError, match=f"{name}: shape None, expected"):
            dataclasses.replace(trained, weights={key: kept for key, kept in trained.weights.items() if key != name})


def test_it_keeps_what_it_was() -> None:
    built = network()
    trained = built.trained()
    before = trained.predict(TOKENS, WEIGHT)
    with torch.no_grad():
        for weight in built.parameters():
            weight.zero_()
    assert np.array_equal(dataclasses.replace(trained).predict(TOKENS, WEIGHT), before, equal_nan=True)


def test_memory_grows_with_the_network_and_not_with_its_square() -> None:
    """All pairs of 12,000 kernels would be 1,152 MB for two heads."""
    program = """
import resource, numpy as np
from tests.models.test_trained_narformer import network
trained = network(encoder_blocks=1).trained()
run = lambda kernels: trained.predict(np.ones((1, kernels, 20), np.float32), np.ones((1, kernels), np.float32))
run(10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(12_000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100


@pytest.mark.parametrize("options", [{"static_width": 3}, {"depth_token": True}, {"output": "network"}], ids=str)
def test_other_networks_are_refused(options: dict[str, Any]) -> None:
    config = NarFormerConfig(**{"output": "kernels", "token_width": 16, "model_width": 16, "heads": 2,
                                "encoder_blocks": 1, **options})  # fmt: skip
    with pytest.raises(ValueError, match="expected output 'kernels'"):
        NarFormer(config).trained()
