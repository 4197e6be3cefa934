"""Reading .pt2 files: what the archive's JSON says becomes a graph, nothing else of it is touched."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from relay_frontend.errors import DynamicShapeError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, TensorType
from relay_frontend.torch_export import read_pt2
from tests.relay_frontend.torch_documents import document, node, save_document, tensor

INT64, BOOL = 5, 12


def read(folder: Path, content: dict[str, Any], **options: Any) -> OpGraph:
    return read_pt2(save_document(folder / "net.pt2", content), **options)


def conv_document() -> dict[str, Any]:
    nodes = [
        node("conv2d", {"input": "x", "weight": "w", "bias": "b", "padding": {"as_ints": [1, 1]}}, "c"),
        node("relu", {"self": "c"}, "y"),
    ]
    image = tensor(1, 8, 16, 16)
    values = {"x": tensor(1, 3, 16, 16), "w": tensor(8, 3, 3, 3), "b": tensor(8), "c": image, "y": image}
    return document(nodes, values, parameters=("w", "b"))


def test_calls_become_operators_and_weights_parameters(tmp_path: Path) -> None:
    graph = read(tmp_path, conv_document())

    assert [found.op for found in graph.nodes] == ["Conv", "Relu"]
    assert graph.name == "net"
    assert graph.inputs == (("x", TensorType((1, 3, 16, 16), "float32")),)
    assert [name for name, _ in graph.parameters] == ["layer.w", "layer.b"]
    assert graph.nodes[0].inputs == (Edge(GRAPH_INPUT), Edge(PARAMETER, 0), Edge(PARAMETER, 1))
    assert graph.nodes[0].attribute_map == {
        "dilations": (1, 1), "group": 1, "kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "strides": (1, 1),
    }  # fmt: skip
    assert graph.outputs == (Edge(1),)


def test_the_archive_of_older_versions_of_torch(tmp_path: Path) -> None:
    new = read(tmp_path, conv_document())
    path = save_document(tmp_path / "net.pt2", conv_document(), entry="serialized_exported_program.json")

    assert read_pt2(path) == new


def test_only_the_description_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_document(tmp_path / "net.pt2", conv_document())
    opened = []
    plain = zipfile.ZipFile.open

    def recorded(archive: zipfile.ZipFile, name: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(getattr(name, "filename", name))
        return plain(archive, name, *arguments, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", recorded)
    read_pt2(path)

    assert opened == ["net/models/model.json"]


def test_torch_is_not_needed(tmp_path: Path) -> None:
    path = save_document(tmp_path / "net.pt2", conv_document())
    code = (
        "import sys; from pathlib import Path; from relay_frontend.torch_export import read_pt2\n"
        f"print(len(read_pt2(Path({str(path)!r})).nodes), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["2", "False"]


def test_dimensions_without_a_value_are_named(tmp_path: Path) -> None:
    content = conv_document()
    content["graph_module"]["graph"]["tensor_values"]["x"] = tensor("s77", 3, 16, "2*s3")

    with pytest.raises(DynamicShapeError, match=r"'x' has \[s77, 3, 16, 2\*s3\].*without dynamic_shapes"):
        read(tmp_path, content)


def test_a_shape_that_depends_on_data_is_named(tmp_path: Path) -> None:
    values = {"x": tensor(4), "y": tensor("u0", 1, dtype=INT64)}

    with pytest.raises(DynamicShapeError, match=r"aten.nonzero.default '0' has shape \[u0, 1\], which depends on data"):
        read(tmp_path, document([node("nonzero", {"self": "x"}, "y")], values))


def test_an_operator_of_no_table_is_opaque_with_its_types(tmp_path: Path) -> None:
    call = node("fft_fft2", {"self": "x", "norm": {"as_string": "ortho"}}, "y")
    graph = read(tmp_path, document([call], {"x": tensor(4, 4), "y": tensor(4, 4, dtype=10)}))

    assert [(found.op, found.attributes) for found in graph.nodes] == [("aten.fft_fft2", (("norm", "ortho"),))]
    assert graph.nodes[0].outputs == (TensorType((4, 4), "complex64"),)
    assert graph.nodes[0].inputs == (Edge(GRAPH_INPUT),)


def test_a_write_in_place_is_seen_by_later_readers(tmp_path: Path) -> None:
    nodes = [
        node("sin", {"self": "x"}, "a"),
        node("relu_", {"self": "a"}, "b"),
        node("torch.ops.aten.add.Tensor", {"self": "a", "other": "b"}, "y"),
    ]
    graph = read(tmp_path, document(nodes, dict.fromkeys("xaby", tensor(4))))

    assert [found.op for found in graph.nodes] == ["Sin", "Relu", "Add"]
    assert graph.nodes[2].inputs == (Edge(1), Edge(1))


def test_a_write_to_a_view_of_what_is_read_again_is_refused(tmp_path: Path) -> None:
    nodes = [
        node("torch.ops.aten.select.int", {"self": "x", "dim": {"as_int": 0}, "index": {"as_int": 0}}, "a"),
        node("relu_", {"self": "a"}, "b"),
        node("sin", {"self": "x"}, "y"),
    ]
    values = {"x": tensor(2, 4), "a": tensor(4), "b": tensor(4), "y": tensor(2, 4)}

    with pytest.raises(UnsupportedOperatorError, match=r"writes to 'a', which shares memory with x, .*run_decompos"):
        read(tmp_path, document(nodes, values))


def test_a_graph_under_no_grad_stands_where_it_is_called(tmp_path: Path) -> None:
    inner = {
        "inputs": [{"as_tensor": {"name": "p"}}], "outputs": [{"as_tensor": {"name": "q"}}],
        "nodes": [node("sin", {"self": "p"}, "q")], "tensor_values": {"p": tensor(4), "q": tensor(4)},
    }  # fmt: skip
    arguments = {
        "0": {"as_bool": False}, "1": {"as_graph": {"name": "submod_1", "graph": inner}}, "2": "a",
    }  # fmt: skip
    call = node("torch.ops.higher_order.wrap_with_set_grad_enabled", arguments, "y")
    content = document([node("exp", {"self": "x"}, "a"), call], dict.fromkeys("xay", tensor(4)))

    assert [found.op for found in read(tmp_path, content).nodes] == ["Exp", "Sin"]


def test_a_buffer_that_is_written_is_an_input_not_a_weight(tmp_path: Path) -> None:
    content = document([node("cos", {"self": "state"}, "y")], dict.fromkeys(("x", "state", "y"), tensor(4)))
    signature = content["graph_module"]["signature"]
    signature["input_specs"].append({"buffer": {"arg": {"name": "state"}, "buffer_name": "s", "persistent": True}})
    read_only = read(tmp_path, content)
    signature["output_specs"].append({"buffer_mutation": {"arg": {"name": "y"}, "buffer_name": "s"}})
    written = read(tmp_path, content)

    assert (len(read_only.inputs), len(read_only.parameters), len(read_only.nodes)) == (1, 2, 0)
    assert ([name for name, _ in written.inputs], len(written.nodes)) == (["x", "state"], 1)


def test_a_layer_of_the_decomposed_program_reads_its_weight_as_it_is_stored(tmp_path: Path) -> None:
    nodes = [
        node("t", {"self": "w"}, "wt"),
        node("addmm", {"self": "b", "mat1": "x", "mat2": "wt"}, "y"),
    ]
    values = {"x": tensor(2, 8), "w": tensor(4, 8), "b": tensor(4), "wt": tensor(8, 4), "y": tensor(2, 4)}
    graph = read(tmp_path, document(nodes, values, parameters=("w", "b")))

    assert [found.op for found in graph.nodes] == ["Gemm"]
    assert graph.nodes[0].attribute_map["transB"] == 1
    assert graph.type_of(graph.nodes[0].inputs[1]).shape == (4, 8)


def test_shapes_can_only_agree_with_a_program_of_fixed_shapes(tmp_path: Path) -> None:
    assert read(tmp_path, conv_document(), shapes={"x": (1, 3, 16, 16)}).nodes
    with pytest.raises(InvalidGraphError, match=r"expected the program's own, which are fixed: x=1x3x16x16"):
        read(tmp_path, conv_document(), shapes={"x": (2, 3, 16, 16)})


def test_a_program_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    content = conv_document()
    content["schema_version"]["major"] = 9

    with pytest.raises(UnsupportedOperatorError, match="export schema 9, expected 1 to 8"):
        read(tmp_path, content)


def test_the_indices_of_a_pooling_are_its_second_output(tmp_path: Path) -> None:
    call = node("max_pool2d_with_indices", {"self": "x", "kernel_size": {"as_ints": [2, 2]}}, "y", "i")
    values = {"x": tensor(1, 2, 4, 4), "y": tensor(1, 2, 2, 2), "i": tensor(1, 2, 2, 2, dtype=INT64)}
    graph = read(tmp_path, document([call], values, outputs=("y", "i")))

    assert [kind.dtype for kind in graph.nodes[0].outputs] == ["float32", "int64"]
    assert graph.outputs == (Edge(0, 0), Edge(0, 1))
