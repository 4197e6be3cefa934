"""Fuzz target of the Relax JSON reader: ``python -m tests.fuzz.fuzz_relax``."""

from pathlib import Path

import atheris

with atheris.instrument_imports(include=["relay_frontend"]):
    from relay_frontend.limits import Limits
    from relay_frontend.passes import canonicalize
    from relay_frontend.relax import read_relax_json

from tests.fuzz.driver import run
from tests.relay_frontend.relax_fixture import cut_text, symbolic_text

LIMITS = Limits(nodes=2000, seconds=5.0)  # small, so that an input that is merely big does not take long


def read(path: Path) -> None:
    """Read, canonicalise, hash; the plan as well, where there is one."""
    network = read_relax_json(path, limits=LIMITS)
    canonicalize(network.graph).structural_hash()
    if network.plan is not None:
        network.plan.plan_hash()


def seeds() -> list[bytes]:
    """Modules small enough to be changed everywhere: before and after the passes, and one of a symbolic dimension."""
    texts = [
        cut_text("high"),
        cut_text("legal", "max_pool2d"),
        cut_text("kernels", "fused_matmul_add1"),
        symbolic_text(),
    ]
    return [text.encode() for text in texts]


if __name__ == "__main__":
    run(read, seeds(), suffix=".json")
