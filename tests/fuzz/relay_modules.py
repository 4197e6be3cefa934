"""Valid Relay files to start from: a small network as JSON and as text, unfused and fused."""

import json
from typing import Any

__all__ = ["TEXT", "module_document", "valid_files"]

TEXT = """#[version = "0.0.5"]
def @main(%x: Tensor[(1, 3, 8, 8), float32] /* ty=Tensor[(1, 3, 8, 8), float32] */,
    %w: Tensor[(4, 3, 3, 3), float32]) -> (Tensor[(1, 4, 6, 6), float32], Tensor[(1, 2, 6, 6), float32]) {
  %0 = nn.conv2d(%x, %w, padding=[0, 0, 0, 0], channels=4, kernel_size=[3, 3]) /* span=conv:0:0 */;
  %1 = fn (%p: Tensor[(1, 4, 6, 6), float32], Primitive=1) -> Tensor[(1, 4, 6, 6), float32] {
    %2 = multiply(%p, 0.5f /* ty=float32 */);
    nn.relu(%2) /* ty=Tensor[(1, 4, 6, 6), float32] */
  };
  let %y = %1(%0);
  %3 = split(%y, indices_or_sections=2, axis=1);
  (%y, %3.1)
}
"""


class _Nodes:
    """Numbered nodes, as tvm.ir.save_json writes them."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = [{"type_key": ""}]

    def add(self, kind: str, data: list[int] | None = None, **attrs: object) -> int:
        node: dict[str, Any] = {"type_key": kind}
        if attrs:
            node["attrs"] = {name: str(value) for name, value in attrs.items()}
        if data is not None:
            node["data"] = data
        self.nodes.append(node)
        return len(self.nodes) - 1

    def text(self, value: str, kind: str = "runtime.String") -> int:
        self.nodes.append({"type_key": kind, "repr_str": value})
        return len(self.nodes) - 1

    def ints(self, *values: int) -> int:
        return self.add("Array", [self.add("IntImm", dtype="int32", span=0, value=value) for value in values])

    def tensor(self, *shape: int) -> int:
        return self.add("relay.TensorType", dtype="float32", shape=self.ints(*shape), span=0)

    def variable(self, name: str, *shape: int) -> int:
        identity = self.add("relay.Id", name_hint=self.text(name))
        kind = self.tensor(*shape)
        return self.add("relay.Var", _checked_type_=kind, span=0, type_annotation=kind, vid=identity)


def module_document() -> dict[str, Any]:
    """A convolution, a relu and a concatenation with a constant."""
    nodes = _Nodes()
    data, weight = nodes.variable("x", 1, 3, 8, 8), nodes.variable("w", 4, 3, 3, 3)
    attributes = nodes.add(
        "relay.attrs.Conv2DAttrs",
        channels=0, data_layout=nodes.text("NCHW"), dilation=nodes.ints(1, 1), groups=1, kernel_size=nodes.ints(3, 3),
        kernel_layout=nodes.text("OIHW"), out_dtype="", out_layout=nodes.text(""), padding=nodes.ints(0, 0, 0, 0),
        strides=nodes.ints(1, 1),
    )  # fmt: skip
    kind = nodes.tensor(1, 4, 6, 6)
    conv = nodes.add("relay.Call", op=nodes.text("nn.conv2d", "Op"), args=nodes.add("Array", [data, weight]),
                     attrs=attributes, _checked_type_=kind, span=0)  # fmt: skip
    relu = nodes.add("relay.Call", op=nodes.text("nn.relu", "Op"), args=nodes.add("Array", [conv]), attrs=0,
                     _checked_type_=kind, span=0)  # fmt: skip
    half = nodes.add("relay.Constant", _checked_type_=0, span=0)
    nodes.nodes[half]["attrs"]["data"] = "0"
    scaled = nodes.add("relay.Call", op=nodes.text("multiply", "Op"), args=nodes.add("Array", [relu, half]), attrs=0,
                       _checked_type_=0, span=0)  # fmt: skip
    joined = nodes.add(
        "relay.Call", op=nodes.text("concatenate", "Op"), _checked_type_=nodes.tensor(1, 8, 6, 6), span=0,
        args=nodes.add("Array", [nodes.add("relay.Tuple", fields=nodes.add("Array", [relu, scaled]), span=0)]),
        attrs=nodes.add("relay.attrs.ConcatenateAttrs", axis=1),
    )  # fmt: skip
    function = nodes.add("relay.Function", params=nodes.add("Array", [data, weight]), body=joined, attrs=0, ret_type=0)
    name = nodes.add("GlobalVar", name_hint=nodes.text("main"))
    root = nodes.add("IRModule", functions=nodes.add("Map", [name, function]), attrs=0)
    half_text = "P6G0lvBAXt0AAAAAAAAAAAEAAAAAAAAAAAAAAAIgAQAEAAAAAAAAAAAAAD8="
    return {"root": root, "nodes": nodes.nodes, "b64ndarrays": [half_text], "attrs": {"tvm_version": "0.16.0"}}


def valid_files() -> list[bytes]:
    """The seeds."""
    return [TEXT.encode(), json.dumps(module_document()).encode(), json.dumps(module_document(), indent=2).encode()]
