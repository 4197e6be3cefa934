"""From ONNX to high-level Relax, by TVM's own importer."""

import contextlib
import io
import warnings
from collections.abc import Mapping
from typing import Any

import onnx
import tvm
from onnx import helper
from tvm.relax.frontend.onnx import from_onnx

from tvm_narcost.errors import CompileError
from tvm_narcost.hook.stderr import silent_stderr

__all__ = ["import_onnx", "import_quietly"]


def import_onnx(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]] | None = None) -> tvm.IRModule:
    """A model as TVM's importer reads it; what it prints and warns of is not shown.

    Args:
        model: with its weights; none of them may be missing.
        shapes: of inputs whose dimensions it leaves open.

    Raises:
        CompileError: the importer refuses it.
    """
    bound = {name: list(shape) for name, shape in (shapes or {}).items()}
    try:
        return import_quietly(model, shape_dict=bound or None)
    except Exception as error:  # TVM raises whatever it likes
        lines = str(error).strip().splitlines() or [""]
        raise CompileError(
            f"TVM cannot import {model.graph.name!r} ({type(error).__name__}: {lines[-1]}), expected a network of "
            "operators that its ONNX importer has, of static shapes"
        ) from error


def import_quietly(model: onnx.ModelProto, **options: Any) -> tvm.IRModule:
    """What :func:`import_onnx` does, with the importer's own options; what it raises is left as it is."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), silent_stderr():
        warnings.simplefilter("ignore", UserWarning)  # of each input that it renames; it prints operators as well
        return from_onnx(_with_resizes_of_opset_18(model), **options)


def _with_resizes_of_opset_18(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model whose Resize nodes are as the importer takes them all to be, whatever the opset.

    Opset 10 has the scales in the second place, and samples from the lower corner. Opset 11 gives empty tensors for
    inputs that are not used, which the importer would take for given.
    """
    if not any(node.op_type == "Resize" for node in model.graph.node):
        return model
    opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0)
    empty = {tensor.name for tensor in model.graph.initializer if 0 in tensor.dims}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for node in changed.graph.node:
        if node.op_type != "Resize":
            continue
        inputs = ["" if name in empty else name for name in node.input]
        if opset == 10:
            inputs.insert(1, "")
            node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
            node.attribute.append(helper.make_attribute("nearest_mode", "floor"))
        del node.input[:]
        node.input.extend(inputs)
    return changed
