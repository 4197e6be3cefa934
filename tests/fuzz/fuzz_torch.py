"""Fuzz target of the .pt2 reader: ``python -m tests.fuzz.fuzz_torch``."""

import io
import json
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["relay_frontend"]):
    from relay_frontend.limits import Limits
    from relay_frontend.passes import canonicalize
    from relay_frontend.torch_export import read_pt2

from tests.fuzz.driver import run
from tests.relay_frontend.torch_documents import document, node, tensor

LIMITS = Limits(nodes=2000, seconds=5.0)  # small, so that an input that is merely big does not take long


def read(path: Path) -> None:
    """Put the description into an archive, where it says nothing against it; then read, canonicalise, hash.

    Bytes of a zip rarely survive a mutation: an input that starts with a brace is the JSON itself.
    """
    content = path.read_bytes()
    if content.startswith(b"{"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/models/model.json", content)
    canonicalize(read_pt2(path, limits=LIMITS)).structural_hash()


def seeds() -> list[bytes]:
    """Two programs as JSON, and one of them as an archive."""
    image = tensor(1, 8, 16, 16)
    convolution = document(
        [
            node("conv2d", {"input": "x", "weight": "w", "padding": {"as_ints": [1, 1]}}, "c"),
            node("relu_", {"self": "c"}, "r"),
            node("torch.ops.aten.mean.dim", {"self": "r", "dim": {"as_ints": [2, 3]}}, "y"),
        ],
        {"x": tensor(1, 3, 16, 16), "w": tensor(8, 3, 3, 3), "c": image, "r": image, "y": tensor(1, 8)},
        parameters=("w",),
    )
    attention = document(
        [
            node("linear", {"input": "x", "weight": "w"}, "a"),
            node("torch.ops.aten.chunk.default", {"self": "a", "chunks": {"as_int": 3}, "dim": {"as_int": -1}},
                 "q", "k", "v"),
            node("scaled_dot_product_attention", {"query": "q", "key": "k", "value": "v"}, "y"),
        ],
        {"x": tensor(1, 5, 8), "w": tensor(24, 8), "a": tensor(1, 5, 24), **dict.fromkeys("qkvy", tensor(1, 5, 8))},
        parameters=("w",),
    )  # fmt: skip
    texts = [json.dumps(content, separators=(",", ":")).encode() for content in (convolution, attention)]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("net/models/model.json", texts[0])
    return [*texts, stream.getvalue()]


if __name__ == "__main__":
    run(read, seeds(), suffix=".pt2")
