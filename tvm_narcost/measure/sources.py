"""Where networks to measure come from: a member of a zoo family, or a model file."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from relay_frontend.errors import ModelFileError
from tvm_narcost.database.records import source_key

__all__ = ["FileSource", "Source", "ZooSource", "is_chosen", "source_from_document", "zoo_sources"]


@dataclass(frozen=True, slots=True)
class ZooSource:
    """Member ``seed`` of a zoo family."""

    family: str
    seed: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.family}-{self.seed}"

    def document(self) -> dict[str, Any]:
        """What the database knows it by."""
        return {"zoo": self.family, "seed": self.seed}


@dataclass(frozen=True, slots=True)
class FileSource:
    """An ONNX file; it is known by its content, so that moving it does not measure it again.

    Attributes:
        path: where it is now.
        sha256: of its bytes, hex.
        shapes: input name -> shape, for inputs with dynamic dimensions; sorted by name.
    """

    path: str
    sha256: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @classmethod
    def of(cls, path: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Self:
        """Read the file's digest.

        Raises:
            ModelFileError: it cannot be read.
        """
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelFileError(
                f"{str(path)!r}: {error.strerror or error}, expected an ONNX file; check the path"
            ) from error
        return cls(str(path), digest, tuple(sorted((name, tuple(shape)) for name, shape in (shapes or {}).items())))

    @property
    def family(self) -> str:
        """All files are of one family."""
        return "file"

    @property
    def name(self) -> str:
        """For people."""
        return Path(self.path).stem

    def document(self) -> dict[str, Any]:
        """What the database knows it by."""
        return {"sha256": self.sha256, "shapes": {name: list(shape) for name, shape in self.shapes}}


Source = ZooSource | FileSource


def source_from_document(document: Mapping[str, Any], path: str = "") -> Source:
    """The source that has this document; ``path`` is where a file is now."""
    if "zoo" in document:
        return ZooSource(str(document["zoo"]), int(document["seed"]))
    shapes = tuple((str(name), tuple(int(n) for n in shape)) for name, shape in sorted(document["shapes"].items()))
    return FileSource(path, str(document["sha256"]), shapes)


def zoo_sources(families: Iterable[str], count: int, first_seed: int = 0) -> Iterator[ZooSource]:
    """``count`` members of each family, one seed of every family before the next: a stopped run is balanced."""
    names = tuple(families)
    for seed in range(first_seed, first_seed + count):
        for family in names:
            yield ZooSource(family, seed)


def is_chosen(source: Source, fraction: float) -> bool:
    """Whether ``source`` is of a random sample of this size: always the same one, and part of every larger one."""
    digest = hashlib.sha256(source_key(source.document()).encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64
