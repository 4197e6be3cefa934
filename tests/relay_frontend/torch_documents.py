"""Small exported programs as torch.export.save writes them, made without torch."""

import json
import zipfile
from pathlib import Path
from typing import Any

__all__ = ["document", "node", "save_document", "tensor"]

FLOAT = 7  # torch.export's number of float32


def tensor(*shape: int | str, dtype: int = FLOAT) -> dict[str, Any]:
    """The type of a value; a dimension that is text has no value."""
    sizes = [{"as_int": extent} if isinstance(extent, int) else {"as_expr": {"expr_str": extent}} for extent in shape]
    return {"dtype": dtype, "sizes": sizes, "requires_grad": False, "layout": 7}


def node(target: str, inputs: dict[str, Any], *outputs: str, **more: Any) -> dict[str, Any]:
    """A call: an argument that is text is a tensor's name, any other is an argument as the file has it."""
    return {
        "target": target if "." in target else f"torch.ops.aten.{target}.default",
        "inputs": [
            {"name": name, "arg": {"as_tensor": {"name": value}} if isinstance(value, str) else value, "kind": 1}
            for name, value in inputs.items()
        ],
        "outputs": [{"as_tensor": {"name": name}} for name in outputs],
        "metadata": {"stack_trace": "File net.py, line 1"},
        **more,
    }


def document(
    nodes: list[dict[str, Any]],
    values: dict[str, dict[str, Any]],
    *,
    inputs: tuple[str, ...] = ("x",),
    parameters: tuple[str, ...] = (),
    outputs: tuple[str, ...] = ("y",),
) -> dict[str, Any]:
    """A whole program."""
    specs: list[dict[str, Any]] = [
        {"parameter": {"arg": {"name": name}, "parameter_name": f"layer.{name}"}} for name in parameters
    ]
    specs += [{"user_input": {"arg": {"as_tensor": {"name": name}}}} for name in inputs]
    results = [{"user_output": {"arg": {"as_tensor": {"name": name}}}} for name in outputs]
    graph = {
        "inputs": [], "outputs": [], "nodes": nodes, "tensor_values": values, "sym_int_values": {},
        "sym_bool_values": {},
    }  # fmt: skip
    return {
        "graph_module": {"graph": graph, "signature": {"input_specs": specs, "output_specs": results}},
        "opset_version": {"aten": 10},
        "range_constraints": {},
        "schema_version": {"major": 8, "minor": 20},
    }


def save_document(path: Path, content: dict[str, Any] | bytes | str, *, entry: str = "net/models/model.json") -> Path:
    """Write an archive that holds the program, and a pickle that must never be read."""
    if isinstance(content, dict):
        content = json.dumps(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data/sample_inputs/model.pt", b"cos\nsystem\n(S'touch /tmp/unpickled'\ntR.")
        archive.writestr(entry, content)
    return path
