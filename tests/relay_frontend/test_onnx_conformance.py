"""ONNX's own models: each becomes a graph whose outputs have the types that ONNX says, or is refused with a reason.

These are the models of one operator each that ``collect_testcases`` of the onnx package builds, those that it carries
as files (converted from PyTorch, simple ones), and the nine light networks.
"""

import functools
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from relay_frontend.errors import DynamicShapeError, FrontendError, UnsupportedOperatorError
from relay_frontend.graph import OpGraph, TensorType
from relay_frontend.onnx import from_onnx
from relay_frontend.onnx.source import dtype_name
from relay_frontend.passes import canonicalize

pytestmark = pytest.mark.timeout(600)  # seven seconds of one core; much more on one that many share

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
PROTOS = {
    "tensor_type": onnx.TensorProto, "sequence_type": onnx.SequenceProto, "optional_type": onnx.OptionalProto,
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """One model: where it is from, what its outputs are according to ONNX (None: open), what reading gave."""

    origin: str
    name: str
    declared: tuple[TensorType | None, ...]
    computed: tuple[TensorType, ...] | None
    outcome: OpGraph | Exception


def models() -> Iterator[tuple[str, str, onnx.ModelProto, Sequence[Any] | None]]:
    """Origin, name, model and, where there are, the values of its outputs."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some cases divide by zero on purpose
        cases = collect_testcases(None)
    for case in cases:
        assert case.model is not None
        yield "operators", case.name, case.model, case.data_sets[0][1] if case.data_sets else None
    for folder in ("pytorch-converted", "pytorch-operator", "simple"):
        for path in sorted((DATA / folder).glob("*/model.onnx")):
            model = onnx.load(path)
            values = []
            for index, output in enumerate(model.graph.output):
                value = PROTOS[output.type.WhichOneof("value")]()
                value.ParseFromString((path.parent / "test_data_set_0" / f"output_{index}.pb").read_bytes())
                values.append(value)
            yield folder, path.parent.name, model, values
    for path in sorted((DATA / "light").glob("*.onnx")):
        yield "light networks", path.stem, onnx.load(path), None


@functools.cache
def readings() -> list[Reading]:
    found = []
    for origin, name, model, values in models():
        outcome: OpGraph | Exception
        try:
            outcome = from_onnx(model)
        except Exception as error:  # whatever it is, it is counted
            outcome = error
        declared = tuple(declared_type(output) for output in model.graph.output)
        computed = None
        if values is not None:
            pairs = zip(model.graph.output, values, strict=True)
            computed = tuple(kind for output, value in pairs for kind in types_of(value, output))
        found.append(Reading(origin, name, declared, computed, outcome))
    return found


def declared_type(output: onnx.ValueInfoProto) -> TensorType | None:
    kind = output.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    return TensorType(tuple(dim.dim_value for dim in kind.shape.dim), dtype_name(kind.elem_type, output.name))


def types_of(value: Any, output: onnx.ValueInfoProto) -> Iterator[TensorType]:
    """The tensors in an output; numpy has no name for some dtypes, so that of a tensor is the declared one."""
    if value is None:
        return
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from types_of(item, output)
    elif isinstance(value, onnx.SequenceProto):
        yield from types_of(list(value.tensor_values), output)
    elif isinstance(value, onnx.OptionalProto):
        yield from types_of(value.tensor_value, output)
    elif isinstance(value, onnx.TensorProto):
        yield TensorType(tuple(value.dims), dtype_name(value.data_type, output.name))
    else:
        array = np.asarray(value)
        tensor = output.type.HasField("tensor_type")
        yield TensorType(
            array.shape, dtype_name(output.type.tensor_type.elem_type, output.name) if tensor else str(array.dtype)
        )


def is_right(reading: Reading) -> bool:
    graph = reading.outcome
    if not isinstance(graph, OpGraph):
        return False
    kinds = [graph.type_of(edge) for edge in graph.outputs]
    if reading.computed is not None and tuple(kinds) != reading.computed:
        return False
    stated = len(reading.declared) == len(kinds)
    return not stated or all(kind in (None, got) for kind, got in zip(reading.declared, kinds, strict=True))


def verdict(reading: Reading) -> str:
    if isinstance(reading.outcome, FrontendError):
        return type(reading.outcome).__name__
    if isinstance(reading.outcome, Exception):
        return "crashed"
    return "right" if is_right(reading) else "wrong"


def test_every_model_is_read_right_or_refused_for_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    counts: dict[str, Counter[str]] = {}
    for reading in readings():
        counts.setdefault(reading.origin, Counter())[verdict(reading)] += 1
    total = sum(counts.values(), Counter[str]())
    with capsys.disabled():
        print()
        for origin, found in (*counts.items(), ("all", total)):
            named = ", ".join(f"{name} {count}" for name, count in found.most_common())
            print(f"  conformance, {origin}: {found.total()} models: {named}; wrong {found['wrong']}, "
                  f"crashed {found['crashed']}")  # fmt: skip

    assert [reading.name for reading in readings() if verdict(reading) in ("wrong", "crashed")] == []
    assert total["right"] >= 1962
    # inputs that are sequences, whose length no file says; shapes that are computed from the data
    assert set(total) <= {"right", UnsupportedOperatorError.__name__, DynamicShapeError.__name__}


def test_every_light_network_and_all_of_pytorch_is_read() -> None:
    refused = [
        reading.name
        for reading in readings()
        if reading.origin in ("pytorch-converted", "pytorch-operator", "light networks") and verdict(reading) != "right"
    ]

    assert refused == []


def test_every_graph_survives_canonicalisation_and_json() -> None:
    for reading in readings():
        if isinstance(reading.outcome, OpGraph):
            canonical = canonicalize(reading.outcome)
            back = OpGraph.from_json(canonical.to_json())
            assert back.structural_hash() == canonical.structural_hash(), reading.name
