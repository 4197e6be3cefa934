"""Pinning: the last allowed cores, and the former affinity afterwards."""

import os
import sys

import pytest

from tvm_narcost.measure.pinning import allowed_cores, pinned


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """A machine with cores 2 to 5; the list of what was set, the newest last."""
    history: list[tuple[int, ...]] = [(2, 3, 4, 5)]
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(history[-1]), raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: history.append(tuple(cores)), raising=False)
    return history


def test_pins_to_the_last_cores_and_restores(affinity: list[tuple[int, ...]]) -> None:
    with pinned(2) as cores:
        assert cores == (4, 5) == allowed_cores()
    assert affinity == [(2, 3, 4, 5), (4, 5), (2, 3, 4, 5)]


def test_restores_after_an_error(affinity: list[tuple[int, ...]]) -> None:
    with pytest.raises(KeyError), pinned(1):
        raise KeyError
    assert affinity[-1] == (2, 3, 4, 5)


@pytest.mark.parametrize("threads", [5, 0])
def test_too_few_cores_leaves_it_unpinned(affinity: list[tuple[int, ...]], threads: int) -> None:
    with pinned(threads) as cores:
        assert cores == ()
    assert len(affinity) == 1


def test_other_systems_stay_unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "sched_setaffinity", None, raising=False)
    with pinned(1) as cores:
        assert cores == () == allowed_cores()


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_the_real_affinity_comes_back() -> None:
    before = os.sched_getaffinity(0)
    with pinned(len(before)) as cores:
        assert set(cores) == before
    assert os.sched_getaffinity(0) == before
