"""One door for every format, and an import that pulls in nothing heavy."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import helper, parser

import relay_frontend
from relay_frontend import DynamicShapeError, ModelFileError, load_graph

TEXT = "net (float[N, 4] x) => (float[N, 4] z) { y = Identity(x) z = Relu(y) }"


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(parser.parse_graph(TEXT), opset_imports=[helper.make_operatorsetid("", 17)]), path)
    return path


def test_a_file_becomes_a_canonical_graph(model_path: Path) -> None:
    graph = load_graph(model_path, shapes={"x": (2, 4)})

    assert graph.name == "net"
    assert [node.op for node in graph.nodes] == ["Relu"]
    assert graph.nodes[0].outputs[0].shape == (2, 4)


def test_a_path_may_be_text_and_the_suffix_in_capitals(model_path: Path) -> None:
    capital = model_path.with_suffix(".ONNX")
    model_path.rename(capital)

    assert load_graph(str(capital), shapes={"x": (2, 4)}).nodes[0].op == "Relu"


def test_an_open_dimension_is_an_error(model_path: Path) -> None:
    with pytest.raises(DynamicShapeError, match="--shape x=1x4"):
        load_graph(model_path)


@pytest.mark.parametrize("name", ["net.pb", "net", "net.onnx.zip"])
def test_a_format_that_is_not_known_is_named_with_those_that_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match=r"expected one of the known formats \.json, \.onnx, "):
        load_graph(tmp_path / name)


def test_importing_the_package_pulls_in_nothing_heavy() -> None:
    code = "import sys, relay_frontend; print(*sorted({'onnx', 'numpy', 'tvm', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


def test_every_public_name_is_there() -> None:
    assert sorted(relay_frontend.__all__) == relay_frontend.__all__
    for name in relay_frontend.__all__:
        assert hasattr(relay_frontend, name)
