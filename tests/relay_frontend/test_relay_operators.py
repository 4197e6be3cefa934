"""Each operator's types as TVM infers them, from JSON and from text."""

import lzma
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from relay_frontend.errors import UnsupportedOperatorError
from relay_frontend.limits import DEFAULT_LIMITS
from relay_frontend.relay.builder import RelayReading, build_graph
from relay_frontend.relay.document import parse_document
from relay_frontend.relay.json_reader import read_metadata, read_program
from relay_frontend.relay.program import Function, Program
from relay_frontend.relay.table import OPERATORS
from relay_frontend.relay.text_reader import read_text_program

FOLDER = Path(__file__).parent / "relay_files"
OUTSIDE = {"batch_to_space_nd", "collapse_sum_like", "matrix_set_diag", "sliding_window", "space_to_batch_nd"}


@cache
def from_json() -> Mapping[str, Function]:
    clock = DEFAULT_LIMITS.start_clock()
    document = parse_document(lzma.decompress((FOLDER / "operators.json.xz").read_bytes()), "operators", clock)
    return read_program(document, DEFAULT_LIMITS, clock).functions


@cache
def from_text() -> Mapping[str, Function]:
    clock = DEFAULT_LIMITS.start_clock()
    text, _, metadata = lzma.decompress((FOLDER / "operators.txt.xz").read_bytes()).partition(b"#[metadata]")
    found = read_metadata(parse_document(metadata, "metadata", clock), DEFAULT_LIMITS, clock)
    return read_text_program(text.decode(), found, DEFAULT_LIMITS, clock, "operators").functions


def build(function: Function) -> RelayReading:
    program = Program({"main": function})
    return build_graph(
        program, function="main", name="main", shapes={}, limits=DEFAULT_LIMITS, clock=DEFAULT_LIMITS.start_clock()
    )


def without_types(function: Function) -> Function:
    body = (one if one.form in ("parameter", "constant") else replace(one, kind=None) for one in function.body)
    return replace(function, body=tuple(body))


def test_the_fixtures_have_the_same_functions() -> None:
    assert set(from_json()) == set(from_text())
    assert len(from_json()) == 281


@pytest.mark.parametrize("name", sorted(from_json()))
def test_types_are_those_of_tvm(name: str) -> None:
    """Reading with types compares each with what is inferred; without, only the inferred ones are left."""
    function = from_json()[name]
    reading = build(function)
    if name in OUTSIDE:
        with pytest.raises(UnsupportedOperatorError, match="is not in the table"):
            build(without_types(function))
        assert len(reading.graph.nodes) == 1  # opaque, with the type that the file says
    else:
        assert build(without_types(function)).graph == reading.graph


@pytest.mark.parametrize("name", sorted(from_json()))
def test_text_says_the_same_as_json(name: str) -> None:
    ours, theirs = build(from_text()[name]).graph, build(from_json()[name]).graph
    assert ours.structural_hash() == theirs.structural_hash()
    assert [kind for _, kind in ours.inputs] == [kind for _, kind in theirs.inputs]


def test_the_fixtures_cover_most_of_the_table() -> None:
    used = {call.op for function in from_json().values() for call in function.body if call.form == "call"}
    assert len(used & set(OPERATORS)) > 150
