"""Relax, TVM's graph-level IR, to an OpGraph: a live module or a file of ``tvm.ir.save_json``."""

from relay_frontend.relax.network import from_relax, read_relax_json

__all__ = ["from_relax", "read_relax_json"]
