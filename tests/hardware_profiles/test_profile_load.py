"""Finding a profile: by shipped id, in the user's folder, by path; and refusing what is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hardware_profiles
from hardware_profiles import ProfileError, list_profiles, load_profile, profile_to_toml
from hardware_profiles.load import user_profile_dir

SHIPPED = "epyc-zen5.onnxruntime"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "profiles"
    folder.mkdir()
    monkeypatch.setenv("NARCOST_PROFILES", str(folder))
    return folder


def mine(name: str = "mine") -> str:
    return profile_to_toml(load_profile(SHIPPED)).replace("epyc-zen5", name)


def test_a_profile_of_the_users_folder_is_found_and_listed(own_folder: Path) -> None:
    (own_folder / "mine.onnxruntime.toml").write_text(mine())
    (own_folder / "notes.txt").write_text("no profile")
    assert load_profile("mine.onnxruntime").device.name == "mine"
    shipped = set(list_profiles()) - {"mine.onnxruntime"}
    assert "notes" not in shipped and "epyc-zen5.onnxruntime" in shipped
    assert list_profiles() == tuple(sorted(list_profiles()))


def test_without_the_variable_the_folder_is_the_configuration_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NARCOST_PROFILES")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert user_profile_dir() == Path("/somewhere/narcost/profiles")


def test_no_folder_is_no_error(own_folder: Path) -> None:
    own_folder.rmdir()
    assert SHIPPED in list_profiles()


def test_a_path_is_loaded_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = tmp_path / "laptop.toml"
    path.write_text(mine("laptop"))
    assert load_profile(str(path)).id == "laptop.onnxruntime"


def test_an_unknown_id_is_told_the_known_ones_and_the_next_step() -> None:
    with pytest.raises(ProfileError, match=r"'epyc-zen9\.tvm': unknown; known ids: .*narcost profiles probe") as caught:
        load_profile("epyc-zen9.tvm")
    for profile_id in list_profiles():
        assert profile_id in str(caught.value)


@pytest.mark.parametrize(
    "hostile",
    ["../secret", "..", ".", "", "/etc/passwd", "a/b.tvm", "a\\b.tvm", "a..b", ".hidden", "a\0b", "a\n", "x" * 5000],
)
def test_an_id_that_could_leave_the_folder_is_refused(hostile: str, own_folder: Path) -> None:
    (own_folder.parent / "secret.toml").write_text(mine())
    with pytest.raises(ProfileError) as caught:
        load_profile(hostile)
    assert len(str(caught.value)) < 1000


def test_an_id_both_shipped_and_own_is_ambiguous(own_folder: Path) -> None:
    (own_folder / f"{SHIPPED}.toml").write_text(profile_to_toml(load_profile(SHIPPED)))
    with pytest.raises(ProfileError, match="shipped, and also .*rename your own"):
        load_profile(SHIPPED)


def test_a_file_whose_id_is_not_its_name_is_refused(own_folder: Path) -> None:
    (own_folder / "other.onnxruntime.toml").write_text(mine())
    with pytest.raises(ProfileError, match=r"its id is 'mine\.onnxruntime', expected 'other\.onnxruntime'"):
        load_profile("other.onnxruntime")


def test_files_that_are_no_profile(tmp_path: Path) -> None:
    large, binary, cut = (tmp_path / f"{name}.toml" for name in ("large", "binary", "cut"))
    large.write_text(mine() + "#" * 70_000)
    binary.write_bytes(b"\xff\xfe\x00id")
    cut.write_text(mine()[:300])
    for path, expected in ((large, "more than 65536 bytes"), (binary, "not UTF-8"), (cut, "not TOML|is missing")):
        with pytest.raises(ProfileError, match=expected):
            load_profile(str(path))


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")  # reading it would wait for ever
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    for name in ("pipe.toml", "folder.toml", "loop.toml", "missing.toml", "a\0b.toml", "x" * 300 + ".toml"):
        with pytest.raises(ProfileError):
            load_profile(str(tmp_path / name))


def test_the_public_names_exist_and_nothing_heavy_is_imported() -> None:
    assert all(hasattr(hardware_profiles, name) for name in hardware_profiles.__all__)
    code = (
        "import sys, hardware_profiles as h; h.load_profile(h.list_profiles()[0]); "
        "print([m for m in ('numpy', 'torch', 'onnx', 'onnxruntime', 'tvm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
