"""Relax, TVM's graph-level IR since 0.16, to an OpGraph."""
