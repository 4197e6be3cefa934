"""Damaged, enormous and malicious Relay files: a graph or a typed error, in bounded time and memory."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_frontend.errors import FrontendError
from relay_frontend.limits import Limits
from relay_frontend.passes import canonicalize
from relay_frontend.relay import read_relay_json, read_relay_text
from tests.fuzz.relay_modules import TEXT, module_document

ROOT = Path(__file__).parents[2]
SMALL = Limits(nodes=2000, seconds=5.0)
HEAD = '#[version = "0.0.5"]\ndef @main(%x: Tensor[(2, 3), float32]) {\n'


def survives(path: Path) -> None:
    """Whatever is in the file, reading it ends in a graph or in a FrontendError with something to say."""
    reader = read_relay_json if path.suffix == ".json" else read_relay_text
    try:
        canonicalize(reader(path, limits=SMALL).graph).structural_hash()
    except FrontendError as error:
        assert str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def node_of(document: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(node for node in document["nodes"] if node["type_key"] == kind)


def edit(change: Callable[[dict[str, Any]], object]) -> str:
    document = module_document()
    change(document)
    return json.dumps(document)


def set_attribute(kind: str, name: str, value: object) -> str:
    return edit(lambda document: node_of(document, kind)["attrs"].__setitem__(name, value))


def _turn_back(document: dict[str, Any]) -> None:
    """Every list of arguments holds the first call."""
    nodes = document["nodes"]
    call = nodes.index(node_of(document, "relay.Call"))
    for node in nodes:
        if node["type_key"] == "relay.Call":
            nodes[int(node["attrs"]["args"])]["data"] = [call]


JSON_CASES: dict[str, tuple[str, str]] = {
    "reference out of range": (set_attribute("relay.Call", "args", "99999"), "refers to node 99999"),
    "negative reference": (set_attribute("relay.Call", "args", "-1"), "expected the number of a node"),
    "reference that is no number": (set_attribute("relay.Call", "args", "x"), "expected the number of a node"),
    "reference that is a list": (set_attribute("relay.Call", "args", [1]), "expected the number of a node"),
    "argument that is a float": (
        edit(lambda d: next(n for n in d["nodes"] if n["type_key"] == "Array").__setitem__("data", [1.5])),
        "expected node numbers",
    ),
    "call that reads itself": (edit(_turn_back), "reads itself"),
    "shape that is a call": (
        edit(lambda d: node_of(d, "relay.TensorType")["attrs"].__setitem__("shape", "1")), "expected a Array"
    ),
    "10^18 elements": (set_attribute("IntImm", "value", str(10**18)), "expected at most"),
    "negative extent": (set_attribute("IntImm", "value", "-4"), "expected extents of 0 or more"),
    "extent that is no number": (set_attribute("IntImm", "value", "nan"), "expected an integer"),
    "NaN attribute": (set_attribute("relay.attrs.ConcatenateAttrs", "axis", "nan"), "expected"),
    "axis of another rank": (set_attribute("relay.attrs.ConcatenateAttrs", "axis", "7"), "axis 7"),
    "array that is missing": (set_attribute("relay.Constant", "data", "5"), "expected one of 1"),
    "array that is no base64": (edit(lambda d: d["b64ndarrays"].__setitem__(0, "AAAA")), "ends within its head"),
    "dtype that is a number": (set_attribute("relay.TensorType", "dtype", 5), "expected a name"),
    "no main": (edit(lambda d: node_of(d, "Map").__setitem__("data", [])), "no Relay function"),
    "root out of range": (edit(lambda d: d.__setitem__("root", 10**6)), "root 1000000"),
    "root that is a text": (edit(lambda d: d.__setitem__("root", "1")), "root '1'"),
    "root that is no module": (edit(lambda d: d.__setitem__("root", 1)), "expected an IRModule"),
    "nodes that are numbers": ('{"root": 0, "nodes": [1, 2]}', "expected an object with a type_key"),
    "no nodes": ('{"root": 0}', "has no list of nodes"),
    "null": ("null", "no JSON object"),
    "empty": ("", "no JSON object"),
    "deep": ('{"root": 0, "nodes": [' + '{"type_key":"", "x":' + "[" * 200_000, "no JSON of a Relay module"),
    "control flow": (
        edit(lambda d: node_of(d, "relay.Tuple").__setitem__("type_key", "relay.If")), "relay.If where a network"
    ),
    "type that is wrong": (set_attribute("relay.attrs.Conv2DAttrs", "groups", "3"), "3 groups"),
}  # fmt: skip

TEXT_CASES: dict[str, tuple[str, str]] = {
    "deep brackets": (HEAD + "(" * 200_000 + "%x" + ")" * 200_000 + "}", ""),
    "deep calls": (HEAD + "nn.relu(" * 150_000 + "%x" + ")" * 150_000 + "}", "150000|nodes"),
    "deep tuples": (HEAD + "(" * 5000 + "%x" + ",)" * 5000 + "}", "nested 65 deep"),
    "tuples that double": (
        HEAD + "%0 = (%x, %x);" + "".join(f"%{n} = (%{n - 1}, %{n - 1});" for n in range(1, 60)) + "%59}",
        "fields, expected at most",
    ),
    "functions that double": (
        HEAD.replace("@main", "@f0") + "%x}\n"
        + "".join(f"def @f{n}(%x: Tensor[(2, 3), float32]) {{ %0 = @f{n - 1}(%x); @f{n - 1}(%0) }}\n"
                  for n in range(1, 50))
        + HEAD.split("\n")[1] + "@f49(%x)}",
        "functions inlined|takes longer",
    ),
    "deep functions": (HEAD + "fn () {" * 300 + "1f" + "}" * 300 + "}", "nested 65 deep"),
    "deep types": ("def @main(%x: " + "(" * 3000 + "float32" + ",)" * 3000 + ") { %x }", "nested 65 deep"),
    "deep lists": (HEAD + "f(%x, a=" + "[" * 100_000 + "}", "no Relay text"),
    "undefined name": (HEAD + "nn.relu(%y)}", "%y is not defined"),
    "10^18 elements": ("def @main(%x: Tensor[(1000000000000000000), float32]) { %x }", "expected at most"),
    "negative extent": ("def @main(%x: Tensor[(-4), float32]) { %x }", "expected extents of 0 or more"),
    "long number": (HEAD + "add(%x, " + "9" * 5000 + "f)}", "digits, expected at most"),
    "NaN": (HEAD + "clip(%x, a_min=nanf, a_max=inff)}", ""),
    "unterminated comment": (HEAD + "/* " + "* " * 100_000, "expected Relay text"),
    "unterminated text": (HEAD + 'f(%x, a="' + "x" * 100_000, "expected Relay text"),
    "another version": ('#[version = "9"]\n' + HEAD.split("\n")[1] + "%x}", "version"),
    "nothing": ("", "is empty"),
    "truncated": (TEXT[:300], "expected"),
    "not in the metadata": (HEAD + "add(%x, meta[relay.Constant][3])}", "metadata section"),
}  # fmt: skip


@pytest.mark.parametrize("name", JSON_CASES)
def test_a_hostile_json_file_is_a_typed_error(name: str, folder: Path) -> None:
    content, message = JSON_CASES[name]
    path = folder / "module.json"
    path.write_text(content)
    with pytest.raises(FrontendError, match=message):
        read_relay_json(path)


@pytest.mark.parametrize("name", TEXT_CASES)
def test_a_hostile_text_is_a_typed_error_or_a_graph(name: str, folder: Path) -> None:
    content, message = TEXT_CASES[name]
    path = folder / "module.txt"
    path.write_text(content)
    if message:
        with pytest.raises(FrontendError, match=message):
            read_relay_text(path, limits=SMALL)
    else:
        assert read_relay_text(path, limits=SMALL).graph.outputs


def test_the_valid_files_are_valid(folder: Path) -> None:
    (folder / "valid.json").write_text(json.dumps(module_document()))
    (folder / "valid.txt").write_text(TEXT)
    found = read_relay_json(folder / "valid.json").graph
    assert [node.op for node in found.nodes] == ["Conv", "Relu", "Mul", "Concat"]
    assert [node.op for node in read_relay_text(folder / "valid.txt").graph.nodes] == ["Conv", "Mul", "Relu", "Split"]


def test_every_prefix_is_survived(folder: Path) -> None:
    for content, path in ((json.dumps(module_document()), folder / "cut.json"), (TEXT, folder / "cut.txt")):
        for size in range(0, len(content), max(1, len(content) // 120)):
            path.write_text(content[:size])
            survives(path)


def test_the_largest_files_take_little_time_and_memory(folder: Path) -> None:
    """Nodes, numbers and arrays up to what the reader lets pass, and a gigabyte of zeros, each in its own process."""
    zeros = folder / "zeros.json"
    with zeros.open("wb") as file:
        file.truncate(2**30)
    nodes = folder / "nodes.json"
    nodes.write_text('{"root": 0, "nodes": [' + ",".join(['{"type_key": "IntImm", "repr_str": "aaaaaaa"}'] * 1_000_000))
    numbers = folder / "numbers.json"
    numbers.write_text('{"root": 0, "nodes": [{"type_key": "Array", "data": [' + "0," * 30_000_000)
    paths = [zeros, nodes, numbers]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.measured"], input="\n".join(map(str, paths)), capture_output=True,
        text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        found = json.loads(line)
        assert found["outcome"] in ("ModelFileError", "LimitError", "InvalidGraphError"), found
        assert found["seconds"] < 5 and found["peak_mb"] < 500, found


VALUES = st.one_of(
    st.integers(-3, 80), st.integers(-3, 80).map(str), st.just(str(10**18)), st.just("nan"), st.text(max_size=3),
    st.none(), st.lists(st.integers(-2, 80), max_size=3), st.floats(),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 20), VALUES), min_size=1, max_size=3))
def test_a_changed_json_file_is_survived(changes: list[tuple[int, int, object]], folder: Path) -> None:
    document = copy.deepcopy(module_document())
    for place, which, value in changes:
        node = document["nodes"][place % len(document["nodes"])]
        fields = [*(("attrs", name) for name in node.get("attrs", {})), *((key, "") for key in node)]
        key, name = fields[which % len(fields)]
        if name and isinstance(node.get("attrs"), dict):
            node["attrs"][name] = value
        else:
            node[key] = value
        if not isinstance(node.get("attrs", {}), dict):
            break
    path = folder / "changed.json"
    path.write_text(json.dumps(document))
    survives(path)


PIECES = ["(", ")", "[", "]", "{", "}", ",", ";", "=", "%x", "%0", "@main", "1", "-1", "fn", "let", "nn.relu", "?", '"',
          "/*", "*/", "float32", "Tensor", ".0", "9" * 30, "nanf", "meta"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 12), st.sampled_from(PIECES)), max_size=4))
def test_a_changed_text_is_survived(changes: list[tuple[int, int, str]], folder: Path) -> None:
    text = TEXT
    for place, length, piece in changes:
        place %= len(text)
        text = text[:place] + piece + text[place + length :]
    path = folder / "changed.txt"
    path.write_text(text)
    survives(path)
