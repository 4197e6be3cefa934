"""gt.txt: lines of NNLQP's own files are read, and what is written is read again."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_narcost.errors import DatabaseError
from tvm_narcost.export.ground_truth import GroundTruth

words = st.text(string.ascii_letters + string.digits + "_-.", min_size=1).filter(lambda word: ".." not in word)


@pytest.mark.parametrize(
    "line",
    [
        "00001 onnx/nnmeter_alexnet/nnmeter_alexnet_transform_0000.onnx 1 2.06137 alexnet 1 train",
        "00037 onnx/nnmeter_alexnet/nnmeter_alexnet_transform_0036.onnx 1 0.822757 alexnet 1 train",
        "559608 onnx/nnmeter_alexnet/nnmeter_alexnet_transform_0157.onnx 8 11.1463 alexnet 23 test",
        "559608 onnx/nnmeter_alexnet/nnmeter_alexnet_transform_0157.onnx 8 11 alexnet 23",
    ],
)
def test_lines_of_nnlqp_are_read_and_written_as_they_were(line: str) -> None:
    assert GroundTruth.from_line(line).to_line() == line


@given(words, words, st.integers(1, 999), st.floats(1e-3, 1e5), words, st.sampled_from([None, "train", "test"]))
def test_what_is_written_is_read(
    graph_id: str, name: str, batch: int, latency_ms: float, family: str, stage: str | None
) -> None:
    line = GroundTruth(graph_id, f"onnx/{name}", batch, latency_ms, family, 1, stage).to_line()  # type: ignore[arg-type]
    read = GroundTruth.from_line(line)
    assert read.latency_ms == pytest.approx(latency_ms, rel=1e-5)
    assert (read.graph_id, read.onnx_path, read.batch, read.model_type) == (graph_id, f"onnx/{name}", batch, family)
    assert (read.platform, read.stage) == (1, stage)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 onnx/a.onnx 1 2.0 f", "not enough values"),
        ("1 onnx/a.onnx 1 2.0 f 1 train more", "stage 'train more'"),
        ("1 onnx/a.onnx 1 2.0 f 1 both", "stage 'both'"),
        ("1 onnx/a.onnx one 2.0 f 1", "invalid literal"),
        ("1 onnx/a.onnx 1 fast f 1", "could not convert"),
        ("1 /etc/passwd 1 2.0 f 1", "below the folder"),
        ("1 onnx/../../a.onnx 1 2.0 f 1", "below the folder"),
    ],
)
def test_a_line_of_something_else_is_refused(line: str, message: str) -> None:
    with pytest.raises(DatabaseError, match=message):
        GroundTruth.from_line(line)


@pytest.mark.parametrize("family", ["", "a b", "a\nb", "\t"])
def test_a_field_that_would_break_the_line_is_refused(family: str) -> None:
    with pytest.raises(DatabaseError, match="white space"):
        GroundTruth("1", "onnx/a.onnx", 1, 1.0, family, 1).to_line()
