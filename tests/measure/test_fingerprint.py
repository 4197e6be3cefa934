"""The fingerprint: complete, sorted, plain text, whatever the machine."""

import json
import os
from dataclasses import replace

import pytest

from hardware_profiles import DeviceFacts, HardwareProfile, MeasurementProtocol, RuntimeFacts
from tvm_narcost.measure import fingerprint as module
from tvm_narcost.measure.fingerprint import fingerprint

PROFILE = HardwareProfile(
    id="test.onnxruntime",
    device=DeviceFacts("test", "any", (), 1, 32, 32768, 1 << 20, 1 << 22, (), (), 0.0),
    runtime=RuntimeFacts("onnxruntime", "any", 2, "onnxruntime"),
    protocol=MeasurementProtocol(),
)
X86 = "processor: 0\nmodel name\t: Some CPU\ncpu family: 26\nmodel: 2\nstepping: 1\nflags: fpu avx2 fma\n"
ARM = "processor: 0\nFeatures: fp asimd sve\n"


def test_versions_and_system() -> None:
    facts = dict(fingerprint(PROFILE))
    assert list(facts) == sorted(facts)
    assert facts["onnxruntime"].count(".") == 2
    assert facts["kernel"].split()[0] in ("Linux", "Darwin")
    assert len(facts["load_average"].split()) == 3
    json.dumps(facts)


def test_tvm_is_named_after_its_distribution() -> None:
    facts = dict(fingerprint(replace(PROFILE, runtime=replace(PROFILE.runtime, name="tvm"))))
    assert "tvm" in facts and "onnxruntime" not in facts


@pytest.mark.parametrize(
    ("cpuinfo", "model", "isa"), [(X86, "Some CPU", "fma avx2"), (ARM, None, "asimd sve"), ("", None, "unknown")]
)
def test_cpu_facts(monkeypatch: pytest.MonkeyPatch, cpuinfo: str, model: str | None, isa: str) -> None:
    monkeypatch.setattr(module, "_read_text", lambda path: cpuinfo if path == "/proc/cpuinfo" else "")
    facts = dict(fingerprint(PROFILE))
    assert facts["isa"] == isa
    assert model is None or facts["cpu_model"] == model
    assert facts["governor"] == "unknown"
    assert len(facts["flags_digest"]) == (16 if cpuinfo else len("unknown"))


def test_pinned_only_when_there_are_as_many_cores_as_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "allowed_cores", lambda: (2, 3))
    assert dict(fingerprint(PROFILE))["pinned_cores"] == "2,3"
    monkeypatch.setattr(module, "allowed_cores", lambda: (0, 1, 2, 3))
    assert dict(fingerprint(PROFILE))["pinned_cores"] == "unpinned"


def test_system_without_load_average(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getloadavg")
    assert dict(fingerprint(PROFILE))["load_average"] == "unknown"
