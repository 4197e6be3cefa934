"""narcost profile --active: of many networks that nobody measured, those that settle most of an artifact's doubt."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relay_frontend.errors import FrontendError
from tvm_narcost.errors import ArtifactError, NarcostError

if TYPE_CHECKING:
    from hardware_profiles import HardwareProfile
    from relay_frontend.graph import OpGraph
    from tvm_narcost.database.store import LatencyDatabase
    from tvm_narcost.measure.sources import Source
    from tvm_narcost.models.narformer_latency import NarFormerLatency
    from tvm_narcost.tokens.encoded import EncodedPlan
    from tvm_narcost.training.active import Pick

__all__ = ["choose_sources"]


def choose_sources(
    sources: "Sequence[Source]", folder: Path, profile: "HardwareProfile", database: "LatencyDatabase", count: int
) -> "list[Source]":
    """The ``count`` of ``sources`` to measure, most telling first; what was left out and why goes to stderr.

    A network that was measured before the artifact was made takes no part; one that was measured since does, so that
    the same command chooses the same networks, and a stopped collection goes on.

    Raises:
        ArtifactError: missing, corrupt, or of another profile.
        TrainingError: its ensemble has one member, which cannot disagree.
        NarcostError: no candidate is left.
    """
    from tvm_narcost.models.narformer_latency import NarFormerLatency
    from tvm_narcost.training.active import family_weights, member_doubt, pick_networks

    model = NarFormerLatency.open(folder)
    if model.facts.profile != profile.id:
        raise ArtifactError(
            f"--active {folder}: an artifact of profile {model.facts.profile!r}, expected {profile.id!r}; "
            f"give --profile {model.facts.profile}, or train one with `narcost train --profile {profile.id}`"
        )
    started = time.monotonic()
    left, candidates = _encode(sources, profile, database, model)
    if not candidates:
        raise NarcostError(
            f"--active: all {len(sources)} candidates were measured before the artifact was made, or cannot be read; "
            "give a larger --pool, another --first-seed or other networks"
        )
    doubts = [member_doubt(model.ensemble, candidate) for candidate in candidates]
    weights = family_weights([source.family for source in left])
    picks = pick_networks(candidates, doubts, count, weights=weights)
    total = sum(weight * doubt.share for weight, doubt in zip(weights, doubts, strict=True))
    print(_summary(left, picks, total, sum(weights), len(sources), time.monotonic() - started), file=sys.stderr)
    return [left[pick.index] for pick in picks]


def _encode(
    sources: "Sequence[Source]", profile: "HardwareProfile", database: "LatencyDatabase", model: "NarFormerLatency"
) -> "tuple[list[Source], list[EncodedPlan]]":
    """The sources that take part, and each as the members see it; one of several with the same graph."""
    from tqdm import tqdm

    from relay_frontend.passes import canonicalize
    from tvm_narcost.fusion.planner import plan_without_runtime
    from tvm_narcost.tokens.encoded import encode_plan

    def is_known(key: "dict[str, object] | str") -> bool:
        first = database.first_measured_at(key, profile.id)
        return first is not None and first < model.facts.created

    left, candidates, hashes = [], [], set()
    for source in tqdm(sources, unit="net", desc="candidates", file=sys.stderr, dynamic_ncols=True):
        if is_known(source.document()):
            continue
        try:
            graph, opset = _read(source)
            graph_hash = canonicalize(graph).structural_hash()
            if graph_hash in hashes or is_known(graph_hash):
                continue
            candidates.append(encode_plan(plan_without_runtime(graph, profile, opset=opset), profile))
        except (FrontendError, NarcostError) as error:
            print(f"narcost: {source.name}: no candidate: {error}", file=sys.stderr)
            continue
        hashes.add(graph_hash)
        left.append(source)
    return left, candidates


def _read(source: "Source") -> "tuple[OpGraph, int]":
    """Graph and opset of a network, read as the measuring process reads it, but for the weights."""
    from relay_frontend.onnx import from_onnx, load_model, opset_versions
    from tvm_narcost.measure.sources import FileSource
    from tvm_narcost.zoo import generate

    if isinstance(source, FileSource):
        proto, shapes = load_model(Path(source.path), weights=False), dict(source.shapes)
    else:
        proto, shapes = generate(source.family, source.seed), {}
    return from_onnx(proto, shapes=shapes, name=source.name), opset_versions(proto)[""]


def _summary(
    left: "Sequence[Source]", picks: "Sequence[Pick]", total: float, networks: float, asked: int, elapsed_s: float
) -> str:
    families = Counter(left[pick.index].family for pick in picks)
    chosen = ", ".join(f"{family} {found}" for family, found in families.most_common())
    settled = sum(pick.settled for pick in picks) / total if total else 0.0
    return (
        f"narcost: chose {len(picks)} of {len(left)} candidates in {elapsed_s:.0f} s: {chosen}; "
        f"{asked - len(left)} more were measured before, are repeats or cannot be read\n"
        f"narcost: members are apart by {total / networks:.1%} of a candidate's latency in the mean; "
        f"kernels like those of the chosen make {settled:.0%} of that"
    )
