"""The Relay fixtures: networks of the zoo and single operators as TVM 0.16 writes them, and how they were made.

``NETWORKS`` are ``generate(family, seed)`` with their ConstantOfShape weights as initializers, imported by Relay's
``from_onnx(freeze_params=False)`` and ``InferType``; ``.fused`` ones went through SimplifyInference and ``FuseOps(2)``.
``.json`` is ``tvm.ir.save_json``, ``.txt`` is ``astext``. ``operators`` has a function for each of 281 calls, the text
with its metadata section. The TVM was the package ``hhb-tvm==3.2.3`` (0.16.dev0) on Python 3.10, with the product by a
2-d matrix in its ONNX importer put back to that of TVM 0.16 (``nn.dense`` of rows).
"""

import lzma
from pathlib import Path

__all__ = ["FUSED", "NETWORKS", "unpack"]

NETWORKS = (
    ("densenet", 0), ("mobilenet_v3", 0), ("nasbench201", 3), ("resnet", 5), ("shufflenet", 0), ("squeezenet", 3),
    ("super_resolution", 1), ("vit", 1), ("yolo", 4),
)  # fmt: skip
FUSED = (("mobilenet_v3", 0), ("squeezenet", 3))

_FOLDER = Path(__file__).parent / "relay_files"


def unpack(name: str, folder: Path) -> Path:
    """Write the fixture ``name`` (``squeezenet-3.fused.json``) below ``folder``."""
    path = folder / name
    if not path.exists():
        path.write_bytes(lzma.decompress((_FOLDER / f"{name}.xz").read_bytes()))
    return path
