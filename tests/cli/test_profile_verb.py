"""narcost profile: what it says of a machine that was now fast, now slow."""

from pathlib import Path

import pytest

from tvm_narcost.cli.main import main
from tvm_narcost.cli.options import DEFAULT_PROFILE
from tvm_narcost.measure.collect import CollectReport


@pytest.mark.parametrize(("slow_us", "is_told"), [(110.0, False), (205.4, True)])
def test_an_unsteady_machine(
    slow_us: float,
    is_told: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = CollectReport(stable=20, references_us=[100.0, slow_us] * 10)
    monkeypatch.setattr("tvm_narcost.measure.collect.collect", lambda *_arguments, **_options: report)
    monkeypatch.setattr("tvm_narcost.measure.device.require_device", lambda _profile: None)
    assert main(["profile", "--zoo", "vgg", "--database", str(tmp_path / "latency.sqlite")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"profile {DEFAULT_PROFILE}: 20 stable")
    told = [
        line for line in lines if line.startswith("this machine is not steady: the same reference kernel took 100 us")
    ]
    assert ["205 us beside others" in line for line in told] == [True] * is_told
    assert ["--unsteady" in line for line in told] == [True] * is_told


def test_an_unsteady_machine_whose_profile_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = CollectReport(stable=20, references_us=[100.0, 205.4] * 10)
    monkeypatch.setattr("tvm_narcost.measure.collect.collect", lambda *_arguments, **_options: report)
    monkeypatch.setattr("tvm_narcost.measure.device.require_device", lambda _profile: None)
    words = ["--profile", "xeon-emeraldrapids.onnxruntime", "--database", str(tmp_path / "latency.sqlite")]
    assert main(["profile", "--zoo", "vgg", *words]) == 0
    told = capsys.readouterr().out
    assert "205 us beside others" in told
    assert "--unsteady" not in told
