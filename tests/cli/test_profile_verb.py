"""narcost profile: what it says of a machine that was now fast, now slow."""

from pathlib import Path

import pytest

from tvm_narcost.cli.main import main
from tvm_narcost.cli.options import DEFAULT_PROFILE
from tvm_narcost.measure.collect import CollectReport


@pytest.mark.parametrize(
    ("profile", "slow_us", "is_told", "is_advised"),
    [
        (DEFAULT_PROFILE, 110.0, False, False),
        (DEFAULT_PROFILE, 205.4, True, True),
        ("xeon-emeraldrapids.onnxruntime", 205.4, True, False),  # was made for such a machine
    ],
)
def test_an_unsteady_machine(
    profile: str,
    slow_us: float,
    is_told: bool,
    is_advised: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = CollectReport(stable=20, references_us=[100.0, slow_us] * 10)
    monkeypatch.setattr("tvm_narcost.measure.collect.collect", lambda *_arguments, **_options: report)
    monkeypatch.setattr("tvm_narcost.measure.device.require_device", lambda _profile: None)
    words = ["--zoo", "vgg", "--profile", profile, "--database", str(tmp_path / "latency.sqlite")]
    assert main(["profile", *words]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].startswith(f"profile {profile}: 20 stable")
    told = [
        line for line in lines if line.startswith("this machine is not steady: the same reference kernel took 100 us")
    ]
    assert ["205 us beside others" in line for line in told] == [True] * is_told
    assert ("--unsteady" in out) == is_advised
