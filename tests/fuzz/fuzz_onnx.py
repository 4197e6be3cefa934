"""Fuzz target of the ONNX reader: ``python -m tests.fuzz.fuzz_onnx``."""

from pathlib import Path

import atheris

with atheris.instrument_imports(include=["relay_frontend"]):
    from relay_frontend.limits import Limits
    from relay_frontend.onnx import read_onnx
    from relay_frontend.passes import canonicalize

from tests.fuzz.driver import run
from tests.fuzz.onnx_models import valid_models

LIMITS = Limits(nodes=2000, seconds=5.0)  # small, so that an input that is merely big does not take long


def read(path: Path) -> None:
    """Read, canonicalise, hash: all that reading a network means."""
    canonicalize(read_onnx(path, limits=LIMITS)).structural_hash()


if __name__ == "__main__":
    run(read, [model.SerializeToString() for model in valid_models()], suffix=".onnx")
