"""Fuzz target of the Relay readers, JSON and text: ``python -m tests.fuzz.fuzz_relay``."""

from pathlib import Path

import atheris

with atheris.instrument_imports(include=["relay_frontend"]):
    from relay_frontend.limits import Limits
    from relay_frontend.passes import canonicalize
    from relay_frontend.relay import read_relay_json, read_relay_text

from tests.fuzz.driver import run
from tests.fuzz.relay_modules import valid_files

LIMITS = Limits(nodes=2000, seconds=5.0)  # small, so that an input that is merely big does not take long


def read(path: Path) -> None:
    """Read, canonicalise, hash: all that reading a network means; JSON begins with a brace."""
    with path.open("rb") as file:
        is_json = file.read(1) == b"{"
    reader = read_relay_json if is_json else read_relay_text
    canonicalize(reader(path, limits=LIMITS).graph).structural_hash()


if __name__ == "__main__":
    run(read, valid_files(), suffix=".relay")
