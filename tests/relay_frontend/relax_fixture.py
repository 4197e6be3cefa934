"""The small network of the Relax fixtures, and how their files are made.

``python tests/relay_frontend/relax_fixture.py FOLDER`` writes ``high.json``, ``legal.json``, ``fused.json`` (FuseOps)
and ``kernels.json`` (FuseTIR) with the TVM that is installed. The files in ``relax_files`` are those of TVM
0.27.0.post1, and ``kernels_0_26.json`` that of 0.26.0, which writes other names for many objects.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["FOLDER", "STAGES", "cut_text", "network", "symbolic_text"]

FOLDER = Path(__file__).parent / "relax_files"
STAGES = ("high", "legal", "fused", "kernels")


def network() -> onnx.ModelProto:
    """Two branches of convolutions, a concatenation, a pool, a classifier."""
    random = np.random.default_rng(0)
    statistics = dict.fromkeys(("scale", "shift", "mean", "var"), (8,))
    shapes = {"w1": (4, 3, 3, 3), "b1": (4,), "w2": (4, 2, 1, 1), **statistics, "w3": (8, 5), "b3": (5,)}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], group=2),
        helper.make_node("Sigmoid", ["c2"], ["s2"]),
        helper.make_node("Concat", ["r1", "s2"], ["cat"], axis=1),
        helper.make_node("BatchNormalization", ["cat", "scale", "shift", "mean", "var"], ["n"]),
        helper.make_node("MaxPool", ["n"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["d"]),
        helper.make_node("Softmax", ["d"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))],
        [numpy_helper.from_array(random.random(shape, np.float32), name) for name, shape in shapes.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def symbolic_text() -> str:
    """A file of one call: relu of (n, 8) to (n, 8)."""
    nodes: list[dict[str, Any]] = [{"type": "None"}]

    def add(kind: str, data: Any) -> int:
        nodes.append({"type": kind, "data": data})
        return len(nodes) - 1

    def thing(kind: str, **fields: Any) -> int:
        return add(kind, fields)

    long, single = thing("ir.PrimType", dtype="int64"), thing("ir.PrimType", dtype="float32")
    n = thing("ir.Var", ty=long, name=add("ffi.String", "n"))
    eight = thing("ir.IntImm", ty=long, value=add("int", 8))
    shape = thing("relax.expr.ShapeExpr", values=add("ffi.Array", [n, eight]))
    tensor = thing("relax.TensorType", shape=shape, dtype=single, ndim=2)
    x = thing("ir.Var", ty=tensor, name=add("ffi.String", "x"))
    y = thing("relax.expr.DataflowVar", ty=tensor, name=add("ffi.String", "y"))
    call = thing("ir.Call", ty=tensor, op=add("ir.Op", "relax.nn.relu"), args=add("ffi.Array", [x]), attrs=0)
    binding = thing("relax.expr.VarBinding", var=y, value=call)
    block = thing("relax.expr.DataflowBlock", bindings=add("ffi.Array", [binding]))
    body = thing("relax.expr.SeqExpr", blocks=add("ffi.Array", [block]), body=y)
    function = thing("relax.expr.Function", params=add("ffi.Array", [x]), body=body, attrs=0)
    main = thing("ir.GlobalVar", name_hint=add("ffi.String", "main"))
    root = thing("ir.IRModule", functions=add("ffi.Map", [main, function]))
    return json.dumps({"root_index": root, "nodes": nodes, "metadata": {"tvm_version": "0.27.0"}})


def cut_text(name: str, *kept: str) -> str:
    """A fixture with no functions but ``main`` and these; nodes that are not needed any more are left empty."""
    document = json.loads((FOLDER / f"{name}.json").read_text())
    nodes = document["nodes"]
    functions = nodes[nodes[document["root_index"]]["data"]["functions"]]
    pairs = list(zip(functions["data"][::2], functions["data"][1::2], strict=True))
    names = {place: nodes[nodes[place]["data"]["name_hint"]]["data"] for place, _ in pairs}
    functions["data"] = [place for pair in pairs if names[pair[0]] in ("main", *kept) for place in pair]
    needed: set[int] = set()
    waiting = [document["root_index"]]
    while waiting:
        place = waiting.pop()
        if place not in needed:
            needed.add(place)
            data = nodes[place].get("data")
            values = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
            waiting += [value for value in values if type(value) is int and 0 <= value < place]
    document["nodes"] = [node if place in needed else {} for place, node in enumerate(nodes)]
    return json.dumps(document, separators=(",", ":"))


def main(folder: Path) -> None:
    """Write the module after each pass."""
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    high = from_onnx(network())
    legal = relax.transform.LegalizeOps()(high)
    fused = high
    for step in (relax.transform.LegalizeOps(), relax.transform.AnnotateTIROpPattern(),
                 relax.transform.FoldConstant(), relax.transform.FuseOps()):  # fmt: skip
        fused = step(fused)
    kernels = relax.transform.FuseTIR()(fused)
    for name, module in zip(STAGES, (high, legal, fused, kernels), strict=True):
        (folder / f"{name}.json").write_text(tvm.ir.save_json(module))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
