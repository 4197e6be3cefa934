"""One thread, and an artifact of small untrained networks."""

from pathlib import Path

import pytest
import torch

from tests.models.untrained import untrained_narformer
from tvm_narcost.models.narformer_latency import NarFormerLatency


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def narformer() -> NarFormerLatency:
    return untrained_narformer()


@pytest.fixture
def folder(narformer: NarFormerLatency, tmp_path: Path) -> Path:
    """The artifact on disk, for a test to spoil."""
    narformer.save(tmp_path / "artifact")
    return tmp_path / "artifact"
