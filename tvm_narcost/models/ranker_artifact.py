"""Artifact of a ScheduleRanker: safetensors weights beside JSON facts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tvm_narcost import __version__
from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.artifact import read_document, read_weights, write_parts
from tvm_narcost.models.narformer_config import NarFormerConfig
from tvm_narcost.models.schedule_ranker import RANKER_CONFIG, ScheduleRanker
from tvm_narcost.tokens import store_tokens

__all__ = ["RANKER_FORMAT_VERSION", "RankerFacts", "ranker_facts", "read_ranker", "write_ranker"]

RANKER_FORMAT_VERSION = 1
_KIND = "schedule-ranker"
_FACTS = "ranker.json"
_WEIGHTS = "ranker.safetensors"
_MAX_FACTS_BYTES = 2**20
_FIELD_TYPES: dict[str, type] = {
    "format_version": int, "kind": str, "schema": str, "schema_version": int, "profile": str, "config": dict,
    "dataset": dict, "metrics": dict, "command": str, "narcost_version": str, "created": str,
}  # fmt: skip


@dataclass(frozen=True)
class RankerFacts:
    """What a ranker's weights are.

    Attributes:
        format_version: of this file; a reader refuses another.
        kind: ``schedule-ranker``.
        schema, schema_version: of the tokens that the weights were trained on; a reader refuses another.
        profile: id of the profile that candidates were measured on.
        config: sizes of the network.
        dataset: facts of the data it was trained on; empty for a model that no data has been shown to.
        metrics: figures on held-out workloads, by name.
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
    command: str
    narcost_version: str
    created: str


def ranker_facts(
    profile_id: str,
    config: NarFormerConfig = RANKER_CONFIG,
    *,
    dataset: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    command: str = "",
) -> RankerFacts:
    """Facts of a ranker that is made now."""
    return RankerFacts(
        format_version=RANKER_FORMAT_VERSION,
        kind=_KIND,
        schema=store_tokens.NAME,
        schema_version=store_tokens.VERSION,
        profile=profile_id,
        config={**asdict(config), "fusion_queries": list(config.fusion_queries)},  # as JSON gives them back
        dataset=dict(dataset or {}),
        metrics=dict(metrics or {}),
        command=command,
        narcost_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def write_ranker(folder: Path, ranker: ScheduleRanker, facts: RankerFacts) -> None:
    """Write both files, each whole or not at all.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    weights = {name: value.detach().numpy() for name, value in ranker.state_dict().items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_parts(folder / _WEIGHTS, weights, folder / _FACTS, asdict(facts))
    except OSError as error:
        raise ArtifactError(f"artifact {folder}: {error.strerror}, expected a folder to write to") from error


def read_ranker(folder: Path) -> tuple[ScheduleRanker, RankerFacts]:
    """Read both files.

    Raises:
        ArtifactError: missing, corrupt, of another format or schema, or parts that do not belong together.
    """
    path = folder / _FACTS
    facts = _facts(path, read_document(path, _MAX_FACTS_BYTES))
    weights = read_weights(folder / _WEIGHTS)
    try:
        return _ranker(facts, weights), facts
    except (TypeError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise ArtifactError(
            f"artifact {folder}: weights and sizes do not belong together ({str(error)[:300]}); copy or train it again"
        ) from error


def _facts(path: Path, document: Mapping[str, Any]) -> RankerFacts:
    got = (document.get("format_version"), document.get("kind"), document.get("schema"), document.get("schema_version"))
    expected = (RANKER_FORMAT_VERSION, _KIND, store_tokens.NAME, store_tokens.VERSION)
    if got != expected:
        raise ArtifactError(
            f"artifact {path}: format version, kind, schema and its version {got}, expected {expected}; "
            "train it again, or install the narcost that wrote it"
        )
    names = {field.name for field in fields(RankerFacts)}
    wrong = sorted(names ^ set(document))
    wrong += [name for name, kind in _FIELD_TYPES.items() if name in document and not isinstance(document[name], kind)]
    if wrong:
        raise ArtifactError(f"artifact {path}: missing, unknown or of the wrong type: {wrong}; train it again")
    return RankerFacts(**document)


def _ranker(facts: RankerFacts, weights: Mapping[str, NDArray[Any]]) -> ScheduleRanker:
    """The network of an artifact; any of a handful of exceptions when its parts do not belong together."""
    config = NarFormerConfig(**{**facts.config, "fusion_queries": tuple(facts.config["fusion_queries"])})
    if (config.token_width, config.static_width) != (store_tokens.WIDTH, store_tokens.CONTEXT_WIDTH):
        raise ValueError(
            f"tokens {config.token_width} and context {config.static_width} wide, "
            f"expected {store_tokens.WIDTH} and {store_tokens.CONTEXT_WIDTH}"
        )
    # Sizes out of a corrupt file must not allocate what the file has no weights for.
    blocks = config.encoder_blocks + 3 * len(config.fusion_queries)
    fewest = blocks * (4 + 2 * config.feed_forward_ratio) * config.model_width**2
    if sum(value.size for value in weights.values()) < fewest:
        raise ValueError(f"fewer than {fewest} weights")
    wrong = sorted(name for name, value in weights.items() if value.dtype != np.float32)
    if wrong:
        raise ValueError(f"{wrong[:8]} are no float32")
    ranker = ScheduleRanker(config)
    ranker.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
    if not bool((ranker.scale > 0).all() and (ranker.context_scale > 0).all()):
        raise ValueError("a scale is not positive")
    return ranker.eval()
