"""A file of ``tvm.ir.save_json`` to the objects that it holds.

What a file may ask for is counted before it is parsed: its weights are cut out of the text first, since reading needs
no more of them than that they are there. What is left may have ``MAX_TEXT_BYTES`` and must not unfold to more than
``MAX_OBJECT_BYTES``, so that no file takes more than 500 MB.
"""

import json
import mmap
import re
from pathlib import Path
from typing import Any

from relay_frontend.errors import LimitError, ModelFileError
from relay_frontend.limits import Limits
from relay_frontend.relax.objects import Document, FileObject

__all__ = ["MAX_OBJECT_BYTES", "MAX_TEXT_BYTES", "parse_module", "read_text"]

MAX_TEXT_BYTES = 96 * 2**20
MAX_OBJECT_BYTES = 320 * 2**20
_WEIGHT = re.compile(rb'"[A-Za-z0-9+/]{4096,}+={0,2}+"')
_KEPT = 1024  # of a weight: its header and first element, and a multiple of four
# What Python's parser makes of a text: an upper bound of bytes for each of these, measured with sys.getsizeof.
_COST = {"{": 232, "[": 88, ",": 96}
_NOT_JSON = "expected JSON as tvm.ir.save_json writes it"


def read_text(path: Path, limits: Limits) -> str:
    """The text of a file, all but the start of each weight left out.

    Raises:
        ModelFileError: the file is missing, empty, unreadable or no text.
        LimitError: it is larger than ``limits`` allow.
    """
    try:
        with path.open("rb") as file:
            size_bytes = path.stat().st_size
            limits.check_bytes(size_bytes, str(path))
            if not size_bytes:
                raise ModelFileError(f"{path} is empty, {_NOT_JSON}")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if content[:1024].lstrip()[:1] not in (b"{", b"["):
                    raise ModelFileError(f"{path} does not begin as JSON does, {_NOT_JSON}")
                return _without_weights(content, path)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(f"cannot read {path} ({reason}), {_NOT_JSON}: check the path") from error


def _without_weights(content: mmap.mmap, path: Path) -> str:
    parts, start, kept = [], 0, 0
    for match in _WEIGHT.finditer(content):
        kept += match.start() - start + _KEPT
        if kept > MAX_TEXT_BYTES:
            break
        parts += [content[start : match.start() + 1 + _KEPT], b'"']
        start = match.end()
    kept += len(content) - start
    if kept <= MAX_TEXT_BYTES:
        parts.append(content[start:])
        text = b"".join(parts)
        # Python keeps a text four bytes a letter where one of them needs it.
        if text.isascii() or 4 * kept <= MAX_TEXT_BYTES:
            return text.decode()
    raise LimitError(
        f"{path} has {kept} bytes beside its weights, expected at most {MAX_TEXT_BYTES}, or a fourth where it is not "
        "all ASCII: read the module live, with relay_frontend.relax.from_relax"
    )


def parse_module(text: str, what: str) -> FileObject:
    """The module that a file holds.

    Args:
        text: of the file.
        what: the file's name, for messages.

    Raises:
        ModelFileError: no JSON, truncated, or JSON of something else.
        LimitError: it asks for too much.
    """
    expected = sum(cost * text.count(letter) for letter, cost in _COST.items())
    if expected > MAX_OBJECT_BYTES:
        raise LimitError(
            f"{what} would take some {expected >> 20} MB once it is parsed, expected at most "
            f"{MAX_OBJECT_BYTES >> 20} MB: read the module live, with relay_frontend.relax.from_relax"
        )
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise LimitError(f"{what} is nested too deep to be parsed, {_NOT_JSON}") from error
    except ValueError as error:
        raise ModelFileError(f"{what} is no JSON or is truncated ({error}), {_NOT_JSON}: save it again") from error
    return _find_root(document, what)


def _find_root(document: Any, what: str) -> FileObject:
    if not isinstance(document, dict) or not isinstance(document.get("nodes"), list):
        raise ModelFileError(f"{what} is JSON without nodes, {_NOT_JSON}")
    nodes, root = document["nodes"], document.get("root_index")
    if type(root) is not int:
        raise ModelFileError(
            f"{what} has no root_index, expected a module as TVM 0.26 or newer saves it: import the network with such "
            "a version and save it again"
        )
    metadata = document.get("metadata")
    version = str(metadata.get("tvm_version", "")) if isinstance(metadata, dict) else ""
    module = Document(nodes, plain_int_imm=_version(version) < (0, 27)).value(root, len(nodes))
    if not isinstance(module, FileObject) or module.kind != "IRModule":
        found = module.kind if isinstance(module, FileObject) else type(module).__name__
        raise ModelFileError(f"{what} holds a {found}, expected an IRModule: save the module, not a part of it")
    return module


def _version(text: str) -> tuple[int, int]:
    """(0, 26) of ``0.26.0``; of what is no version the newest that is known, (0, 27)."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", text)
    return (int(match[1]), int(match[2])) if match else (0, 27)
