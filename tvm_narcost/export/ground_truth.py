"""``gt.txt``, the file of measured latencies of an NNLQP data set (github.com/ModelTC/NNLQP, README, "Format")."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Self, get_args

from tvm_narcost.errors import DatabaseError

__all__ = ["GroundTruth", "Stage", "read_ground_truth"]

Stage = Literal["train", "test"]
_FORM = "GRAPH_ID ONNX_PATH BATCH_SIZE LATENCY_MS MODEL_TYPE PLATFORM_ID [train|test]"


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """One line.

    Attributes:
        graph_id: names the graph; unique in the file for each platform.
        onnx_path: relative to the folder of gt.txt, with forward slashes.
        batch: first dimension of every input.
        latency_ms: six significant digits of it are written, as in NNLQP's own files.
        model_type: the family.
        platform: a number that each data set gives to a platform.
        stage: side of the split within each family; None where the data set has none.
    """

    graph_id: str
    onnx_path: str
    batch: int
    latency_ms: float
    model_type: str
    platform: int
    stage: Stage | None = None

    def to_line(self) -> str:
        """The fields with one space between; :meth:`from_line` reads them.

        Raises:
            DatabaseError: a field is empty or holds white space.
        """
        fields = [self.graph_id, self.onnx_path, str(self.batch), f"{self.latency_ms:.6g}", self.model_type]
        fields += [str(self.platform), *([self.stage] if self.stage else [])]
        if any(field.split() != [field] for field in fields):
            raise DatabaseError(f"gt.txt: fields {fields}, expected none that is empty or holds white space")
        return " ".join(fields)

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Read what :meth:`to_line` wrote, or a line of NNLQP's own files.

        Raises:
            DatabaseError: too few or many fields, a number that is none, or a path that leaves the folder.
        """
        fields = line.split()
        try:
            graph_id, onnx_path, batch, latency_ms, model_type, platform, *rest = fields
            stage = _stage(rest)
            found = cls(graph_id, onnx_path, int(batch), float(latency_ms), model_type, int(platform), stage)
        except ValueError as error:
            raise DatabaseError(f"gt.txt: {error} in {line[:200]!r}, expected {_FORM}") from error
        path = PurePosixPath(onnx_path)
        if path.is_absolute() or ".." in path.parts:
            raise DatabaseError(f"gt.txt: path {onnx_path!r}, expected one below the folder of gt.txt")
        return found


def _stage(fields: list[str]) -> Stage | None:
    if not fields:
        return None
    for stage in get_args(Stage):
        if fields == [stage]:
            known: Stage = stage
            return known
    raise ValueError(f"stage {' '.join(fields)!r}")


def read_ground_truth(path: Path) -> list[GroundTruth]:
    """Read a file, ours or NNLQP's.

    Raises:
        DatabaseError: it cannot be read, or a line is none of the format.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatabaseError(f"{str(path)!r}: {error}, expected a gt.txt; check the path") from error
    return [GroundTruth.from_line(line) for line in lines if line.strip()]
