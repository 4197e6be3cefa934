"""The small network of the Relax fixtures, and how their files are made.

``python tests/relay_frontend/relax_fixture.py FOLDER`` writes ``high.json``, ``legal.json``, ``fused.json`` (FuseOps)
and ``kernels.json`` (FuseTIR) with the TVM that is installed. The files in ``relax_files`` are those of TVM
0.27.0.post1, and ``kernels_0_26.json`` that of 0.26.0, which writes other names for many objects.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["FOLDER", "STAGES", "network"]

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
