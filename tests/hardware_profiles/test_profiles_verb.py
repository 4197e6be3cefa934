"""``narcost profiles``: what list, show and probe print and write."""

import argparse
import json
import stat
from pathlib import Path

import pytest

from hardware_profiles import (
    HardwareProfile,
    MeasurementProtocol,
    ProfileError,
    list_profiles,
    load_profile,
    profile_to_toml,
)
from tvm_narcost.cli import profiles
from tvm_narcost.errors import NarcostError
from tvm_narcost.measure.probe import UNSTEADY

SHIPPED = "epyc-zen5.onnxruntime"


def narcost_profiles(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="narcost profiles")
    profiles.add_arguments(parser)
    return profiles.run(parser.parse_args(words))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARCOST_PROFILES", str(tmp_path / "none"))


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Instead of measuring: remember what was asked for, and give a shipped profile."""
    calls: list[tuple[object, ...]] = []

    def fake(
        runtime: str, threads: int, name: str, *, cores: tuple[int, ...] | None, protocol: MeasurementProtocol | None
    ) -> HardwareProfile:
        calls.append((runtime, threads, name, cores, protocol))
        return load_profile(SHIPPED)

    monkeypatch.setattr("tvm_narcost.measure.probe.probe", fake)
    return calls


def test_list_is_an_aligned_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert narcost_profiles("list") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == list(list_profiles())
    assert len({len(row) for row in (header, *rows)}) == 1  # numbers end in one column
    assert all(row[header.index("RUNTIME") - 1] == " " != row[header.index("RUNTIME")] for row in rows)
    device = load_profile(SHIPPED).device
    (shipped,) = (row for row in rows if row.split()[0] == SHIPPED)
    assert shipped.split()[1:] == ["onnxruntime", load_profile(SHIPPED).runtime.version, "1", str(device.cores),
                                   f"{dict(device.peak_gflops)['float32']:.1f}"]  # fmt: skip


def test_list_and_show_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    narcost_profiles("list", "--json")
    listed = json.loads(capsys.readouterr().out)
    narcost_profiles("show", SHIPPED, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert [profile["id"] for profile in listed] == list(list_profiles())
    assert shown in listed
    assert shown["device"]["peak_gflops"] == dict(load_profile(SHIPPED).device.peak_gflops)


def test_show_prints_what_can_be_loaded_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    narcost_profiles("show", SHIPPED)
    copy = tmp_path / "copy.toml"
    copy.write_text(capsys.readouterr().out)
    assert load_profile(str(copy)) == load_profile(SHIPPED)


def test_probe_writes_a_loadable_file_that_says_where_it_comes_from(
    tmp_path: Path, probed: list[tuple[object, ...]]
) -> None:
    out = tmp_path / "mine.toml"
    words = ["--runtime", "tvm", "--threads", "2", "--name", "my-box", "--cores", "1,0", "--unsteady"]
    assert narcost_profiles("probe", "--out", str(out), *words) == 0
    assert probed == [("tvm", 2, "my-box", (1, 0), UNSTEADY)]
    assert load_profile(str(out)) == load_profile(SHIPPED)
    assert out.read_text().startswith(
        "# Made by `narcost profiles probe --runtime tvm --threads 2 --name my-box --cores 1,0 --unsteady "
        "--out mine.toml` on 2"
    )
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_probe_overwrites_with_force_only(tmp_path: Path, probed: list[tuple[object, ...]]) -> None:
    out = tmp_path / "mine.toml"
    out.write_text("precious")
    with pytest.raises(NarcostError, match=r"exists already, .* --force"):
        narcost_profiles("probe", "--out", str(out))
    assert (out.read_text(), probed) == ("precious", [])
    assert narcost_profiles("probe", "--out", str(out), "--force") == 0
    assert load_profile(str(out)).id == SHIPPED
    assert probed == [("onnxruntime", 1, "", None, None)]


def test_a_file_that_appears_while_probing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "mine.toml"

    def slow_probe(*_: object, **__: object) -> HardwareProfile:
        out.write_text("precious")
        return load_profile(SHIPPED)

    monkeypatch.setattr("tvm_narcost.measure.probe.probe", slow_probe)
    with pytest.raises(NarcostError, match="exists already"):
        narcost_profiles("probe", "--out", str(out))
    assert out.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    ("out", "expected"), [("mine.txt", "ends with .toml"), ("none/mine.toml", "no folder"), ("d.toml", "exists")]
)
def test_a_file_that_cannot_be_written_is_refused_before_measuring(
    out: str, expected: str, tmp_path: Path, probed: list[tuple[object, ...]]
) -> None:
    (tmp_path / "d.toml").mkdir()
    with pytest.raises((NarcostError, ProfileError), match=expected):
        narcost_profiles("probe", "--out", str(tmp_path / out), "--force")
    assert probed == []


@pytest.mark.parametrize("cores", ["", "a", "1,,2", "-1", "1;2", "²"])
def test_cores_that_are_no_numbers(cores: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        narcost_profiles("probe", "--out", str(tmp_path / "x.toml"), f"--cores={cores}")
    assert f"got {cores!r}, expected core numbers" in capsys.readouterr().err


def test_the_writer_is_what_show_prints(capsys: pytest.CaptureFixture[str]) -> None:
    narcost_profiles("show", SHIPPED)
    assert capsys.readouterr().out == profile_to_toml(load_profile(SHIPPED))
