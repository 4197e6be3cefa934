"""A folder that an export owns: empty or a former export at the beginning, never left, each file written whole."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tvm_narcost.errors import DatabaseError

__all__ = ["MARKER", "ExportFolder"]

MARKER = "narcost-export.json"


class ExportFolder:
    """Writes below one folder."""

    def __init__(self, root: Path, identity: Mapping[str, Any]) -> None:
        """Take a folder over.

        Args:
            root: new, empty, or of a former export of the same identity.
            identity: what must not change between a stopped export and the one that goes on, plain JSON.

        Raises:
            DatabaseError: it holds something else.
        """
        self.root = root
        self._identity = dict(identity)
        if root.exists() and not root.is_dir():
            raise DatabaseError(f"{str(root)!r}: is no folder, expected a new or empty one; give another")
        if root.is_dir() and any(root.iterdir()):
            self._check_marker()
        else:
            root.mkdir(parents=True, exist_ok=True)
            self.write_marker({"finished": False})

    def _check_marker(self) -> None:
        marker = self.root / MARKER
        try:
            found = json.loads(marker.read_text())
            former = {key: found.get(key) for key in self._identity}
        except FileNotFoundError as error:
            raise DatabaseError(
                f"folder {str(self.root)!r}: holds files and no {MARKER}, expected an empty one, or a former export; "
                "give another"
            ) from error
        except (OSError, ValueError, AttributeError) as error:
            raise DatabaseError(
                f"{str(marker)!r}: {error}, expected what an export wrote; give another folder"
            ) from error
        if former != self._identity:
            raise DatabaseError(
                f"folder {str(self.root)!r}: holds an export of {former}, expected {self._identity}; give another"
            )

    def write_marker(self, facts: Mapping[str, Any]) -> None:
        """Say in the marker what the export is and what became of it."""
        document = {**self._identity, **facts}
        self.write(MARKER, (json.dumps(document, indent=1) + "\n").encode())

    def path(self, relative: str) -> Path:
        """Where a file below the folder is.

        Raises:
            DatabaseError: that leads out of the folder, by its name or over a link.
        """
        target, below = self.root / relative, Path(relative)
        named_outside = below.is_absolute() or ".." in below.parts or not below.name
        if named_outside or target.parent.resolve() != self.root.resolve() / below.parent:
            raise DatabaseError(
                f"folder {str(self.root)!r}: {relative!r} leads out of it, expected a file below; remove the link, or "
                "give another folder"
            )
        return target

    def write(self, relative: str, content: bytes) -> None:
        """Write one file; one that is there is replaced only once all is written, and a link is not followed."""
        target = self.path(relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
        partial.unlink(missing_ok=True)
        try:
            with partial.open("xb") as file:
                file.write(content)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
