"""Files of tvm.ir.save_json are read without TVM, after whichever pass they were written."""

import json
from pathlib import Path
from typing import Any

import pytest

from relay_frontend.costs import graph_cost
from relay_frontend.errors import DynamicShapeError, InvalidGraphError, ModelFileError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, OpGraph, TensorType
from relay_frontend.limits import DEFAULT_LIMITS
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from relay_frontend.relax import read_relax_json
from relay_frontend.relax.document import read_text
from relay_frontend.relax.spelling import UnifySpellingPass
from tests.relay_frontend.relax_fixture import FOLDER, STAGES, network, symbolic_text

FILES = (*STAGES, "kernels_0_26")
ONE_KERNEL_EACH = [
    ("Conv", "Relu"), ("Conv", "Sigmoid"), ("Concat", "BatchNormalization"), ("MaxPool",), ("GlobalAveragePool",),
    ("Reshape",), ("Gemm",), ("Softmax",),
]  # fmt: skip


def unified(graph: OpGraph) -> OpGraph:
    return UnifySpellingPass()(canonicalize(graph))


def changed(tmp_path: Path, name: str, change: dict[str, Any] | None = None, **fields: Any) -> Path:
    """A copy of a fixture in which the first node of each kind in ``change`` has other data."""
    document = {**json.loads((FOLDER / f"{name}.json").read_text()), **fields}
    for kind, data in (change or {}).items():
        node = next(node for node in document["nodes"] if node["type"] == kind)
        node["data"] = {**node["data"], **data} if isinstance(data, dict) else data
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("name", FILES)
def test_file_is_the_network_that_its_onnx_file_is(name: str) -> None:
    straight = canonicalize(from_onnx(network()))
    found = canonicalize(read_relax_json(FOLDER / f"{name}.json").graph)
    assert unified(found).structural_hash() == unified(straight).structural_hash()
    assert graph_cost(found).flops == graph_cost(straight).flops
    assert graph_cost(found).parameters == graph_cost(straight).parameters


def test_graph_has_the_files_name_and_the_functions_inputs() -> None:
    graph = read_relax_json(FOLDER / "high.json").graph
    assert graph.name == "high"
    assert graph.inputs == (("x", TensorType((1, 3, 8, 8), "float32")),)
    assert {edge.source for edge in graph.nodes[0].inputs} == {GRAPH_INPUT, PARAMETER}


@pytest.mark.parametrize("name", ["fused", "kernels", "kernels_0_26"])
def test_fused_functions_are_the_kernels_of_the_plan(name: str) -> None:
    plan = read_relax_json(FOLDER / f"{name}.json").plan
    assert plan is not None
    assert plan.planner == "tvm"
    assert [tuple(plan.graph.nodes[index].op for index in kernel) for kernel in plan.kernels] == ONE_KERNEL_EACH


@pytest.mark.parametrize("name", ["high", "legal"])
def test_module_in_which_nothing_is_fused_has_no_plan(name: str) -> None:
    assert read_relax_json(FOLDER / f"{name}.json").plan is None


def test_weights_are_left_out_of_the_text(tmp_path: Path) -> None:
    nodes = [{"type": "ffi.Tensor", "data": "A" * 40_000 + "=="}, {"type": "ffi.String", "data": "B" * 3000}]
    path = tmp_path / "weights.json"
    path.write_text(json.dumps({"root_index": 1, "nodes": nodes}))
    kept = json.loads(read_text(path, DEFAULT_LIMITS))["nodes"]
    assert [len(node["data"]) for node in kept] == [1024, 3000]


def symbolic(tmp_path: Path) -> Path:
    path = tmp_path / "symbolic.json"
    path.write_text(symbolic_text())
    return path


def test_symbolic_dimension_is_bound_by_the_shape_of_an_input(tmp_path: Path) -> None:
    graph = read_relax_json(symbolic(tmp_path), shapes={"x": (5, 8)}).graph
    assert [node.outputs[0].shape for node in graph.nodes] == [(5, 8)]


def test_symbolic_dimension_without_a_shape_is_named(tmp_path: Path) -> None:
    with pytest.raises(DynamicShapeError, match=r"'x' has shape \(n, 8\) with n unbound.*--shape"):
        read_relax_json(symbolic(tmp_path))


def test_shape_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidGraphError, match="'x' 5x9, its module has 8 where that says 9"):
        read_relax_json(symbolic(tmp_path), shapes={"x": (5, 9)})
    with pytest.raises(InvalidGraphError, match="--shape names z, expected inputs of the module: x"):
        read_relax_json(symbolic(tmp_path), shapes={"z": (5, 8)})


def test_loops_that_are_no_longer_those_of_the_operator_become_an_opaque_node(tmp_path: Path) -> None:
    """A guard around a loop nest, as schedules write it: the pool is a node of that name with its real types."""
    document = json.loads((FOLDER / "legal.json").read_text())
    strings = [node for node in document["nodes"] if node["type"] == "ffi.String" and node["data"] == "max_pool2d"]
    for node in strings:
        node["data"] = "own_pool"
    path = tmp_path / "own.json"
    path.write_text(json.dumps(document))
    graph = read_relax_json(path).graph
    (opaque,) = [node for node in graph.nodes if node.op == "tir.own_pool"]
    assert graph.type_of(opaque.inputs[0]) == TensorType((1, 8, 4, 4), "float32")
    assert opaque.outputs == (TensorType((1, 8, 2, 2), "float32"),)
    assert graph_cost(graph, strict=False).unknown_operators == ("tir.own_pool",)


def test_file_of_something_else_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="holds a PrimFunc, expected an IRModule"):
        nodes = json.loads((FOLDER / "legal.json").read_text())["nodes"]
        place = next(index for index, node in enumerate(nodes) if node["type"] == "tirx.PrimFunc")
        read_relax_json(changed(tmp_path, "legal", root_index=place))
    with pytest.raises(ModelFileError, match="has no root_index, expected a module as TVM 0.26 or newer"):
        read_relax_json(changed(tmp_path, "high", root_index=None))
