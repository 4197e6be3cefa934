"""Artifact: what is written comes back; what is spoiled is an ArtifactError that names the file."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.training.analytic import examples
from tvm_narcost.errors import ArtifactError
from tvm_narcost.models import artifact
from tvm_narcost.models.artifact import read_artifact, write_whole
from tvm_narcost.models.kernel_ensemble import correction_rows
from tvm_narcost.models.kernel_sum import fit_trees
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.training.ensemble import fit_context_trees

FACTS, WEIGHTS = "artifact.json", "model.safetensors"
Document = dict[str, Any]
Weights = dict[str, np.ndarray[Any, Any]]


def change_facts(folder: Path, change: Callable[[Document], object]) -> None:
    document = json.loads((folder / FACTS).read_text())
    change(document)
    (folder / FACTS).write_text(json.dumps(document))


def change_weights(folder: Path, change: Callable[[Weights], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def refusal(folder: Path) -> str:
    with pytest.raises(ArtifactError) as raised:
        NarFormerLatency.open(folder)
    assert str(folder) in str(raised.value)
    return str(raised.value)


def test_round_trip(folder: Path, narformer: NarFormerLatency) -> None:
    opened = NarFormerLatency.open(folder)
    assert opened.facts == narformer.facts
    for before, after in zip(narformer.ensemble.networks, opened.ensemble.networks, strict=True):
        assert after.config == before.config
        assert before.weights.keys() == after.weights.keys()
        for name, value in before.weights.items():  # stored in half precision, but for what standardises tokens
            stored = value if name in ("mean", "scale") else value.astype(np.float16).astype(np.float32)
            assert np.array_equal(stored, after.weights[name]), name
        assert before.as_stored().weights["head.0.bias"].tolist() == after.weights["head.0.bias"].tolist()
    assert opened.training_kernels.limits == narformer.training_kernels.limits
    points = opened.training_kernels.points
    assert set(points) == {"Conv", "Relu"}
    assert all(np.array_equal(points[op], kept) for op, kept in narformer.training_kernels.points.items())


def test_writing_again_replaces_and_leaves_no_scratch(folder: Path, narformer: NarFormerLatency) -> None:
    dataclasses.replace(narformer, facts=dataclasses.replace(narformer.facts, command="again")).save(folder)
    assert NarFormerLatency.open(folder).facts.command == "again"
    assert sorted(path.name for path in folder.iterdir()) == [FACTS, WEIGHTS]


def test_interrupted_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", [FACTS, WEIGHTS])
@pytest.mark.parametrize("kept", [0.0, 0.2, 0.9, 0.999])
def test_truncated_file(folder: Path, name: str, kept: float) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(len(whole) * kept)])
    assert name in refusal(folder)


@pytest.mark.parametrize("name", [FACTS, WEIGHTS])
@pytest.mark.parametrize("content", [b"\x00" * 100, b"\xff" * 100, b"[" * 100_000, b'{"a":' * 50_000, b"[]", b"null"])
def test_file_of_something_else(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert name in refusal(folder)


@pytest.mark.parametrize("name", [FACTS, WEIGHTS])
def test_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    message = refusal(folder)
    assert name in message
    assert "No such file" in message
    assert "narcost train" in message


def test_missing_folder(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere")


def test_folder_where_a_file_should_be(folder: Path) -> None:
    (folder / FACTS).unlink()
    (folder / FACTS).mkdir()
    assert FACTS in refusal(folder)


@pytest.mark.parametrize(("name", "limit"), [(FACTS, "_MAX_FACTS_BYTES"), (WEIGHTS, "_MAX_WEIGHTS_BYTES")])
def test_enormous_file_is_not_read_to_its_end(
    folder: Path, name: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, limit, (folder / name).stat().st_size - 1)
    message = refusal(folder)
    assert name in message
    assert "larger than" in message


def test_weights_that_claim_more_than_the_file_holds(folder: Path) -> None:
    header = json.dumps({"0.mean": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    (folder / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header)
    assert WEIGHTS in refusal(folder)


@pytest.mark.parametrize("version", [1, 999, 0, "2", None])
def test_other_format_version(folder: Path, version: object) -> None:
    change_facts(folder, lambda document: document.update(format_version=version, novelty=1))
    message = refusal(folder)
    assert f"format version {version!r}, expected 2" in message
    assert "install the narcost that wrote it" in message


def test_missing_and_unknown_fields_are_all_named(folder: Path) -> None:
    change_facts(folder, lambda document: document.update(colour="red", taste="bitter"))
    change_facts(folder, lambda document: document.pop("metrics") and document.pop("kind"))
    message = refusal(folder)
    assert "missing ['kind', 'metrics'], unknown ['colour', 'taste']" in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "oracle"), ("kind", 3), ("schema", "paper"), ("schema_version", 999), ("schema_version", None),
        ("profile", None), ("config", []), ("config", None), ("dataset", 1), ("metrics", "good"),
        ("distance_limits", []), ("distance_limits", {"Conv": 1.0}), ("distance_limits", {"Conv": 1.0, "Relu": 0.0}),
        ("distance_limits", {"Conv": 1.0, "Relu": "x"}), ("distance_limits", {"Conv": 1.0, "Relu": None}),
        ("distance_limits", {"Conv": 1.0, "Relu": 1.0, "Add": 1.0}), ("interval", None), ("interval", 0.2),
        ("interval", {}), ("command", []), ("created", 2026),
    ],
)  # fmt: skip
def test_field_that_cannot_be(folder: Path, field: str, value: object) -> None:
    change_facts(folder, lambda document: document.update({field: value}))
    assert "expected" in refusal(folder) or "fit" in refusal(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("coverage", 0.0), ("coverage", 1.0), ("coverage", "x"), ("intercept", None), ("weights", {}), ("weights", []),
        ("weights", {"slack": 1.0, "disagreement": 0.0, "concentration": 0.0, "far_share": -0.1}),
        ("weights", {"slack": 1.0, "disagreement": 0.0, "concentration": 0.0, "far_share": 0.0, "taste": 1.0}),
        ("error_range", [0.1]), ("error_range", [0.2, 0.1]), ("error_range", [0.0, 0.1]),
        ("error_range", [0.1, 0.2, 1]), ("quantile", -0.1), ("quantile", 1e9), ("quantile", "x"), ("colour", "red"),
    ],
)  # fmt: skip
def test_interval_that_cannot_be(folder: Path, field: str, value: object) -> None:
    change_facts(folder, lambda document: document["interval"].update({field: value}))
    assert "expected" in refusal(folder)


def test_interval_without_a_field(folder: Path) -> None:
    change_facts(folder, lambda document: document["interval"].pop("quantile"))
    assert "interval has not the fields" in refusal(folder)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["quantile", "intercept"])
def test_number_that_is_none(folder: Path, field: str, value: str) -> None:
    change_facts(folder, lambda document: document["interval"].update({field: 12345}))
    text = (folder / FACTS).read_text()
    (folder / FACTS).write_text(text.replace("12345", value))
    assert FACTS in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"model_width": 16}, {"model_width": 10**9}, {"model_width": "8"}, {"heads": 0}, {"heads": 3},
        {"encoder_blocks": 2}, {"encoder_blocks": 10**9}, {"fusion_queries": [4, 3, 1]}, {"fusion_queries": [10**9, 1]},
        {"fusion_queries": 4}, {"fusion_queries": [4, 2, 1] * 10**5}, {"feed_forward_ratio": 2}, {"dropout": "x"},
        {"token_width": 12}, {"output": "network"}, {"output": "layers"}, {"members": 0}, {"members": 1},
        {"members": 10**9}, {"members": None}, {"depth_token": True}, {"colour": "red"},
        {"trees": None}, {"trees": 1}, {"correction": None}, {"correction": 1},
    ],
)  # fmt: skip
def test_config_that_the_weights_do_not_fit(folder: Path, change: Document) -> None:
    change_facts(folder, lambda document: document["config"].update(change))
    assert "weights do not fit its config" in refusal(folder)


def test_config_without_a_field(folder: Path) -> None:
    change_facts(folder, lambda document: document["config"].pop("fusion_queries"))
    assert "fusion_queries" in refusal(folder)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weight_that_is_not_finite_is_named(folder: Path, value: float) -> None:
    def spoil(weights: Weights) -> None:
        weights["1.embed.weight"][0, 0] = value

    change_weights(folder, spoil)
    message = refusal(folder)
    assert WEIGHTS in message
    assert "not finite in ['1.embed.weight']" in message


@pytest.mark.parametrize(
    "spoil",
    [
        lambda weights: weights.pop("0.embed.weight"),
        lambda weights: weights.update({"0.more": np.zeros(3, np.float32)}),
        lambda weights: weights.update({"stray": np.zeros(3, np.float32)}),
        lambda weights: weights.update({"2.embed.bias": np.zeros(8, np.float32)}),
        lambda weights: weights.update({"0.embed.bias": np.zeros(9, np.float32)}),
        lambda weights: weights.update({"0.embed.bias": np.zeros(8, np.float64)}),
        lambda weights: weights.update({"0.embed.bias": np.zeros(8, np.int32)}),
        lambda weights: weights.update({"0.scale": np.zeros_like(weights["0.scale"])}),
        lambda weights: weights.clear(),
        lambda weights: weights.pop("training.Conv"),
        lambda weights: weights.update({"training.Add": weights["training.Conv"]}),
        lambda weights: weights.update({"training.Conv": weights["training.Conv"].astype(np.float32)}),
        lambda weights: weights.update({"training.Conv": weights["training.Conv"][:, :-1].copy()}),
        lambda weights: weights.update({"training.Conv": weights["training.Conv"][:0].copy()}),
        lambda weights: weights.update({"training.Conv": weights["training.Conv"][0].copy()}),
    ],
    ids=[
        "missing",
        "unknown",
        "of no member",
        "member too many",
        "shape",
        "float64",
        "int32",
        "scale 0",
        "none",
        "no kernels",
        "kernels of more",
        "kernels in float32",
        "kernels too narrow",
        "no kernel",
        "one kernel flat",
    ],
)
def test_weights_that_do_not_fit(folder: Path, spoil: Callable[[Weights], object]) -> None:
    change_weights(folder, spoil)
    assert "weights do not fit its config" in refusal(folder)


def test_facts_are_readable_without_the_model(folder: Path, narformer: NarFormerLatency) -> None:
    facts, weights = read_artifact(folder)
    assert facts == narformer.facts
    assert weights["0.mean"].shape == (facts.config["token_width"],)


@pytest.fixture
def grown(narformer: NarFormerLatency, tmp_path: Path) -> Path:
    """An artifact with trees on disk."""
    trees = fit_context_trees(examples(("plain",), 4), 0)
    ensemble = dataclasses.replace(narformer.ensemble, trees=trees)
    facts = dataclasses.replace(narformer.facts, config=NarFormerLatency.config_facts(ensemble))
    dataclasses.replace(narformer, ensemble=ensemble, facts=facts).save(tmp_path / "grown")
    return tmp_path / "grown"


def test_trees_come_back(grown: Path, narformer: NarFormerLatency) -> None:
    opened = NarFormerLatency.open(grown)
    assert opened.ensemble.trees is not None
    tokens = examples(("plain",), 1)[0].tokens
    again = fit_context_trees(examples(("plain",), 4), 0)
    assert np.array_equal(opened.ensemble.member_logs([tokens])[0][-1], again.predict(tokens[:, : again.columns]))
    assert len(opened.ensemble.networks) == len(narformer.ensemble.networks)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda trees: trees.update(schema="paper"), "trees.json on schema"),
        (lambda trees: trees.update(schema_version=1), "trees.json on schema"),
        (lambda trees: trees.pop("schema"), "trees.json on schema"),
        (lambda trees: trees.update(columns=trees["columns"] + 1), "columns, expected"),
        (lambda trees: trees.update(left=[]), "weights do not fit"),
        (lambda trees: trees.pop("roots"), "missing"),
    ],
)
def test_trees_that_do_not_fit(grown: Path, spoil: Callable[[Document], object], expected: str) -> None:
    document = json.loads((grown / "trees.json").read_text())
    spoil(document)
    (grown / "trees.json").write_text(json.dumps(document))
    assert expected in refusal(grown)


def test_trees_that_are_missing(grown: Path) -> None:
    (grown / "trees.json").unlink()
    assert "trees.json: No such file" in refusal(grown)


def test_correction_comes_back(narformer: NarFormerLatency, tmp_path: Path) -> None:
    known = examples(("plain", "separable"), 2)
    before = narformer.ensemble.log_efficiency([example.tokens for example in known])
    rows = np.concatenate([correction_rows(example.tokens, logs) for example, logs in zip(known, before, strict=True)])
    target = np.concatenate([example.log_efficiency for example in known]) - np.concatenate(before)
    ensemble = dataclasses.replace(narformer.ensemble, correction=fit_trees(rows, target, np.ones(len(rows)), 0))
    facts = dataclasses.replace(narformer.facts, config=NarFormerLatency.config_facts(ensemble))
    dataclasses.replace(narformer, ensemble=ensemble, facts=facts).save(tmp_path / "corrected")
    opened = NarFormerLatency.open(tmp_path / "corrected").ensemble
    expected = ensemble.log_efficiency([known[0].tokens])[0]
    assert np.allclose(opened.log_efficiency([known[0].tokens])[0], expected, atol=0.02)  # weights in half precision
    assert not np.allclose(before[0], expected, atol=0.1)
    (tmp_path / "corrected" / "correction.json").unlink()
    assert "correction.json: No such file" in refusal(tmp_path / "corrected")


def test_artifact_from_before_there_were_corrections(folder: Path) -> None:
    change_facts(folder, lambda document: document["config"].pop("correction"))
    assert NarFormerLatency.open(folder).ensemble.correction is None
