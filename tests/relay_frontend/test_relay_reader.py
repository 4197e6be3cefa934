"""What the Relay reader makes of small modules: types, layouts, tuples, functions, inputs and weights."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from relay_frontend.errors import (
    DynamicShapeError,
    InvalidGraphError,
    ModelFileError,
    UnsupportedOperatorError,
)
from relay_frontend.graph import OpGraph
from relay_frontend.plan import PlannedNetwork
from relay_frontend.relay import from_relay, read_relay_text
from tests.relay_frontend.relay_fixture import unpack


def read(
    tmp_path: Path, body: str, parameters: str, shapes: dict[str, tuple[int, ...]] | None = None
) -> PlannedNetwork:
    path = tmp_path / "net.relay"
    path.write_text(f'#[version = "0.0.5"]\ndef @main({parameters}) {{\n{body}\n}}\n')
    return read_relay_text(path, shapes=shapes)


def outputs(graph: OpGraph) -> list[tuple[int, ...]]:
    return [graph.type_of(edge).shape for edge in graph.outputs]


@pytest.mark.parametrize(
    ("codes", "shape"),
    [("[0, -1]", (2, 12)), ("[-3, 4]", (6, 4)), ("[2, -2]", (2, 3, 4)), ("[-4, 1, 2, -2]", (1, 2, 3, 4)),
     ("[2, -4, -1, 3, -2]", (2, 1, 3, 4)), ("[-1]", (24,))],
)  # fmt: skip
def test_codes_of_reshape(tmp_path: Path, codes: str, shape: tuple[int, ...]) -> None:
    found = read(tmp_path, f"reshape(tanh(%x), newshape={codes})", "%x: Tensor[(2, 3, 4), float32]")
    assert outputs(found.graph) == [shape]


def test_a_reshape_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidGraphError, match=r"newshape \(5, -1\).*expected as many elements"):
        read(tmp_path, "reshape(%x, newshape=[5, -1])", "%x: Tensor[(2, 3, 4), float32]")


def test_blocked_layouts_are_one_convolution_on_plain_types(tmp_path: Path) -> None:
    body = """
  %0 = layout_transform(%x, src_layout="NCHW", dst_layout="NCHW4c");
  %1 = nn.contrib_conv2d_NCHWc(%0, %w, padding=[1, 1, 1, 1], channels=16, kernel_size=[3, 3], data_layout="NCHW4c",
    kernel_layout="OIHW4i8o", out_layout="NCHW8c");
  %2 = add(%1, %b);
  %3 = nn.relu(%2);
  %4 = nn.max_pool2d(%3, pool_size=[2, 2], strides=[2, 2], padding=[0, 0, 0, 0], layout="NCHW8c");
  layout_transform(%4, src_layout="NCHW8c", dst_layout="NCHW")"""
    parameters = (
        "%x: Tensor[(1, 8, 6, 6), float32], %w: Tensor[(2, 2, 3, 3, 4, 8), float32], "
        "%b: Tensor[(1, 2, 1, 1, 8), float32]"
    )
    graph = read(tmp_path, body, parameters).graph
    assert [node.op for node in graph.nodes] == ["ReorderInput", "Conv", "Relu", "MaxPool", "ReorderOutput"]
    assert [node.outputs[0].shape for node in graph.nodes] == [
        (1, 8, 6, 6), (1, 16, 6, 6), (1, 16, 6, 6), (1, 16, 3, 3), (1, 16, 3, 3),
    ]  # fmt: skip
    assert [kind.shape for _, kind in graph.parameters] == [(16, 8, 3, 3), (16,)]


def test_channels_last_keeps_its_layout_and_turns_the_weight(tmp_path: Path) -> None:
    body = 'nn.conv2d(%x, %w, padding=[1, 1, 1, 1], data_layout="NHWC", kernel_layout="HWIO")'
    graph = read(tmp_path, body, "%x: Tensor[(1, 6, 7, 8), float32], %w: Tensor[(3, 3, 8, 16), float32]").graph
    assert graph.nodes[0].attribute_map["channels_last"] == 1
    assert graph.nodes[0].outputs[0].shape == (1, 6, 7, 16)
    assert [kind.shape for _, kind in graph.parameters] == [(16, 8, 3, 3)]


def test_a_dense_layer_with_its_bias_is_a_gemm(tmp_path: Path) -> None:
    body = "%0 = nn.dense(%x, %w, units=5); nn.bias_add(%0, %b)"
    parameters = "%x: Tensor[(3, 8), float32], %w: Tensor[(5, 8), float32], %b: Tensor[(5), float32]"
    graph = read(tmp_path, body, parameters).graph
    assert [node.op for node in graph.nodes] == ["Gemm"]
    assert [graph.type_of(edge).shape for edge in graph.nodes[0].inputs] == [(3, 8), (8, 5), (5,)]


def test_what_is_computed_from_weights_alone_is_a_weight(tmp_path: Path) -> None:
    body = "%0 = transpose(%w, axes=[1, 0]); nn.dense(%x, %0)"
    graph = read(tmp_path, body, "%x: Tensor[(3, 8), float32], %w: Tensor[(8, 5), float32]").graph
    assert [node.op for node in graph.nodes] == ["MatMul"]


def test_inputs_and_weights_are_told_apart(tmp_path: Path) -> None:
    body = """
  %0 = take(%table, %ids, axis=0);
  %1 = nn.layer_norm(%0, %gamma, %beta);
  %2 = nn.dense(%1, %w);
  %3 = add(%2, %bias);
  add(%3, %extra)"""
    parameters = (
        "%ids: Tensor[(4), int64], %table: Tensor[(9, 8), float32], %gamma: Tensor[(8), float32], "
        "%beta: Tensor[(8), float32], %w: Tensor[(5, 8), float32], %bias: Tensor[(5), float32], "
        "%extra: Tensor[(4, 5), float32]"
    )
    assert [name for name, _ in read(tmp_path, body, parameters).graph.inputs] == ["ids"]
    named = read(tmp_path, body, parameters, {"extra": (4, 5)}).graph
    assert [name for name, _ in named.inputs] == ["ids", "extra"]


def test_open_dimensions_are_bound_by_shapes(tmp_path: Path) -> None:
    parameters = "%x: Tensor[(?, 3, 8, 8), float32], %w: Tensor[(4, 3, 3, 3), float32]"
    body = "nn.relu(nn.conv2d(%x, %w)) /* ty=Tensor[(?, 4, 6, 6), float32] */"
    assert outputs(read(tmp_path, body, parameters, {"x": (2, 3, 8, 8)}).graph) == [(2, 4, 6, 6)]
    with pytest.raises(DynamicShapeError, match=r"'x' has shape \(\?, 3, 8, 8\).*--shape x="):
        read(tmp_path, body, parameters)
    with pytest.raises(InvalidGraphError, match="no parameter z"):
        read(tmp_path, body, parameters, {"z": (1,)})


def test_an_operator_outside_the_table_needs_a_type(tmp_path: Path) -> None:
    parameters = "%x: Tensor[(2, 3), float32]"
    found = read(tmp_path, "my.special(%x, level=3) /* ty=Tensor[(2, 7), float16] */", parameters)
    assert [(node.op, node.outputs[0].shape) for node in found.graph.nodes] == [("my.special", (2, 7))]
    with pytest.raises(UnsupportedOperatorError, match="my.special is not in the table"):
        read(tmp_path, "my.special(%x, level=3)", parameters)


def test_a_type_that_does_not_follow_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidGraphError, match=r"nn.relu has type.*\(2, 4\).*expected.*\(2, 3\)"):
        read(tmp_path, "nn.relu(%x) /* ty=Tensor[(2, 4), float32] */", "%x: Tensor[(2, 3), float32]")


def test_functions_are_inlined_and_primitive_ones_are_kernels(tmp_path: Path) -> None:
    body = """
  %0 = fn (%p: Tensor[(2, 3), float32], Primitive=1) -> Tensor[(2, 3), float32] {
    %1 = exp(%p);
    tanh(%1)
  };
  let %once = %0(%x);
  %2 = %0(%once);
  (abs(%2), %once).0"""
    found = read(tmp_path, body, "%x: Tensor[(2, 3), float32]")
    assert [node.op for node in found.graph.nodes] == ["Exp", "Tanh", "Exp", "Tanh", "Abs"]
    assert found.plan is not None
    assert found.plan.kernels == ((0, 1), (2, 3), (4,))


def test_a_function_that_calls_itself_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "net.txt"
    path.write_text('#[version = "0.0.5"]\ndef @main(%x: Tensor[(2), float32]) { @main(%x) }')
    with pytest.raises(Exception, match="nested 65 deep"):
        read_relay_text(path)


def test_a_live_module_is_saved_by_the_package_that_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No TVM with Relay can be had beside today's: the module here is a stand-in with that package's save_json."""
    text = unpack("squeezenet-3.json", tmp_path).read_text()
    package = ModuleType("oldtvm")
    package.ir = SimpleNamespace(save_json=lambda module: text)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "oldtvm", package)
    module = type("IRModule", (), {"__module__": "oldtvm.ir.module"})()
    assert [node.op for node in from_relay(module).graph.nodes].count("Conv") == 20
    with pytest.raises(ModelFileError, match="no ir.save_json"):
        from_relay(object())
