"""Files that a command writes where the user says: whole or not at all, and none is replaced unasked."""

import os
import tempfile
from pathlib import Path

from tvm_narcost.errors import NarcostError

__all__ = ["check_new_file", "write_new_file"]


def check_new_file(out: Path, *, force: bool) -> None:
    """Refuse what cannot be written, before minutes of work.

    Raises:
        NarcostError: there is no such folder, or there is something already.
    """
    if not out.parent.is_dir():
        raise NarcostError(f"--out {out}: no folder {out.parent}, expected an existing one; make it first")
    if out.exists() and not (force and out.is_file()):
        raise NarcostError(f"--out {out}: exists already, expected a new file; give another name, or --force")


def write_new_file(out: Path, text: str, *, force: bool) -> None:
    """Write beside ``out`` first, then give it its name: a crash leaves the old file or none, never half of one.

    Raises:
        NarcostError: as :func:`check_new_file`, or the folder cannot be written to.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.chmod(temporary, 0o644)
            if force:
                os.replace(temporary, out)
            else:
                os.link(temporary, out)  # unlike a rename, it fails when somebody wrote the file meanwhile
        finally:
            Path(temporary).unlink(missing_ok=True)
    except FileExistsError:
        check_new_file(out, force=False)
    except OSError as error:
        raise NarcostError(f"--out {out}: {error}, expected a folder that can be written to") from error
