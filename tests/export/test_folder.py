"""The folder of an export: whose it may be, and that nothing is written outside it."""

from pathlib import Path

import pytest

from tvm_narcost.errors import DatabaseError
from tvm_narcost.export.folder import MARKER, ExportFolder

IDENTITY = {"format": "nnlqp", "profile": "test.fake"}


@pytest.fixture
def folder(tmp_path: Path) -> ExportFolder:
    return ExportFolder(tmp_path / "out", IDENTITY)


def test_a_new_and_an_empty_folder_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "deep/er"):
        ExportFolder(tmp_path / name, IDENTITY)
        assert [found.name for found in (tmp_path / name).iterdir()] == [MARKER]


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(DatabaseError, match=f"holds files and no {MARKER}"):
        ExportFolder(tmp_path, IDENTITY)
    assert [found.name for found in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DatabaseError, match="is no folder"):
        ExportFolder(tmp_path / "file", IDENTITY)


def test_a_former_export_is_taken_when_it_is_the_same(folder: ExportFolder) -> None:
    folder.write("onnx/a.onnx", b"a")
    again = ExportFolder(folder.root, IDENTITY)
    assert again.path("onnx/a.onnx").read_bytes() == b"a"
    with pytest.raises(DatabaseError, match=r"'test.fake'.*expected .*'test.other'"):
        ExportFolder(folder.root, {**IDENTITY, "profile": "test.other"})


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"'])
def test_a_marker_of_something_else_is_refused(folder: ExportFolder, content: str) -> None:
    (folder.root / MARKER).write_text(content)
    with pytest.raises(DatabaseError, match="give another folder"):
        ExportFolder(folder.root, IDENTITY)


@pytest.mark.parametrize("relative", ["../a", "onnx/../../a", "/tmp/narcost-outside", "onnx/..", "..", ".", ""])
def test_a_name_that_leads_out_is_refused(folder: ExportFolder, relative: str) -> None:
    with pytest.raises(DatabaseError, match="leads out of it"):
        folder.write(relative, b"x")
    assert [found.name for found in folder.root.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("link", ["onnx", "onnx/resnet"])
def test_a_link_that_leads_out_is_refused_before_anything_is_made(
    folder: ExportFolder, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder.root / link).parent.mkdir(exist_ok=True)
    (folder.root / link).symlink_to(outside)
    with pytest.raises(DatabaseError, match="remove the link"):
        folder.write("onnx/resnet/a.onnx", b"x")
    assert list(outside.iterdir()) == []


def test_a_file_that_is_a_link_is_replaced_and_not_followed(folder: ExportFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (folder.root / "gt.txt").symlink_to(outside)
    folder.write("gt.txt", b"ours")
    assert outside.read_text() == "mine"
    assert (folder.root / "gt.txt").read_text() == "ours"
    assert not (folder.root / "gt.txt").is_symlink()
