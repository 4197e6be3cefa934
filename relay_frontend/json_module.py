"""JSON modules of TVM, told apart by their content: Relay of TVM 0.8 to 0.19, Relax of today.

Both are written by ``tvm.ir.save_json``. Relay's nodes name their class in ``type_key``, Relax's in ``type``; documents
of 0.8 to 0.19 call the node where the module begins ``root``, later ones ``root_index``.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from relay_frontend.errors import ModelFileError
from relay_frontend.limits import Limits
from relay_frontend.plan import PlannedNetwork

__all__ = ["read_json_module"]

_HEAD_BYTES = 2**16  # both write the root, or some node, well before that
_RELAY, _RELAX = re.compile(rb'"(?:type_key|root)"\s*:'), re.compile(rb'"(?:root_index|type)"\s*:')


def read_json_module(path: Path, shapes: Mapping[str, tuple[int, ...]] | None, limits: Limits) -> PlannedNetwork:
    """Read a JSON file with the reader of what it holds.

    Raises:
        ModelFileError: missing, or JSON of something else; says what was found.
        FrontendError: whatever the reader raises.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(f"cannot read {path} ({reason}), expected a JSON file: check the path") from error
    relay, relax = _RELAY.search(head), _RELAX.search(head)
    if relay is not None and (relax is None or relay.start() < relax.start()):
        from relay_frontend.relay import read_relay_json  # here: lark is of no use to who reads ONNX

        return read_relay_json(path, shapes=shapes, limits=limits)
    if relax is not None:
        from relay_frontend.relax import read_relax_json

        return read_relax_json(path, shapes=shapes, limits=limits)
    raise ModelFileError(
        f"{path} begins with {_beginning(head)}, expected the JSON of a Relay or Relax module as tvm.ir.save_json "
        "writes it"
    )


def _beginning(head: bytes) -> str:
    text = head[:40].decode(errors="replace").strip("\0 \n\t")
    if not head:
        return "nothing: it is empty"
    return repr(text) if text else "nothing that can be printed"
