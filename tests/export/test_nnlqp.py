"""Export as an NNLQP data set: files, lines, what is left out, going on, hostile records."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import onnx
import pytest

from relay_frontend.onnx import from_onnx, load_model
from relay_frontend.passes import canonicalize
from tests.export.measured import measured
from tvm_narcost.database import LatencyRecord
from tvm_narcost.errors import DatabaseError
from tvm_narcost.export.folder import MARKER, ExportFolder
from tvm_narcost.export.ground_truth import GroundTruth, read_ground_truth
from tvm_narcost.export.nnlqp import NnlqpReport, export_nnlqp
from tvm_narcost.export.weightless import declare_weights
from tvm_narcost.zoo import FAMILIES, generate


def export(root: Path, *records: LatencyRecord) -> NnlqpReport:
    return export_nnlqp(records, ExportFolder(root, {"format": "nnlqp"}))


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_network_becomes_a_file_and_a_line(tmp_path: Path) -> None:
    root = tmp_path / "out"
    report = export(root, measured("squeezenet", 1), measured("shufflenet", 1))
    assert (report.written, report.kept, report.left_out) == (2, 0, [])
    assert files(root) == ["gt.txt", MARKER, "onnx/shufflenet/shufflenet-1.onnx", "onnx/squeezenet/squeezenet-1.onnx"]
    first, second = read_ground_truth(root / "gt.txt")
    assert first == GroundTruth("00001", "onnx/squeezenet/squeezenet-1.onnx", 1, 2.06137, "squeezenet", 1, first.stage)
    assert (second.graph_id, second.batch) == ("00002", 4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_without_weights_is_the_network_that_was_measured(family: str) -> None:
    model = generate(family, 2)
    stripped = declare_weights(model)
    assert canonicalize(from_onnx(stripped)).structural_hash() == canonicalize(from_onnx(model)).structural_hash()


def test_weights_are_declared_as_inputs_and_have_no_data(tmp_path: Path) -> None:
    export(tmp_path, measured("vgg", 1))
    graph = load_model(tmp_path / "onnx" / "vgg" / "vgg-1.onnx").graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    assert {value.name for value in graph.input} > set(tensors)
    assert "ConstantOfShape" not in {node.op_type for node in graph.node}
    for node in convolutions:
        weight = tensors[node.input[1]]
        assert len(weight.dims) == 4
        assert not (weight.raw_data or weight.float_data)


def test_a_second_export_keeps_files_and_ids(tmp_path: Path) -> None:
    export(tmp_path, measured("vgg", 1), measured("squeezenet", 1))
    report = export(tmp_path, measured("alexnet", 1), measured("squeezenet", 1, samples_us=(5000.0,)))
    assert (report.written, report.kept) == (1, 1)
    ids = {truth.model_type: (truth.graph_id, truth.latency_ms) for truth in read_ground_truth(tmp_path / "gt.txt")}
    assert ids == {"squeezenet": ("00002", 5.0), "alexnet": ("00003", 2.06137)}


@pytest.mark.parametrize("damage", ["truncated", "other", "empty"])
def test_a_file_that_a_killed_export_left_is_written_anew(tmp_path: Path, damage: str) -> None:
    export(tmp_path, measured("squeezenet", 1))
    path = tmp_path / "onnx" / "squeezenet" / "squeezenet-1.onnx"
    whole = path.read_bytes()
    other = declare_weights(generate("squeezenet", 2)).SerializeToString()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "other": other, "empty": b""}[damage])
    (tmp_path / "gt.txt").unlink()
    report = export(tmp_path, measured("squeezenet", 1))
    assert (report.written, report.kept) == (1, 0)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (measured("vgg", 1, verdict="noisy", reason="IQR/median is 40 %"), "noisy: IQR/median is 40 %"),
        (measured("vgg", 1, source={"sha256": "ab", "shapes": {}}), "a file of the user's own"),
        (measured("vgg", 1, source={"zoo": "vgg", "seed": 3}), "the zoo of this narcost makes another network"),
        (measured("vgg", 1, source={"zoo": "toaster", "seed": 3}), "unknown zoo family 'toaster'"),
        (measured("vgg", 1, source={"zoo": "vgg"}), "expected a zoo family and a seed"),
        (measured("corpus_conv", 0), r"first dimensions of inputs and outputs are \[1, 2"),
    ],
)
def test_what_is_left_out_is_listed_with_its_reason(tmp_path: Path, record: LatencyRecord, reason: str) -> None:
    report = export(tmp_path, record, measured("squeezenet", 1))
    (found,) = report.left_out
    assert (found.family, found.name) == (record.family, record.name)
    document = json.loads((tmp_path / MARKER).read_text())
    assert document["left_out"] == [dataclasses.asdict(found)]
    assert (document["finished"], document["networks"]) == (True, 1)
    assert re.search(reason, found.reason)


def test_a_second_plan_of_a_network_is_left_out(tmp_path: Path) -> None:
    report = export(tmp_path, measured("vgg", 1), measured("vgg", 1, samples_us=(1.0,)))
    assert [found.reason for found in report.left_out] == ["another measurement, under another plan, is there already"]
    assert read_ground_truth(tmp_path / "gt.txt")[0].latency_ms == 2.06137


@pytest.mark.parametrize(
    "source",
    [
        {"zoo": "../../outside", "seed": 1},
        {"zoo": "/tmp/outside", "seed": 1},
        {"zoo": "vgg", "seed": "../../../outside"},
        {"zoo": "vgg", "seed": True},
        {"zoo": "vgg", "seed": 10**400},
        {"zoo": ["vgg"], "seed": 1},
        {"zoo": "vgg", "seed": 1, "name": "../outside"},
        {},
    ],
)
def test_a_hostile_source_is_left_out(tmp_path: Path, source: dict[str, Any]) -> None:
    report = export(tmp_path / "out", measured("vgg", 1, source=source))
    assert len(report.left_out) == 1
    assert files(tmp_path) == ["out/gt.txt", f"out/{MARKER}"]


@pytest.mark.parametrize("text", ["../../outside", "/etc/passwd", "a b\nc", "", "\0"])
def test_hostile_names_take_no_part_in_paths_and_lines(tmp_path: Path, text: str) -> None:
    export(tmp_path / "out", dataclasses.replace(measured("vgg", 1), family=text, name=text))
    assert files(tmp_path) == ["out/gt.txt", f"out/{MARKER}", "out/onnx/vgg/vgg-1.onnx"]
    assert (tmp_path / "out" / "gt.txt").read_text().split()[4] == "vgg"


def test_a_former_gt_txt_that_is_none_is_refused(tmp_path: Path) -> None:
    export(tmp_path, measured("vgg", 1))
    (tmp_path / "gt.txt").write_text("x1 onnx/vgg/vgg-1.onnx 1 1.0 vgg 1\n")
    with pytest.raises(DatabaseError, match=r"graph ids \['x1'\], expected numbers"):
        export(tmp_path, measured("vgg", 1))


def test_the_split_is_by_graph_and_about_a_tenth(tmp_path: Path) -> None:
    records = [measured("squeezenet", seed) for seed in range(25)]
    export(tmp_path, *records)
    stages = [truth.stage for truth in read_ground_truth(tmp_path / "gt.txt")]
    assert 1 <= stages.count("test") <= 7
    assert set(stages) == {"train", "test"}


def test_a_reader_like_that_of_nnlqp_can_set_the_batch_size(tmp_path: Path) -> None:
    export(tmp_path, measured("squeezenet", 1))
    model = load_model(tmp_path / "onnx" / "squeezenet" / "squeezenet-1.onnx")
    stored = {tensor.name for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.output):
        if value.name not in stored:
            value.type.tensor_type.shape.dim[0].dim_value = 8
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inferred.graph.value_info}
    missing = [name for node in model.graph.node for name in node.output if not shapes.get(name)]
    assert missing == [output.name for output in model.graph.output]
