"""TVM's tensor intrinsics, imported in 2 seconds rather than 10 to 25.

Every TuneContext imports ``tvm.s_tir.tensor_intrin``, 248 functions written in TVMScript. The parser of each walks the
whole stack with ``inspect.stack()``; the frames of the import itself have file names such as ``<frozen
importlib._bootstrap>``, which are no files, so that ``inspect`` looks through all modules of the process for each frame
of each function: the more is imported, torch above all, the longer it takes. It looks into its own cache first.
"""

import inspect
import os
import sys
from importlib import import_module

__all__ = ["import_intrinsics"]

_FROZEN = ("importlib._bootstrap", "importlib._bootstrap_external")


def import_intrinsics() -> None:
    """Import them, unless they are; a TuneContext then need not. Changes nothing but how long it takes."""
    if "tvm.s_tir.tensor_intrin" in sys.modules:
        return
    modules_by_file: dict[str, str] = getattr(inspect, "modulesbyfile", {})  # a cache: without it, it only takes longer
    for name in _FROZEN:
        modules_by_file[os.path.abspath(f"<frozen {name}>")] = name
    import_module("tvm.s_tir.tensor_intrin")
