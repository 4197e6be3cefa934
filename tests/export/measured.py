"""Records of real zoo networks with made-up times."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from relay_frontend.plan import FusionPlan
from tvm_narcost.database import LatencyRecord, Measurement
from tvm_narcost.zoo import generate

__all__ = ["measured"]


def measured(family: str, seed: int, *, source: Mapping[str, Any] | None = None, **changes: Any) -> LatencyRecord:
    """A zoo network as it would be measured; ``changes`` are to its measurement."""
    graph = canonicalize(from_onnx(generate(family, seed)))
    plan = FusionPlan(graph, tuple((index,) for index in range(len(graph.nodes))), "rules")
    measurement = Measurement(
        graph.structural_hash(), plan.plan_hash(), "test.fake", (2000.0, 2061.37, 9000.0), (1.0, 1.0, 1.0), (),
        (("cpu_model", "test"), ("onnxruntime", "1.32.0")), 1, "stable", "", "2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    measurement = dataclasses.replace(measurement, **changes)
    source = {"zoo": family, "seed": seed} if source is None else source
    return LatencyRecord(graph, plan, measurement, family, f"{family}-{seed}", source)
