"""One thread, and an artifact of small untrained networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.analytic import PROFILE, examples
from tvm_narcost.models.artifact import FORMAT_VERSION, ArtifactFacts
from tvm_narcost.models.narformer import NarFormer, NarFormerConfig
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.tokens import default

SMALL = NarFormerConfig(output="kernels", token_width=default.WIDTH, model_width=8, heads=2, encoder_blocks=1)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def narformer() -> NarFormerLatency:
    """Two members that know the operators and the sizes of the families plain and separable."""
    tokens = np.concatenate([example.tokens for example in examples(("plain", "separable"), 10)])
    torch.manual_seed(0)
    networks = tuple(NarFormer(SMALL).eval() for _ in range(2))
    for network in networks:
        network.standardise(torch.from_numpy(tokens))
    facts = ArtifactFacts(
        format_version=FORMAT_VERSION,
        kind="narformer",
        schema=default.NAME,
        schema_version=default.VERSION,
        profile=PROFILE.id,
        config=NarFormerLatency.config_facts(SMALL, 2),
        dataset={"digest": "0" * 64, "networks": 20},
        metrics={"families_held_out_mape": 5.0},
        interval_log_ratio=0.2,
        operators_seen=("Conv", "Relu"),
        token_limits=(tuple(map(float, tokens.min(axis=0))), tuple(map(float, tokens.max(axis=0)))),
        command="narcost train",
        narcost_version="0",
        created="2026-01-01T00:00:00+00:00",
    )
    return NarFormerLatency(networks, facts)


@pytest.fixture
def folder(narformer: NarFormerLatency, tmp_path: Path) -> Path:
    """The artifact on disk, for a test to spoil."""
    narformer.save(tmp_path / "artifact")
    return tmp_path / "artifact"
