"""Samples and documents as bytes: little-endian floats behind their dtype, JSON behind zlib."""

import json
import struct
import zlib
from collections.abc import Iterable
from typing import Any

from tvm_narcost.errors import DatabaseError

__all__ = ["MAX_DOCUMENT_BYTES", "pack_document", "pack_samples", "unpack_document", "unpack_samples"]

MAX_DOCUMENT_BYTES = 256 * 2**20  # a graph of 20,000 nodes takes about 6 MB; more than this is no document of ours

_FLOAT64 = b"<f8"  # numpy's name of the dtype, so that a stored blob says itself what it holds


def pack_samples(samples: Iterable[float]) -> bytes:
    """Samples as ``<f8`` and their little-endian float64 values; nothing is rounded."""
    values = tuple(samples)
    return _FLOAT64 + struct.pack(f"<{len(values)}d", *values)


def unpack_samples(blob: bytes) -> tuple[float, ...]:
    """What :func:`pack_samples` packed.

    Raises:
        DatabaseError: another dtype, or a torn value at the end.
    """
    if blob[:3] != _FLOAT64 or (len(blob) - 3) % 8:
        raise DatabaseError(
            f"stored samples: got {len(blob)} bytes that begin with {blob[:3]!r}, expected {_FLOAT64!r} and whole "
            "float64 values; the database is damaged, restore a copy of it or collect into a new one"
        )
    return struct.unpack(f"<{(len(blob) - 3) // 8}d", blob[3:])


def pack_document(document: Any) -> bytes:
    """Plain JSON values, compressed."""
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 6)


def unpack_document(blob: bytes) -> Any:
    """What :func:`pack_document` packed.

    Raises:
        DatabaseError: no zlib stream, cut short, longer than ``MAX_DOCUMENT_BYTES``, or no JSON.
    """
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(blob, MAX_DOCUMENT_BYTES)
        if not inflater.eof:
            raise ValueError(f"cut short, or more than {MAX_DOCUMENT_BYTES} bytes")
        return json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        raise DatabaseError(
            f"stored document: {error}, expected zlib-compressed JSON; the database is damaged, restore a copy of it "
            "or collect into a new one"
        ) from error
