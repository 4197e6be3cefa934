"""Hostile ONNX files: each asks for what no reader should do.

``python -m tests.fuzz.onnx_corpus FOLDER`` writes them, a file in a folder of its own each.
"""

import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from tests.fuzz.onnx_models import valid_models

__all__ = ["hostile_files", "truncations"]

_HUGE = 10**18
_OPSETS = [helper.make_operatorsetid("", 17), helper.make_operatorsetid("own", 1)]


def truncations() -> Iterator[bytes]:
    """Every prefix of valid files: cut within and between tags, lengths, contents, at every level of nesting."""
    for model in valid_models():
        content = model.SerializeToString()
        yield from (content[:size] for size in range(len(content)))


def hostile_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write the corpus below ``folder``, a file in a folder of its own each; (what it is, where it is)."""
    for name, make in _CASES.items():
        place = folder / name
        place.mkdir(parents=True)
        path = place / "model.onnx"
        content = make(place)
        if content is not None:
            path.write_bytes(content)
        yield name, path


def _model(text: str, constants: dict[str, np.ndarray] | None = None) -> onnx.ModelProto:
    model = helper.make_model(parser.parse_graph(text), opset_imports=_OPSETS)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in (constants or {}).items())
    return model


def _text(nodes: str, **constants: object) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        arrays = {name: np.array(value) for name, value in constants.items()}
        return bytes(_model(f"net (float[2, 3] x) => (float[N] y) {{ {nodes} }}", arrays).SerializeToString())

    return make


def _changed(change: Callable[[onnx.ModelProto], object], index: int = 0) -> Callable[[Path], bytes]:
    """A valid model after a change."""

    def make(folder: Path) -> bytes:
        model = valid_models()[index]
        change(model)
        return bytes(model.SerializeToString())

    return make


def _content(content: bytes) -> Callable[[Path], bytes]:
    return lambda folder: content


def _dims(*dims: int) -> Callable[[onnx.ModelProto], None]:
    """The first input and the first initializer have these dimensions."""

    def change(model: onnx.ModelProto) -> None:
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)

    return change


def _input_dims(*dims: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        shape = model.graph.input[0].type.tensor_type.shape
        del shape.dim[:]
        for dim in dims:
            shape.dim.add().dim_value = dim

    return change


def _zeros(folder: Path) -> None:
    (folder / "model.onnx").touch()
    os.truncate(folder / "model.onnx", 10**9)  # sparse: takes no room


def _many(tag: bytes, count: int, *outer: bytes) -> Callable[[Path], bytes]:
    """A field of two bytes, many times over, within messages."""

    def make(folder: Path) -> bytes:
        content = tag * count
        for field in outer:
            content = field + _varint(len(content)) + content
        return content

    return make


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _nested_ifs(depth: int) -> Callable[[Path], bytes]:
    """Graphs within graphs, written by hand: protobuf itself refuses to nest so deep."""

    def make(folder: Path) -> bytes:
        graph = parser.parse_graph("leaf () => (float[4] y) { y = Missing(x) }").SerializeToString()
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4]).SerializeToString()
        for _ in range(depth):
            branch = _field(1, b"then_branch") + _field(6, graph) + bytes([20 << 3 & 127 | 128, 1, 5])
            node = _field(1, b"flag") + _field(2, b"y") + _field(4, b"If") + _field(5, branch)
            graph = _field(1, node) + _field(12, output)
        flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, []).SerializeToString()
        return _field(7, graph + _field(11, flag)) + _field(8, _OPSETS[0].SerializeToString())

    return make


def _functions(count: int, calls: int, last: str) -> Callable[[Path], bytes]:
    """Functions F0 ... that each call the next so often; the last calls ``last``."""

    def make(folder: Path) -> bytes:
        model = _model("net (float[4] x) => (float[4] y) { y = own.F0(x) }")
        for level in range(count):
            callee = f"F{level + 1}" if level + 1 < count else last
            nodes = [helper.make_node(callee, [f"v{call}"], [f"v{call + 1}"], domain="own") for call in range(calls)]
            model.functions.append(helper.make_function("own", f"F{level}", ["v0"], [f"v{calls}"], nodes, _OPSETS))
        return bytes(model.SerializeToString())

    return make


def _loop(trips: int, body: str, count: int = 1) -> Callable[[Path], bytes]:
    inner = f"t = {body}(s)"
    for level in range(1, count):
        inner = (
            f"t = Loop(trips, , s) <body = b{level} (int64 i{level}, bool c{level}, float[2, 3] s) => "
            f"(bool c{level}, float[2, 3] t) {{ {inner} }}>"
        )
    return _text(f"y = Loop(trips, , x) <body = b (int64 i, bool c, float[2, 3] s) => (bool c, float[2, 3] t) "
                 f"{{ {inner} }}>", trips=np.array(trips, np.int64))  # fmt: skip


def _external(location: str, link: str = "") -> Callable[[Path], bytes]:
    """Weights beside the model: in a pipe outside of its folder, which whoever opens it never comes back from."""

    def make(folder: Path) -> bytes:
        pipe = folder.parent / "outside"
        if not pipe.exists():
            os.mkfifo(pipe)
        if link:
            (folder / link).symlink_to(pipe)
        model = valid_models()[-1]
        model.graph.initializer[0].external_data[0].value = location.format(outside=pipe)
        return bytes(model.SerializeToString())

    return make


def _duplicate_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.add().CopyFrom(model.graph.initializer[0])
    model.graph.initializer[-1].dims[:] = [7]


def _damaged_values(model: onnx.ModelProto) -> None:
    model.graph.initializer[-1].ClearField("int64_data")
    model.graph.initializer[-1].raw_data = b"123"


def _attribute(value: float | list[float]) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        node = model.graph.node[0]
        del node.attribute[:]
        node.op_type, node.domain = "Elu", ""
        node.attribute.append(helper.make_attribute("alpha", value))

    return change


def _nested_types(depth: int) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        kind = onnx.TypeProto()
        kind.tensor_type.elem_type = TensorProto.FLOAT
        content = bytes(kind.SerializeToString())
        for _ in range(depth):
            inner = b"\x0a" + _varint(len(content)) + content
            content = b"\x22" + _varint(len(inner)) + inner
        value = b"\x0a\x01x\x12" + _varint(len(content)) + content
        graph = b"\x5a" + _varint(len(value)) + value
        return b"\x3a" + _varint(len(graph)) + graph

    return make


_CASES: dict[str, Callable[[Path], bytes | None]] = {
    # no model at all
    "empty": _content(b""),
    "one byte": _content(b"\x3a"),
    "zip": _content(b"PK\x03\x04" + bytes(100)),
    "pickle": _content(b"\x80\x04\x95" + bytes(100)),
    "hdf5": _content(b"\x89HDF\r\n\x1a\n" + bytes(100)),
    "png": _content(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "json": _content(b'{"nodes": []}'),
    "text": _content(b"net (float[1] x) => (float[1] y) { y = Relu(x) }"),
    "random": _content(np.random.default_rng(0).bytes(100_000)),
    "a gigabyte of zeros": _zeros,
    "length beyond the end": _content(b"\x3a" + _varint(2**62)),
    "a number without end": _content(b"\xff" * 100),
    "a group without end": _content(b"\x0b" * 3_000_000),
    # a little that becomes much in memory
    "a million nodes of nothing": _many(b"\x0a\x00", 10**6, b"\x3a"),
    "ten million nodes of nothing": _many(b"\x0a\x00", 10**7, b"\x3a"),
    "ten million attributes": _many(b"\x2a\x00", 10**7, b"\x0a", b"\x3a"),
    "ten million dimensions": _many(b"\x0a\x00", 10**7, b"\x12", b"\x0a", b"\x12", b"\x5a", b"\x3a"),
    "ten million opsets": _many(b"\x42\x00", 10**7),
    "fifty million unpacked values": _many(b"\x08\x01", 5 * 10**7, b"\x2a", b"\x3a"),
    "half a million nodes": _text(" ".join(f"v{i} = Relu(x)" for i in range(120_000)) + " y = Relu(x)"),
    # graphs that are none
    "cycle": _text("a = Relu(b) b = Relu(a) y = Add(x, b)"),
    "self loop": _text("y = Add(x, y)"),
    "written twice": _text("y = Relu(x) y = Exp(x)"),
    "input written": _text("x = Relu(x) y = Relu(x)"),
    "dangling input": _text("y = Add(x, missing)"),
    "dangling output": _text("z = Relu(x)"),
    "input declared twice": _changed(lambda model: model.graph.input.add().CopyFrom(model.graph.input[0])),
    "initializer twice": _changed(_duplicate_initializer),
    "no outputs": _changed(lambda model: model.graph.ClearField("output")),
    "node without outputs": _changed(lambda model: model.graph.node[0].ClearField("output")),
    "node without operator": _changed(lambda model: model.graph.node[0].ClearField("op_type")),
    "no opset": _changed(lambda model: model.ClearField("opset_import")),
    "opset from the future": _changed(lambda model: setattr(model.opset_import[0], "version", 2**62)),
    "negative opset": _changed(lambda model: setattr(model.opset_import[0], "version", -5)),
    "no element type": _changed(lambda model: model.graph.input[0].type.tensor_type.ClearField("elem_type")),
    "unknown element type": _changed(lambda model: setattr(model.graph.initializer[0], "data_type", 999)),
    "input without type": _changed(lambda model: model.graph.input[0].ClearField("type")),
    # extents
    "initializer of 10^18": _changed(_dims(_HUGE, 3, 3, 3)),
    "initializer of 10^18 each": _changed(_dims(*[_HUGE] * 4)),
    "initializer of negative extent": _changed(_dims(-4, 3, 3, 3)),
    "initializer of many dimensions": _changed(_dims(*[2**62] * 200_000)),
    "input of 10^18": _changed(_input_dims(1, 3, _HUGE, _HUGE)),
    "input of negative extent": _changed(_input_dims(1, 3, -8, 8)),
    "input of many dimensions": _changed(_input_dims(*[2] * 200_000)),
    "values that do not fit": _changed(_damaged_values),
    "ConstantOfShape of 10^18": _text("z = ConstantOfShape(s) y = Add(z, x)", s=[_HUGE, _HUGE]),
    "ConstantOfShape of negative extent": _text("z = ConstantOfShape(s) y = Add(z, x)", s=[-1, 3]),
    "Expand to 10^18": _text("y = Expand(x, s)", s=[_HUGE, 2, 3]),
    "Tile by 10^18": _text("y = Tile(x, s)", s=[_HUGE, _HUGE]),
    "Range to 10^18": _text("z = Range(a, b, c) y = Reshape(x, z)", a=0, b=_HUGE, c=1),
    "Range of nothing": _text("z = Range(a, b, c) y = Reshape(x, z)", a=0, b=1, c=0),
    "Reshape to minus two": _text("y = Reshape(x, s)", s=[-2, 3]),
    "Pad by 10^18": _text("y = Pad(x, s)", s=[_HUGE] * 4),
    "Resize by infinity": _text("y = Resize(x, , s)", s=np.array([np.inf, 1e30], np.float32)),
    "Resize by NaN": _text("y = Resize(x, , s)", s=np.array([np.nan, 1], np.float32)),
    "OneHot of 10^18": _text("z = OneHot(i, d, v) y = Add(z, x)", i=[1, 2], d=_HUGE, v=np.array([0, 1], np.float32)),
    "Unsqueeze of many axes": _text("y = Unsqueeze(x, a)", a=np.arange(1000)),
    "Split into many": _text("s = SplitToSequence <axis = 0> (z) y = SequenceAt(s, i) z = ConstantOfShape(n)",
                             n=[10**9], i=0),
    "division by zero": _text("z = Div(a, b) y = Reshape(x, z)", a=[1], b=[0]),
    "axis of 2^62": _text(f"y = Concat <axis = {2**62}> (x, x)"),
    "Einsum of brackets": _text('y = Einsum <equation = "((((i,,->>...j"> (x, x)'),
    # attributes
    "attribute that is NaN": _changed(_attribute(float("nan"))),
    "attributes that are NaN": _changed(_attribute([1.0, float("nan")])),
    "attribute of no type": _changed(lambda model: model.graph.node[0].attribute[0].ClearField("type")),
    "attribute that is no text": _changed(
        lambda model: model.graph.node[0].attribute.append(helper.make_attribute("auto_pad", b"\xff\xfe"))
    ),
    "reference to no function": _changed(lambda model: setattr(model.graph.node[0].attribute[0], "ref_attr_name", "a")),
    # nesting
    "If nested 20 deep": _nested_ifs(20),
    "If nested 33 deep": _nested_ifs(33),
    "If nested 300 deep": _nested_ifs(300),
    "types nested 45 deep": _nested_types(45),
    "types nested 3000 deep": _nested_types(3000),
    "functions nested 1000 deep": _functions(1000, 1, "Relu"),
    "function that calls itself": _functions(1, 1, "F0"),
    "functions that call each other": _functions(5, 1, "F2"),
    "functions that double 60 times": _functions(60, 2, "Relu"),
    "function with too many inputs": _text("y = own.F(x, x, x)"),
    "If without branches": _text("y = If(x)"),
    "Loop for ever": _loop(2**63 - 1, "Relu"),
    "Loop within Loop within Loop": _loop(1000, "Relu", 3),
    "Loop without states": _text("y = Loop(t, ) <body = b (int64 i, bool c, float s) => (bool c) { }>", t=3),
    "Scan of nothing": _text("y = Scan <num_scan_inputs = 0, body = b () => (float o) { }> (x)"),
    "Scan of 10^9": _text(
        "z = ConstantOfShape(n) y = Scan <num_scan_inputs = 1, body = b (float e) => (float o) { o = Relu(e) }> (z)",
        n=[10**9],
    ),
    # files outside of the folder
    "external absolute": _external("{outside}"),
    "external above": _external("../outside"),
    "external above by a detour": _external("here/../../outside"),
    "external link": _external("weights.bin", link="weights.bin"),
    "external that is no text": _content(
        valid_models()[-1].SerializeToString().replace(b"weights.bin", b"weight\xd7.bin")
    ),
    "external shape": _changed(lambda model: setattr(model.graph.initializer[2], "data_location", 1)),
    # text
    "name that is no text": _content(
        valid_models()[0].SerializeToString().replace(b"Conv", b"C\xffnv").replace(b"MaxPool", b"Max\xfeool")
    ),
    "domain that is no text": _content(
        valid_models()[3].SerializeToString().replace(b"example.com", b"example\xffcom")
    ),
    "name within a graph that is no text": _content(
        valid_models()[2].SerializeToString().replace(b"\x12\x01t\x22", b"\x12\x01\xff\x22")
    ),
    "floats for a name": _content(b"\x3a\x06\x12" + struct.pack("<f", 1.0)),
}  # fmt: skip


if __name__ == "__main__":
    for name, path in hostile_files(Path(sys.argv[1])):
        print(f"{path.stat().st_size:>12} {name}")
