"""Artifact: safetensors weights beside a JSON file that says what they are and where they come from."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.interval import IntervalModel, interval_from_json

__all__ = [
    "FORMAT_VERSION",
    "ArtifactFacts",
    "read_artifact",
    "read_document",
    "read_weights",
    "write_artifact",
    "write_parts",
    "write_whole",
]

FORMAT_VERSION = 2
_FACTS = "artifact.json"
_WEIGHTS = "model.safetensors"
_MAX_FACTS_BYTES = 4 * 2**20
_MAX_WEIGHTS_BYTES = 2**30


@dataclass(frozen=True)
class ArtifactFacts:
    """What an artifact is.

    Attributes:
        format_version: of this file; a reader refuses a newer one.
        kind: which model, e.g. ``narformer``.
        schema: token schema that the weights were trained on.
        schema_version: its version; a reader refuses any other.
        profile: id of the profile that was measured.
        config: sizes of the model, as its config dataclass names them.
        dataset: digest and facts of the data it was trained on.
        metrics: figures on held-out data, by name.
        interval: what the prediction is expected to err by, calibrated on families held out.
        distance_limits: for each operator that training met, how far from the kernels kept of it those in training
            lie; any other operator is unknown to the model.
        command: what trained it.
        narcost_version: which narcost.
        created: UTC, ISO 8601.
    """

    format_version: int
    kind: str
    schema: str
    schema_version: int
    profile: str
    config: Mapping[str, Any]
    dataset: Mapping[str, Any]
    metrics: Mapping[str, float]
    interval: IntervalModel
    distance_limits: Mapping[str, float]
    command: str
    narcost_version: str
    created: str


def write_artifact(folder: Path, facts: ArtifactFacts, weights: Mapping[str, NDArray[Any]]) -> None:
    """Write both files, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_parts(folder / _WEIGHTS, weights, folder / _FACTS, asdict(facts))


def write_parts(
    weights_path: Path, weights: Mapping[str, NDArray[Any]], facts_path: Path, facts: Mapping[str, Any]
) -> None:
    """Write weights as safetensors and then what they are as JSON, each file whole or not at all."""
    from safetensors.numpy import save

    write_whole(weights_path, save(dict(weights)))
    write_whole(facts_path, (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part."""
    scratch = path.with_name(path.name + ".part")
    scratch.write_bytes(content)
    os.replace(scratch, path)


def read_artifact(folder: Path) -> tuple[ArtifactFacts, dict[str, NDArray[Any]]]:
    """Read both files.

    Raises:
        ArtifactError: a file is missing, too large, truncated, of a newer format, or holds values that are not finite.
    """
    facts = _read_facts(folder / _FACTS)
    return facts, read_weights(folder / _WEIGHTS)


def read_document(path: Path, limit_bytes: int) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ArtifactError: missing, too large, not JSON, or no object.
    """
    content = _read_bounded(path, limit_bytes)
    try:
        document = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"artifact {path}: not JSON ({error}), expected what `narcost train` writes") from error
    if not isinstance(document, dict):
        raise ArtifactError(
            f"artifact {path}: got a JSON {type(document).__name__}, expected what `narcost train` writes"
        )
    return document


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _read_facts(path: Path) -> ArtifactFacts:
    document = read_document(path, _MAX_FACTS_BYTES)
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"artifact {path}: format version {version!r}, expected {FORMAT_VERSION}; "
            "train it again, or install the narcost that wrote it"
        )
    names = {field.name for field in fields(ArtifactFacts)}
    if names != set(document):
        raise ArtifactError(
            f"artifact {path}: missing {sorted(names - set(document))}, unknown {sorted(set(document) - names)}; "
            "expected the fields that `narcost train` writes"
        )
    try:
        return _facts(document)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArtifactError(f"artifact {path}: {error}, expected what `narcost train` writes") from error


def _facts(document: Mapping[str, Any]) -> ArtifactFacts:
    for name in ("kind", "schema", "profile", "command", "narcost_version", "created"):
        if not isinstance(document[name], str):
            raise ValueError(f"{name} {document[name]!r} is no text")
    for name in ("config", "dataset", "metrics", "distance_limits"):
        if not isinstance(document[name], dict):
            raise ValueError(f"{name} is no object")
    limits = {operator: float(limit) for operator, limit in document["distance_limits"].items()}
    if not all(math.isfinite(limit) and limit > 0 for limit in limits.values()):
        raise ValueError(f"distance_limits {limits} are not all finite and positive")
    interval = interval_from_json(document["interval"])
    return ArtifactFacts(**{**document, "interval": interval, "distance_limits": limits})


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Read a safetensors file.

    Raises:
        ArtifactError: missing, too large, truncated, or with values that are not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = _read_bounded(path, _MAX_WEIGHTS_BYTES)
    try:
        weights = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"artifact {path}: {error}, expected safetensors; copy or train it again") from error
    broken = sorted(name for name, value in weights.items() if not np.isfinite(value).all())
    if broken:
        raise ArtifactError(f"artifact {path}: not finite in {broken}, expected finite weights; train it again")
    return weights


def _read_bounded(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise ArtifactError(
            f"artifact {path}: {error.strerror}, expected a file; train it with `narcost train`"
        ) from error
    if len(content) > limit_bytes:
        raise ArtifactError(f"artifact {path}: larger than {limit_bytes} bytes, expected an artifact of narcost")
    return content
