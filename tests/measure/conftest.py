"""What tests of the runtimes share."""

import os
from collections.abc import Iterator

import pytest

from tvm_narcost.measure import pinning


@pytest.fixture
def first_core(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tests leave the last core to whoever measures in earnest."""
    cores = pinning.allowed_cores()
    monkeypatch.setattr(pinning, "allowed_cores", lambda: cores[:1])
    yield
    if cores:
        os.sched_setaffinity(0, cores)
