"""The probe: plausible orders of magnitude on a short setting, pinned and set free again, honest errors."""

import builtins
import os
from typing import Any

import pytest

from hardware_profiles import HardwareProfile, ProfileError, load_profile, profile_to_toml
from hardware_profiles.document import profile_from_toml
from hardware_profiles.probe import allowed_cores
from tvm_narcost.errors import MeasurementError, RuntimeMissingError
from tvm_narcost.measure.probe import UNSTEADY, probe

FAST_S = 0.01


@pytest.fixture(scope="module")
def probed() -> HardwareProfile:
    return probe("onnxruntime", 1, "box", budget_s=FAST_S, cores=allowed_cores()[:1])


def test_peaks_are_of_the_right_order(probed: HardwareProfile) -> None:
    peak = dict(probed.device.peak_gflops)
    assert 1 < peak["float32"] < 10_000
    assert peak["float64"] < peak["float32"] * 1.2  # half as many lanes; a shared machine may slow either
    assert peak["int8"] > 1


def test_nearer_memory_is_no_slower(probed: HardwareProfile) -> None:
    bandwidth = dict(probed.device.bandwidth_gb_s)
    levels = [bandwidth[level] for level in ("l1", "l2", "l3", "memory") if level in bandwidth]
    assert levels == sorted(levels, reverse=True)
    assert 0.1 < bandwidth["memory"] < bandwidth["l1"] < 10_000


def test_a_call_takes_microseconds(probed: HardwareProfile) -> None:
    assert 0.1 < probed.device.call_overhead_us < 1000


def test_what_was_probed_is_a_profile_that_the_loader_takes(probed: HardwareProfile) -> None:
    assert probed.id == "box.onnxruntime"
    assert profile_from_toml(profile_to_toml(probed), source="probe") == probed


def test_threads_are_in_the_id_and_the_affinity_is_restored() -> None:
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("one core only")
    profile = probe("onnxruntime", 2, "box", budget_s=0.001, cores=allowed_cores()[1::-1], protocol=UNSTEADY)
    assert (profile.id, profile.runtime.threads, profile.protocol) == ("box.onnxruntime-2t", 2, UNSTEADY)
    assert os.sched_getaffinity(0) == before


def test_tvm_gives_its_target_a_call_overhead_and_how_the_hook_compiles() -> None:
    tvm = pytest.importorskip("tvm")
    profile = probe("tvm", 1, "box", budget_s=0.001, cores=allowed_cores()[:1])
    target = tvm.target.Target(profile.runtime.tvm_target)
    assert str(target.kind) == "llvm"
    assert profile.runtime.planner == "tvm"
    shipped = load_profile("epyc-zen5.tvm")
    assert (profile.runtime.options, profile.protocol) == (shipped.runtime.options, shipped.protocol)
    assert 0.05 < profile.device.call_overhead_us < 1000
    assert profile_from_toml(profile_to_toml(profile), source="probe") == profile


def test_openvino_gives_its_version_and_a_call_overhead() -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    profile = probe("openvino", 1, "box", budget_s=0.001, cores=allowed_cores()[:1])
    assert (profile.id, profile.runtime.planner) == ("box.openvino", "openvino")
    assert openvino.__version__.startswith(profile.runtime.version)
    assert 0.5 < profile.device.call_overhead_us < 1000
    assert profile_from_toml(profile_to_toml(profile), source="probe") == profile


def test_what_cannot_be_probed_is_said_before_measuring() -> None:
    with pytest.raises(MeasurementError, match="'tensorrt' is unknown, expected one of onnxruntime, openvino, tvm"):
        probe("tensorrt", 1)
    with pytest.raises(ProfileError, match="got 0 threads"):
        probe("onnxruntime", 0)
    with pytest.raises(ProfileError, match="got 3 threads and cores"):
        probe("onnxruntime", 3, cores=(0,))
    with pytest.raises(ProfileError, match=r"cannot pin to cores \(99999,\)"):
        probe("onnxruntime", 1, cores=(99999,))
    with pytest.raises(ProfileError, match=r"device name 'My\.Box': expected lower-case"):
        probe("onnxruntime", 1, "My.Box")


def test_a_missing_onnxruntime_is_told_how_to_get(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_onnxruntime(name: str, *args: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return real_import(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_onnxruntime)
    before = os.sched_getaffinity(0)
    with pytest.raises(RuntimeMissingError, match="pip install onnxruntime"):
        probe("onnxruntime", 1, budget_s=0.001, cores=allowed_cores()[:1])
    assert os.sched_getaffinity(0) == before
