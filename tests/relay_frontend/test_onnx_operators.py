"""Against the onnx package's own single-operator models: the types that are read are those that it computed."""

import functools
import warnings
from typing import Any

import numpy as np

from relay_frontend.errors import DynamicShapeError, FrontendError, UnsupportedOperatorError
from relay_frontend.graph import OpGraph
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize


@functools.cache
def readings() -> list[tuple[str, list[Any], OpGraph | FrontendError]]:
    """Each of onnx's models: name, its reference outputs, and what reading it gave."""
    from onnx.backend.test.case.node import collect_testcases

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some cases divide by zero on purpose
        cases = collect_testcases(None)
    for case in cases:
        outcome: OpGraph | FrontendError
        assert case.model is not None
        try:
            outcome = from_onnx(case.model)
        except FrontendError as error:
            outcome = error
        found.append((case.name, list(case.data_sets[0][1]) if case.data_sets else [], outcome))
    return found


def test_most_models_are_read_and_the_others_refused_for_a_reason() -> None:
    refused = [outcome for *_, outcome in readings() if isinstance(outcome, FrontendError)]

    assert len(refused) < 0.08 * len(readings())
    # control flow, sequences and other domains; shapes that are computed from the data
    assert {type(error) for error in refused} == {UnsupportedOperatorError, DynamicShapeError}


def test_types_are_those_of_the_reference_outputs() -> None:
    wrong = []
    compared = 0
    for name, expected, graph in readings():
        if isinstance(graph, FrontendError):
            continue
        for edge, value in zip(graph.outputs, expected, strict=True):
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                kind = graph.type_of(edge)
                compared += 1
                if (kind.shape, kind.dtype) != (value.shape, str(value.dtype)):
                    wrong.append((name, kind, value.shape, value.dtype))

    assert not wrong
    assert compared > 1500


def test_every_graph_survives_canonicalisation_and_json() -> None:
    for name, _, graph in readings():
        if isinstance(graph, OpGraph):
            canonical = canonicalize(graph)
            assert OpGraph.from_json(canonical.to_json()).structural_hash() == canonical.structural_hash(), name
